//! Many connections, one too many, and connections that end badly.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use shardkeep_tests::harness::{Client, ServerProcess, open_files, request, threads};
use socket2::SockRef;

use crate::support::{ask, eventually, repeated, serves_others, start};

/// Ends a connection with a reset instead of a farewell.
fn reset(client: Client) {
    SockRef::from(client.stream())
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
}

#[test]
fn one_connection_too_many_is_told_so_and_the_others_are_served() {
    let server = start(&["--max-clients", "50"]);
    let mut clients: Vec<Client> = (0..50).map(|_| server.client().unwrap()).collect();
    for client in &mut clients {
        assert_eq!(ask(client, "PING"), "PONG");
    }
    let mut surplus = server.client().unwrap();
    let (reply, _) = surplus.rest().unwrap();
    assert_eq!(reply, b"-ERR max number of clients reached\r\n");
    for client in &mut clients {
        assert_eq!(ask(client, "PING"), "PONG");
    }
    drop(clients.pop());
    eventually("the freed place was not given to the next", || {
        let mut next = server.client().unwrap();
        matches!(next.call(&["PING"]), Ok(reply) if !reply.is_error())
    });
}

#[test]
fn connections_that_come_and_go_leave_nothing_behind() {
    const ROUNDS: usize = 1_000;
    let server = start(&[]);
    serves_others(&server);
    let (files, before) = (
        open_files(server.pid()).unwrap(),
        threads(server.pid()).unwrap(),
    );
    for round in 0..ROUNDS {
        let mut client = server.client().unwrap();
        match round % 5 {
            0 => drop(client),
            1 => reset(client),
            2 => {
                client
                    .send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\nhalf")
                    .unwrap();
                reset(client);
            }
            3 => {
                client.send(&repeated(&["GET", "other"], 100)).unwrap();
                reset(client);
            }
            _ => {
                assert_eq!(ask(&mut client, "PING"), "PONG");
                assert_eq!(ask(&mut client, "QUIT"), "OK");
            }
        }
    }
    let pid = server.pid();
    eventually("descriptors were left behind", || {
        open_files(pid).unwrap() <= files
    });
    assert_eq!(threads(pid).unwrap(), before);
    serves_others(&server);
}

#[test]
fn a_half_closed_connection_gets_its_answers_and_is_closed() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    client.send(&repeated(&["INCR", "n"], 1_000)).unwrap();
    client.send(b"*1\r\n$4\r\nPI").unwrap();
    client.finish().unwrap();
    let (replies, _) = client.rest().unwrap();
    let expected: String = (1..=1_000).map(|number| format!(":{number}\r\n")).collect();
    assert_eq!(String::from_utf8(replies).unwrap(), expected);
}

#[test]
fn a_reset_in_mid_reply_applies_each_write_at_most_once() {
    const CLIENTS: usize = 20;
    let server = start(&[]);
    for _ in 0..CLIENTS {
        let mut client = server.client().unwrap();
        client.send(&repeated(&["INCR", "n"], 100)).unwrap();
        client.reply_bytes().unwrap();
        reset(client);
    }
    serves_others(&server);
    let mut client = server.client().unwrap();
    let count: usize = ask(&mut client, "GET n").parse().unwrap();
    assert!((CLIENTS..=CLIENTS * 100).contains(&count), "{count}");
}

#[test]
fn quit_answers_what_came_before_and_ignores_what_comes_after() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    let mut bytes = repeated(&["INCR", "n"], 3);
    bytes.extend(request(&["QUIT"]));
    bytes.extend(repeated(&["INCR", "n"], 3));
    client.send(&bytes).unwrap();
    let (replies, _) = client.rest().unwrap();
    assert_eq!(
        String::from_utf8(replies).unwrap(),
        ":1\r\n:2\r\n:3\r\n+OK\r\n"
    );
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "GET n"), "3");
}

#[test]
fn without_free_descriptors_the_server_waits_and_recovers() {
    let server = start(&[]);
    let mut old = server.client().unwrap();
    assert_eq!(ask(&mut old, "PING"), "PONG");
    limit_files(&server, open_files(server.pid()).unwrap() as u64 + 10);
    let crowd: Vec<Client> = (0..40).map(|_| server.client().unwrap()).collect();
    for _ in 0..100 {
        assert_eq!(ask(&mut old, "PING"), "PONG");
    }
    drop(crowd);
    eventually("nobody is accepted any more", || {
        let client = server
            .client()
            .map(|client| client.with_patience(Duration::from_secs(2)));
        client.is_ok_and(|mut client| client.call(&["PING"]).is_ok_and(|reply| !reply.is_error()))
    });
    assert_eq!(ask(&mut old, "PING"), "PONG");
}

fn limit_files(server: &ServerProcess, files: u64) {
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    let limit = Rlimit {
        current: Some(files),
        maximum: Some(files),
    };
    prlimit(pid, Resource::Nofile, limit).unwrap();
}

#[test]
fn five_hundred_connections_are_all_served() {
    let server = start(&[]);
    let mut clients: Vec<Client> = (0..500).map(|_| server.client().unwrap()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client
            .send(&request(&[
                "SET",
                &format!("k{number}"),
                &number.to_string(),
            ]))
            .unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.reply_bytes().unwrap(), b"+OK\r\n");
        client
            .send(&request(&["GET", &format!("k{number}")]))
            .unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let number = number.to_string();
        let expected = format!("${}\r\n{number}\r\n", number.len());
        assert_eq!(client.reply_bytes().unwrap(), expected.into_bytes());
    }
}
