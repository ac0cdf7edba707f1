//! Strings and counters.

use super::Line;
use super::pool::{float, integer, key, moment, offset, ttl, value};
use crate::random::Random;

pub(super) fn line(random: &mut Random) -> Line {
    match random.below(24) {
        0..=2 => Line::of("GET").push(key(random)),
        3..=6 => set(random),
        7 => Line::of("GETSET").push(key(random)).push(value(random)),
        8 => Line::of("GETDEL").push(key(random)),
        9 | 10 => getex(random),
        11 => Line::of("SETNX").push(key(random)).push(value(random)),
        12 => {
            let milliseconds = random.percent(50);
            let name = if milliseconds { "PSETEX" } else { "SETEX" };
            let (key, ttl) = (key(random), ttl(random, milliseconds));
            Line::of(name).push(key).push(ttl).push(value(random))
        }
        13 => Line::of("APPEND").push(key(random)).push(value(random)),
        14 => Line::of("STRLEN").push(key(random)),
        15 => {
            let name = random.one(&["GETRANGE", "SUBSTR"]);
            let key = key(random);
            Line::of(name)
                .push(key)
                .push(offset(random))
                .push(offset(random))
        }
        16 => {
            let (key, offset) = (key(random), offset(random));
            Line::of("SETRANGE")
                .push(key)
                .push(offset)
                .push(value(random))
        }
        17 => Line::of(random.one(&["INCR", "DECR"])).push(key(random)),
        18 | 19 => {
            let name = random.one(&["INCRBY", "DECRBY"]);
            Line::of(name).push(key(random)).push(integer(random))
        }
        20 => Line::of("INCRBYFLOAT")
            .push(key(random))
            .push(float(random)),
        21 => {
            let keys = random.between(1, 6);
            (0..keys).fold(Line::of("MGET"), |line, _| line.push(key(random)))
        }
        _ => {
            let name = random.one(&["MSET", "MSET", "MSETNX"]);
            let pairs = random.between(1, 5);
            (0..pairs).fold(Line::of(name), |line, _| {
                line.push(key(random)).push(value(random))
            })
        }
    }
}

fn set(random: &mut Random) -> Line {
    let mut line = Line::of("SET").push(key(random)).push(value(random));
    if random.percent(35) {
        return line;
    }
    // Any options in any order, legal together or not.
    for _ in 0..random.between(1, 3) {
        line = match random.below(8) {
            0 => line.option(random, "NX"),
            1 => line.option(random, "XX"),
            2 => line.option(random, "GET"),
            3 => line.option(random, "KEEPTTL"),
            4 => line.option(random, "EX").push(ttl(random, false)),
            5 => line.option(random, "PX").push(ttl(random, true)),
            6 => line.option(random, "EXAT").push(moment(random)),
            _ => line.option(random, "PXAT").push(moment(random)),
        };
    }
    line
}

fn getex(random: &mut Random) -> Line {
    let mut line = Line::of("GETEX").push(key(random));
    for _ in 0..random.below(3) {
        line = match random.below(6) {
            0 | 1 => line.option(random, "PERSIST"),
            2 => line.option(random, "EX").push(ttl(random, false)),
            3 => line.option(random, "PX").push(ttl(random, true)),
            4 => line.option(random, "EXAT").push(moment(random)),
            _ => line.option(random, "PXAT").push(moment(random)),
        };
    }
    line
}
