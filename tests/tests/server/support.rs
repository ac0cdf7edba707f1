//! What the tests of the server share.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use shardkeep_resp::Value;
use shardkeep_tests::clock::{self, PATIENCE};
use shardkeep_tests::harness::{Client, Launch, ServerProcess, Signal, request};
use socket2::{Domain, Socket, Type};

/// Longest that a client waits while others misbehave: what is held up by them is held up for ever, and
/// a crowded machine is not their doing.
pub(crate) const PROMPT: Duration = Duration::from_secs(10);

/// One mebibyte in bytes.
pub(crate) const MIB: u64 = 1024 * 1024;

/// The program under test.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_shardkeep-under-test"))
}

/// The server with `flags`, ready.
pub(crate) fn start(flags: &[&str]) -> ServerProcess {
    ServerProcess::start(program(), Launch::Shardkeep, flags).unwrap()
}

/// The server's end of `client`'s connection, borrowed from its process.
pub(crate) fn accepted(server: &ServerProcess, client: &Client) -> socket2::Socket {
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap();
    let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let peer = client.stream().local_addr().unwrap();
    for entry in fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap() {
        let Ok(number) = entry.unwrap().file_name().to_string_lossy().parse() else {
            continue;
        };
        let Ok(descriptor) = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()) else {
            continue;
        };
        let socket = socket2::Socket::from(descriptor);
        if socket
            .peer_addr()
            .is_ok_and(|address| address.as_socket() == Some(peer))
        {
            return socket;
        }
    }
    panic!("the server has no connection from {peer}");
}

/// A client for which the kernel holds no more than `bytes` that it has not read.
pub(crate) fn narrow_client(server: &ServerProcess, bytes: usize) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(bytes).unwrap();
    socket.connect(&server.address().into()).unwrap();
    Client::over(socket.into()).unwrap()
}

/// Calls `piece` so many times, evenly over the time; `false` ends it early.
pub(crate) fn steadily(over: Duration, pieces: u32, mut piece: impl FnMut() -> bool) {
    let start = clock::now();
    for number in 0..pieces {
        let at = start + over * number / pieces;
        if let Some(left) = clock::left(at) {
            clock::pass(left);
        }
        if !piece() {
            return;
        }
    }
}

/// The server with `flags`, ready, in which `plans` (see `fail_point`) come true.
pub(crate) fn planted(plans: &str, flags: &[&str]) -> ServerProcess {
    let environment = [("FAIL_POINTS", plans)];
    ServerProcess::shardkeep(program(), flags, &environment).unwrap()
}

/// Whether the server has said so.
pub(crate) fn says(server: &ServerProcess, part: &str) -> bool {
    server.output().iter().any(|line| line.contains(part))
}

/// Told to end, the server does, with nothing to complain of.
pub(crate) fn ends_cleanly(server: &mut ServerProcess) {
    server.signal(Signal::TERM).unwrap();
    let status = server.wait(PATIENCE).unwrap();
    assert_eq!(status.code(), Some(0), "{:?}", server.output());
}

/// What `client` is answered, as text; a bulk and a simple string look alike.
pub(crate) fn ask(client: &mut Client, line: &str) -> String {
    let args: Vec<&str> = line.split(' ').collect();
    shown(&client.call(&args).unwrap())
}

/// A reply as text.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Error(text) => format!("-{}", String::from_utf8_lossy(text)),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(" "))
        }
        other if other.is_null() => "nil".to_owned(),
        other => match other.bytes() {
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => format!("{other:?}"),
        },
    }
}

/// A new client is served at once.
pub(crate) fn serves_others(server: &ServerProcess) {
    let mut other = server.client().unwrap().with_patience(PROMPT);
    assert_eq!(ask(&mut other, "PING"), "PONG");
    assert_eq!(ask(&mut other, "SET other client"), "OK");
    assert_eq!(ask(&mut other, "GET other"), "client");
}

/// Waits until `met`, looking again and again: for what the server does on its own, such as closing.
pub(crate) fn eventually(what: &str, mut met: impl FnMut() -> bool) {
    let deadline = clock::now() + PATIENCE;
    while !met() {
        assert!(clock::left(deadline).is_some(), "{what}");
        std::thread::yield_now();
    }
}

/// A figure of INFO memory.
pub(crate) fn figure(client: &mut Client, name: &str) -> u64 {
    let info = ask(client, "INFO memory");
    let line = info.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.strip_prefix(':'))
        .unwrap()
        .parse()
        .unwrap()
}

/// Removes a large value: the thread that frees such values is there from the first of them on.
pub(crate) fn frees_a_large_value(client: &mut Client) {
    assert_eq!(ask(client, "SETRANGE large 100000 v"), "100001");
    assert_eq!(ask(client, "DEL large"), "1");
    eventually("a large value is freed", || {
        figure(client, "lazyfreed_objects") > 0
    });
}

/// `count` times the same request.
pub(crate) fn repeated(args: &[&str], count: usize) -> Vec<u8> {
    request(args).repeat(count)
}

/// Sends requests while it reads their replies, of `reply_bytes` in all.
pub(crate) fn pipeline(client: &mut Client, requests: Vec<u8>, reply_bytes: usize) -> Vec<u8> {
    let mut sender = client.stream().try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut sender, &requests).unwrap());
        let mut got = Vec::with_capacity(reply_bytes);
        while got.len() < reply_bytes {
            got.extend(client.reply_bytes().unwrap());
        }
        got
    })
}
