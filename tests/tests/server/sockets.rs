//! Options of accepted sockets, other addresses, and a log that nobody reads.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::net::sockopt;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::{Client, Scratch, run_to_end};

use crate::support::{accepted, ask, program, start};

/// Longest that a peer which has silently gone may keep its place.
const HALF_OPEN: Duration = Duration::from_secs(60);

#[test]
fn a_peer_that_has_silently_gone_loses_its_place_within_a_minute() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "PING"), "PONG");
    let socket = accepted(&server, &client);
    assert!(socket.keepalive().unwrap());
    let probes = socket.tcp_keepalive_interval().unwrap() * socket.tcp_keepalive_retries().unwrap();
    let silent = socket.tcp_keepalive_time().unwrap() + probes;
    assert!(
        silent <= HALF_OPEN,
        "idle peers are noticed after {silent:?}"
    );
    let unacknowledged = sockopt::tcp_user_timeout(socket.as_fd()).unwrap();
    let unacknowledged = Duration::from_millis(u64::from(unacknowledged));
    assert!(
        !unacknowledged.is_zero() && unacknowledged <= HALF_OPEN,
        "{unacknowledged:?}"
    );
    assert!(socket.tcp_nodelay().unwrap());
}

#[test]
fn a_unix_socket_serves_like_a_port_and_is_removed_at_the_end() {
    let scratch = Scratch::new().unwrap();
    let path = scratch.path().join("socket");
    let mut server = start(&["--unix-socket", &path.to_string_lossy()]);
    let mut stream = UnixStream::connect(&path).unwrap();
    stream
        .set_read_timeout(Some(shardkeep_tests::clock::PATIENCE))
        .unwrap();
    stream.write_all(b"SET k v\r\nGET k\r\nQUIT\r\n").unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    assert_eq!(replies, "+OK\r\n$1\r\nv\r\n+OK\r\n");
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "GET k"), "v");
    server.signal(Signal::TERM).unwrap();
    assert_eq!(
        server.wait(Duration::from_secs(10)).unwrap().code(),
        Some(0)
    );
    assert!(!path.exists(), "the socket was left behind");
}

#[test]
fn a_server_that_does_not_start_leaves_no_unix_socket_behind() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store").to_string_lossy().into_owned();
    let _first = start(&["--dir", &dir]);
    let path = scratch.path().join("socket");
    let socket = path.to_string_lossy();
    let args = [
        "serve",
        "--bind",
        "127.0.0.1:0",
        "--admin",
        "off",
        "--dir",
        &dir,
    ];
    let args = [&args[..], &["--unix-socket", &socket]].concat();
    let (status, said) = run_to_end(program(), &args, &[], PATIENCE).unwrap();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(!path.exists(), "{said}");
}

#[test]
fn every_bound_address_serves() {
    let server = start(&["--bind", "127.0.0.1:0", "--bind", "127.0.0.2:0"]);
    let ready: Vec<String> = server
        .output()
        .iter()
        .filter_map(|line| {
            line.split_once("ready: listening on ")
                .map(|(_, address)| address.to_owned())
        })
        .collect();
    assert!(!ready.is_empty());
    for address in ready {
        let mut client = Client::connect(address.trim().parse().unwrap()).unwrap();
        assert_eq!(ask(&mut client, "PING"), "PONG");
    }
}

/// A server whose standard error is ours to spoil, once it is ready.
fn started_by_hand() -> (Child, BufReader<std::process::ChildStderr>, String) {
    let mut child = Command::new(program())
        .args(["serve", "--bind", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    let address = loop {
        line.clear();
        assert!(
            lines.read_line(&mut line).unwrap() > 0,
            "the server has ended"
        );
        if let Some((_, address)) = line.trim().split_once("ready: listening on ") {
            break address.to_owned();
        }
    };
    (child, lines, address)
}

fn ends_cleanly(mut child: Child, address: &str) {
    let mut client = Client::connect(address.parse().unwrap()).unwrap();
    assert_eq!(ask(&mut client, "PING"), "PONG");
    drop(client);
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let mut polled = [rustix::event::PollFd::new(
        &process,
        rustix::event::PollFlags::IN,
    )];
    let patience = rustix::event::Timespec::try_from(Duration::from_secs(10)).unwrap();
    let ended = rustix::event::poll(&mut polled, Some(&patience)).unwrap() > 0;
    if !ended {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    assert!(ended, "it did not end");
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn a_closed_log_stops_nothing() {
    let (child, lines, address) = started_by_hand();
    drop(lines);
    ends_cleanly(child, &address);
}

#[test]
fn a_log_that_nobody_reads_stops_nothing() {
    let (child, lines, address) = started_by_hand();
    // A second description of the same pipe, so that not waiting is our affair and not the server's.
    let path = format!("/proc/{}/fd/2", child.id());
    let writer = rustix::fs::open(path, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    let mut filler = fs::File::from(writer);
    let full = loop {
        if let Err(error) = filler.write(b"x") {
            break error.kind();
        }
    };
    assert_eq!(full, ErrorKind::WouldBlock);
    ends_cleanly(child, &address);
    drop(lines);
}

#[test]
fn nothing_but_tcp_is_listened_on() {
    let server = start(&[]);
    // The port is free for other protocols: the server took only what it said.
    assert!(UdpSocket::bind(server.address()).is_ok());
    assert!(TcpStream::connect(server.address()).is_ok());
    assert!(server.address().ip().is_loopback());
    assert!(std::io::stderr().as_raw_fd() >= 0);
}
