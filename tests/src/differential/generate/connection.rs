//! The connection, the server's tables, and what is no command at all.

use super::pool::{database, integer, key, token, value};
use super::{Line, PASSWORD};
use crate::random::Random;

/// The commands both servers have, as the command table is asked about them.
const KNOWN: &[&str] = &[
    "get",
    "set",
    "getset",
    "getdel",
    "getex",
    "setnx",
    "setex",
    "psetex",
    "append",
    "strlen",
    "getrange",
    "substr",
    "setrange",
    "incr",
    "decr",
    "incrby",
    "decrby",
    "incrbyfloat",
    "mget",
    "mset",
    "msetnx",
    "del",
    "unlink",
    "exists",
    "touch",
    "type",
    "rename",
    "renamenx",
    "copy",
    "move",
    "swapdb",
    "randomkey",
    "dbsize",
    "scan",
    "keys",
    "flushall",
    "flushdb",
    "expire",
    "pexpire",
    "expireat",
    "pexpireat",
    "ttl",
    "pttl",
    "expiretime",
    "pexpiretime",
    "persist",
    "ping",
    "echo",
    "quit",
    "reset",
    "hello",
    "auth",
    "select",
    "time",
    "shutdown",
    "info",
];

pub(super) fn line(random: &mut Random) -> Line {
    match random.below(24) {
        0..=2 => match random.below(3) {
            0 => Line::of("PING"),
            1 => Line::of("PING").push(value(random)),
            _ => Line::of("ECHO").push(value(random)),
        },
        3..=6 => hello(random),
        7 => match random.below(4) {
            0 => Line::of("AUTH").push(password(random)),
            1 => Line::of("AUTH").push("default").push(password(random)),
            2 => Line::of("AUTH").push("nobody").push(token(random)),
            _ => Line::of("AUTH").push("a").push("b").push("c"),
        },
        8 | 9 => {
            let database = database(random);
            Line::of("SELECT").push(database)
        }
        10 | 11 => client(random),
        12 | 13 => command(random),
        14 => {
            let asked = random.one(&[
                "maxmemory",
                "save",
                "appendonly",
                "timeout",
                "max*",
                "nosuch",
                "",
            ]);
            match random.below(5) {
                0 => Line::of("CONFIG"),
                1 => Line::of("CONFIG").push("NOSUCH").push(asked),
                2 => Line::of("CONFIG").option(random, "GET"),
                _ => Line::of("CONFIG").option(random, "GET").push(asked),
            }
        }
        15 => {
            let section = random.one(&[
                "server", "clients", "memory", "stats", "keyspace", "all", "default",
            ]);
            Line::of("INFO").option(random, section)
        }
        16 => Line::of("TIME"),
        17 => Line::of("RESET"),
        18 => Line::of("QUIT"),
        19 => Line::of("SHUTDOWN")
            .exactly()
            .push(random.one(&["FOO", "ABORT", "NOSAVE BAR", ""])),
        20 => Line::of("DBSIZE").push("surplus"),
        _ => unknown(random),
    }
}

/// The password, mostly.
fn password(random: &mut Random) -> Vec<u8> {
    if random.percent(70) {
        PASSWORD.into()
    } else {
        token(random)
    }
}

fn hello(random: &mut Random) -> Line {
    let line = Line::of("HELLO");
    match random.below(12) {
        0..=3 => line.push("3"),
        4..=6 => line.push("2"),
        7 => line,
        8 => line.push(integer(random)),
        9 => {
            let user = random.one(&["default", "nobody"]);
            let version = random.one(&["2", "3"]);
            line.push(version)
                .option(random, "AUTH")
                .push(user)
                .push(password(random))
        }
        10 => {
            let version = random.one(&["2", "3"]);
            let name = random.one(&["me", "two words", "", "new\nline", "caf\u{e9}"]);
            line.push(version).option(random, "SETNAME").push(name)
        }
        _ => line.push("3").push(token(random)),
    }
}

fn client(random: &mut Random) -> Line {
    let line = Line::of("CLIENT");
    match random.below(9) {
        0 => line.option(random, "ID"),
        1 | 2 => line.option(random, "GETNAME"),
        3 | 4 => {
            let name = random.one(&[
                "me",
                "two words",
                "",
                "new\nline",
                "a-b_c",
                "caf\u{e9}",
                "~",
                "!",
            ]);
            line.option(random, "SETNAME").push(name)
        }
        5 => line.option(random, "INFO"),
        6 => line.option(random, "LIST"),
        7 => line
            .option(random, "SETINFO")
            .push("LIB-NAME")
            .push("differential"),
        _ => line.push(token(random)),
    }
}

fn command(random: &mut Random) -> Line {
    let line = Line::of("COMMAND");
    match random.below(9) {
        0..=3 => {
            let line = line.option(random, "INFO");
            (0..random.between(1, 3)).fold(line, |line, _| {
                let name = random.one(KNOWN);
                line.option(random, name)
            })
        }
        4 => line.option(random, "INFO").push("nosuch"),
        5 => line.option(random, "DOCS").push(random.one(KNOWN)),
        6 => line.option(random, "COUNT"),
        7 => {
            let asked = random.one(&[
                "get k",
                "mset a 1 b 2 c 3",
                "mset a",
                "del a b c",
                "rename a b",
                "ping",
                "set k v EX 10",
                "set k v XX get",
                "getex k EX 10",
                "move k 3",
                "swapdb 0 1",
                "command getkeysandflags get k",
                "nosuch k",
                "copy a b",
                "object encoding k",
                "msetnx a 1",
                "get",
                "info",
                "exists a b",
                "client id",
            ]);
            let subcommand = random.one(&["GETKEYS", "GETKEYSANDFLAGS"]);
            let line = line.option(random, subcommand);
            asked.split(' ').fold(line, |line, word| line.push(word))
        }
        _ => line.push("NOSUCH"),
    }
}

fn unknown(random: &mut Random) -> Line {
    let mut line = Line::of(random.one(&[
        "FOO",
        "GETT",
        "SE",
        "foo:bar",
        "cr\r\nlf",
        "it's",
        "\"",
        "caf\u{e9}",
        "nul\0",
        "",
        "a-name-of-more-than-one-hundred-and-twenty-eight-bytes-0123456789-0123456789-0123456789-\
         0123456789-0123456789-0123456789-0123456789",
    ]));
    for _ in 0..random.below(6) {
        line = line.push(if random.percent(50) {
            value(random)
        } else {
            key(random)
        });
    }
    line
}
