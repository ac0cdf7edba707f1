//! The admin endpoint: what it answers, to whom, and that nobody can keep others from it.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::{Client, ServerProcess, Signal};

use crate::support::{ask, eventually, start};

/// More than the endpoint serves at once.
const MORE_THAN_THERE_ARE_PLACES: usize = 80;

pub(crate) fn with_admin(flags: &[&str]) -> (ServerProcess, SocketAddr) {
    let server = start(&[&["--admin", "127.0.0.1:0"], flags].concat());
    let address = admin_of(&server);
    (server, address)
}

pub(crate) fn admin_of(server: &ServerProcess) -> SocketAddr {
    let output = server.output();
    let line = output
        .iter()
        .find_map(|line| line.strip_prefix("admin: http://"));
    line.unwrap().trim_end_matches('/').parse().unwrap()
}

/// Whatever is answered to these bytes.
fn send(address: SocketAddr, bytes: &[u8]) -> String {
    try_send(address, bytes).unwrap()
}

fn try_send(address: SocketAddr, bytes: &[u8]) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(bytes)?;
    try_read(stream)
}

/// All that still comes.
pub(crate) fn read_whole(stream: TcpStream) -> String {
    try_read(stream).unwrap()
}

fn try_read(mut stream: TcpStream) -> io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn get(address: SocketAddr, path: &str) -> (String, String) {
    try_get(address, path).unwrap()
}

/// Status line and body.
pub(crate) fn try_get(address: SocketAddr, path: &str) -> io::Result<(String, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = try_send(address, request.as_bytes())?;
    let (head, body) = (answer.split_once("\r\n\r\n"))
        .ok_or_else(|| io::Error::other(format!("no answer: {answer:?}")))?;
    let status = head.lines().next().unwrap_or_default();
    Ok((status.to_owned(), body.to_owned()))
}

/// The value of the sample with this name and these labels, written as in the text.
pub(crate) fn sample(metrics: &str, name: &str) -> Option<f64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.strip_prefix(' '))
        .map(|value| value.parse().unwrap())
}

#[test]
fn every_page_is_there_and_nothing_else() {
    let (_server, admin) = with_admin(&[]);
    let cases = [
        ("/", "200 OK", "<!doctype html>"),
        ("/?x=1", "200 OK", "<!doctype html>"),
        ("/metrics", "200 OK", "# HELP shardkeep_build_info"),
        ("/healthz", "200 OK", "ok"),
        ("/readyz", "200 OK", "ok"),
        ("/status.json", "200 OK", "{\"version\""),
        ("/metrics/", "404 Not Found", "404"),
        ("/../metrics", "404 Not Found", "404"),
    ];
    for (path, status, begins) in cases {
        let (got, body) = get(admin, path);
        assert_eq!(got, format!("HTTP/1.1 {status}"), "{path}");
        assert!(body.starts_with(begins), "{path}: {body}");
    }
}

#[test]
fn only_looking_is_allowed() {
    let (_server, admin) = with_admin(&[]);
    let cases = [
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", "405"),
        ("DELETE /metrics HTTP/1.1\r\n\r\n", "405"),
        ("SET k v\r\n\r\n", "400"),
        ("HEAD /metrics HTTP/1.1\r\n\r\n", "200"),
    ];
    for (request, status) in cases {
        let answer = send(admin, request.as_bytes());
        let begins = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&begins), "{request}: {answer}");
    }
    let head = send(admin, b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(9_000));
    let answer = send(admin, long.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[test]
fn what_clients_do_shows_in_the_metrics() {
    let (server, admin) = with_admin(&["--shards", "4"]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "SET a 1"), "OK");
    assert_eq!(ask(&mut client, "GET a"), "1");
    assert_eq!(ask(&mut client, "GET b"), "nil");
    assert!(ask(&mut client, "INCR a b").starts_with('-'));
    let (_, text) = get(admin, "/metrics");
    let expected = [
        ("shardkeep_keys", 1.0),
        ("shardkeep_key_hits_total", 1.0),
        ("shardkeep_key_misses_total", 1.0),
        ("shardkeep_commands_total{command=\"get\"}", 2.0),
        ("shardkeep_commands_rejected_total{command=\"incr\"}", 1.0),
        (
            "shardkeep_command_duration_seconds_count{command=\"get\"}",
            2.0,
        ),
        (
            "shardkeep_command_duration_seconds_count{command=\"set\"}",
            1.0,
        ),
        ("shardkeep_connections_accepted_total", 1.0),
        ("shardkeep_ready", 1.0),
        ("shardkeep_log_state{state=\"none\"}", 1.0),
    ];
    for (name, value) in expected {
        assert_eq!(sample(&text, name), Some(value), "{name}\n{text}");
    }
    let shards: BTreeSet<&str> = text
        .lines()
        .filter(|line| line.starts_with("shardkeep_shard_depth{"))
        .collect();
    assert_eq!(shards.len(), 4);
}

#[test]
fn a_command_that_waits_for_the_log_counts_once_when_it_is_answered() {
    let place = shardkeep_tests::harness::Scratch::new().unwrap();
    let dir = place.path().display().to_string();
    let (server, admin) = with_admin(&["--dir", &dir, "--sync", "always"]);
    let mut client = server.client().unwrap();
    for _ in 0..20 {
        assert_eq!(ask(&mut client, "SET a 1"), "OK");
        assert_eq!(ask(&mut client, "MSET a 1 b 2 c 3 d 4"), "OK");
    }
    let (_, text) = get(admin, "/metrics");
    for command in ["set", "mset"] {
        let name = format!("shardkeep_command_duration_seconds_count{{command=\"{command}\"}}");
        assert_eq!(sample(&text, &name), Some(20.0), "{text}");
    }
    let syncs = sample(&text, "shardkeep_log_sync_seconds_count").unwrap();
    assert!(syncs > 0.0, "{text}");
}

#[test]
fn those_who_say_nothing_or_do_not_read_keep_nobody_from_it() {
    let (_server, admin) = with_admin(&[]);
    let slow = (0..MORE_THAN_THERE_ARE_PLACES).map(|at| {
        let mut stream = TcpStream::connect(admin).unwrap();
        match at % 3 {
            0 => {}
            1 => stream.write_all(b"GET /met").unwrap(),
            _ => stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap(),
        }
        stream
    });
    let slow: Vec<TcpStream> = slow.collect();
    for _ in 0..3 {
        assert_eq!(get(admin, "/healthz").1, "ok\n");
    }
    drop(slow);
}

#[test]
fn a_taken_address_that_was_asked_for_is_an_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = ["serve", "--bind", "127.0.0.1:0", "--admin", &address];
    let (status, said) =
        shardkeep_tests::harness::run_to_end(crate::support::program(), &args, &[], PATIENCE)
            .unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    let expected = format!("error: cannot listen on {address}");
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn a_server_that_drains_says_so_until_its_end() {
    let (mut server, admin) = with_admin(&["--drain-timeout", "2s"]);
    // A client whose replies nobody reads keeps the drain going.
    let mut stuck = server
        .client()
        .unwrap()
        .with_patience(Duration::from_millis(300));
    assert_eq!(ask(&mut stuck, "SETRANGE big 1000000 x"), "1000001");
    while stuck
        .send(&crate::support::repeated(&["GET", "big"], 100))
        .is_ok()
    {}
    server.signal(Signal::TERM).unwrap();
    eventually("it never said that it drains", || {
        let (status, body) = get(admin, "/readyz");
        assert_eq!(get(admin, "/healthz").1, "ok\n");
        status.contains("503") && body.starts_with("draining: ")
    });
    assert!(server.wait(PATIENCE).is_ok());
    assert!(TcpStream::connect(admin).is_err());
    drop::<Client>(stuck);
}
