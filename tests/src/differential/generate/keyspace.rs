//! Keys: their existence, names, types and times to live.

use super::Line;
use super::pool::{database, integer, key, moment, pattern, token, ttl};
use crate::random::Random;

pub(super) fn line(random: &mut Random) -> Line {
    match random.below(29) {
        0..=2 => {
            let name = random.one(&["DEL", "UNLINK"]);
            (0..random.between(1, 3)).fold(Line::of(name), |line, _| line.push(key(random)))
        }
        3 | 4 => {
            let name = random.one(&["EXISTS", "TOUCH"]);
            (0..random.between(1, 5)).fold(Line::of(name), |line, _| line.push(key(random)))
        }
        5 => Line::of("TYPE").push(key(random)),
        6 | 7 => {
            let name = random.one(&["RENAME", "RENAMENX"]);
            Line::of(name).push(key(random)).push(key(random))
        }
        8 | 9 => copy(random),
        10 => Line::of("KEYS").push(pattern(random)),
        11 => scan(random),
        12 | 13 => object(random),
        14..=17 => expire(random),
        18..=22 => {
            let name = random.one(&["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"]);
            Line::of(name).push(key(random))
        }
        23 | 24 => Line::of("PERSIST").push(key(random)),
        25 | 26 => Line::of("MOVE").push(key(random)).push(database(random)),
        27 => Line::of("SWAPDB")
            .push(database(random))
            .push(database(random)),
        _ => flush(random),
    }
}

fn copy(random: &mut Random) -> Line {
    let mut line = Line::of("COPY").push(key(random)).push(key(random));
    for _ in 0..random.below(3) {
        line = match random.below(3) {
            0 | 1 => line.option(random, "REPLACE"),
            _ => {
                let database = database(random);
                line.option(random, "DB").push(database)
            }
        };
    }
    line
}

/// Mostly wrong: whole walks are a step of their own.
fn scan(random: &mut Random) -> Line {
    let cursor = if random.percent(70) {
        b"0".to_vec()
    } else {
        random
            .one(&[
                &b"abc"[..],
                b"",
                b" 0",
                b"0x",
                b"18446744073709551616",
                b"1.5",
            ])
            .to_vec()
    };
    let mut line = Line::of("SCAN").push(cursor);
    for _ in 0..random.below(3) {
        line = match random.below(4) {
            0 => line.option(random, "MATCH").push(pattern(random)),
            1 => line.option(random, "COUNT").push(integer(random)),
            2 => {
                let kind = random.one(&["string", "STRING", "list", "none", ""]);
                line.option(random, "TYPE").push(kind)
            }
            _ => line.push(token(random)),
        };
    }
    line
}

fn object(random: &mut Random) -> Line {
    let name = random.one(&[
        "ENCODING", "ENCODING", "REFCOUNT", "IDLETIME", "FREQ", "HELP", "NOSUCH",
    ]);
    let line = Line::of("OBJECT").option(random, name);
    if name == "HELP" {
        line
    } else {
        line.push(key(random))
    }
}

fn expire(random: &mut Random) -> Line {
    let name = random.one(&["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"]);
    let time = if name.ends_with("AT") {
        moment(random)
    } else {
        ttl(random, name.starts_with('P'))
    };
    let mut line = Line::of(name).push(key(random)).push(time);
    let options = random.one(&[0, 0, 1, 1, 2]);
    for _ in 0..options {
        let option = random.one(&["NX", "XX", "GT", "LT", "NX", "XX", "GT", "LT", "FOO"]);
        line = line.option(random, option);
    }
    line
}

fn flush(random: &mut Random) -> Line {
    let line = Line::of(random.one(&["FLUSHALL", "FLUSHDB"]));
    let option = random.one(&["", "ASYNC", "SYNC", "FOO"]);
    // Seldom in earnest: an empty store answers everything alike.
    if option == "FOO" || random.percent(90) {
        line.option(random, "FOO")
    } else if option.is_empty() {
        line
    } else {
        line.option(random, option)
    }
}
