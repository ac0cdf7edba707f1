//! What arguments are drawn from: ordinary ones, odd ones, and those at a limit.

use crate::random::Random;

/// Keys. Few, so that commands meet each other's results.
pub(super) const KEYS: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"d",
    b"e",
    b"k1",
    b"k2",
    b"k3",
    b"k4",
    b"k5",
    b"k6",
    b"user:1000",
    b"user:1001",
    b"",
    b" ",
    b"two words",
    b"\0",
    b"cr\r\nlf",
    b"\xff\xfe\x80",
    b"*",
    b"h?llo[a-c]",
    b"hello",
    b"{tag}1",
    b"{tag}2",
    b"\xc3\xa9t\xc3\xa9",
    b"\"quoted\"",
    b"EX",
    b"-1",
    b"a-key-of-more-than-sixty-four-bytes-so-that-nothing-short-fits-it-any-more-0123456789",
];

/// Integers of every kind, and what only looks like one.
const INTEGERS: &[&[u8]] = &[
    b"0",
    b"1",
    b"-1",
    b"2",
    b"5",
    b"10",
    b"-10",
    b"100",
    b"9999",
    b"10000",
    b"2147483647",
    b"2147483648",
    b"-2147483648",
    b"4294967296",
    b"9223372036854775807",
    b"9223372036854775806",
    b"-9223372036854775808",
    b"-9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551615",
    b"18446744073709551616",
    b"99999999999999999999999999",
    b"",
    b" ",
    b" 1",
    b"1 ",
    b"+1",
    b"-0",
    b"00",
    b"01",
    b"-",
    b"+",
    b"1.0",
    b"1e3",
    b"0x10",
    b"abc",
    b"1\0",
    b"\0",
    b"ten",
    b"12345678901234567890",
];

const FLOATS: &[&[u8]] = &[
    b"0", b"1", b"-1", b"0.5", b"-0.5", b"3.25", b"10.125", b"1e3", b"2.5e-1", b"5.0e3",
    b"-2.75e2", b"0.1", b"0.2", b"-0.3", b"1.5", b"100000", b"3.0", b"-0.0", b"+5", b".5", b"5.",
    b"1e2",
];

const ODD_FLOATS: &[&[u8]] = &[
    b"inf",
    b"-inf",
    b"+inf",
    b"infinity",
    b"nan",
    b"-nan",
    b"1e400",
    b"-1e400",
    b"1e5000",
    b"1e4932",
    b"1.5e4932",
    b"0x10",
    b"0x1p3",
    b"",
    b" 1",
    b"1 ",
    b"1e",
    b"e1",
    b"1.2.3",
    b"abc",
    b"1e300",
    b"1e-300",
    b"3.141592653589793238462643383279",
    b"9223372036854775807",
    b"1e17",
    b"123456789012345678.5",
    b"1\0",
    b"1e-17",
    b"1e-18",
    b"0.00000000000000001",
    b"4.9e-324",
    b"1_000",
    b"1e+2",
    b"--1",
];

const PATTERNS: &[&[u8]] = &[
    b"*",
    b"",
    b"a",
    b"?",
    b"??",
    b"k?",
    b"k*",
    b"*1",
    b"k[1-3]",
    b"k[^1-3]",
    b"k[3-1]",
    b"[a-e]",
    b"[",
    b"[a",
    b"[^",
    b"\\",
    b"\\*",
    b"h\\?llo*",
    b"user:*",
    b"*:*",
    b"**",
    b"*a*b*",
    b"[]]",
    b"[^]]",
    b"[\\]]",
    b"\xff*",
    b"*\0*",
    b"*\r\n*",
    b"{tag}*",
    b"h?llo\\[a-c]",
    b"[a-",
    b"[a-]",
    b"[-a]",
    b"k**1",
    b"A",
    b"K?",
];

/// Moments that have passed, or never come, each far from now, in the unit of the command.
const MOMENTS: &[&[u8]] = &[
    b"1",
    b"1000",
    b"1500000000",
    b"4102444800",
    b"4102444801",
    b"4102444800000",
    b"4102444801000",
    b"4102444800001",
    b"0",
    b"-1",
    b"-1000",
    b"9223372036854775",
    b"9223372036854776",
    b"-9223372036854775",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"abc",
    b"",
    b"1.5",
    b"99999999999",
];

/// Times to live that are not positive, or too long, or no number.
const ODD_TIMES: &[&[u8]] = &[
    b"0",
    b"-1",
    b"-1000",
    b"9223372036854775",
    b"9223372036854776",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"-9223372036854775",
    b"9223372036854775808",
    b"abc",
    b"",
    b" 100000",
    b"1e5",
    b"9221569420800000",
    b"9223370000000000",
    b"-9223372036854776",
];

/// Shortest time to live in seconds that is drawn, so that none ends by itself within an episode.
pub(super) const TTL_SECONDS_MIN: i64 = 10_000;

/// Longest ordinary time to live in seconds: three years, so that it ends before the fixed moments of
/// the future do.
pub(super) const TTL_SECONDS_MAX: i64 = 100_000_000;

/// Longest value in bytes: beyond one read of a socket, and far from slow.
const VALUE_BYTES_MAX: usize = 20_000;

pub(super) fn key(random: &mut Random) -> Vec<u8> {
    // The first keys are the hot ones.
    let among = if random.percent(60) { 6 } else { KEYS.len() };
    KEYS[random.below(among)].to_vec()
}

/// The number of a database: mostly of one of a few, so that keys meet.
pub(super) fn database(random: &mut Random) -> Vec<u8> {
    match random.below(10) {
        0..=4 => b"0".to_vec(),
        5..=7 => random.one(&[&b"1"[..], b"2", b"15"]).to_vec(),
        8 => random
            .one(&[&b"16"[..], b"-1", b"99999999999", b"1.0"])
            .to_vec(),
        _ => integer(random),
    }
}

pub(super) fn integer(random: &mut Random) -> Vec<u8> {
    match random.below(10) {
        0..=4 => (random.between(0, 40) as i64 - 20).to_string().into_bytes(),
        5 => (random.number() as i64).to_string().into_bytes(),
        _ => random.one(INTEGERS).to_vec(),
    }
}

pub(super) fn float(random: &mut Random) -> Vec<u8> {
    if random.percent(70) {
        random.one(FLOATS).to_vec()
    } else {
        random.one(ODD_FLOATS).to_vec()
    }
}

pub(super) fn value(random: &mut Random) -> Vec<u8> {
    match random.below(12) {
        0..=2 => random.between(0, 300).to_string().into_bytes(),
        3 => random.one(INTEGERS).to_vec(),
        4 => random.one(FLOATS).to_vec(),
        5 => random.one(ODD_FLOATS).to_vec(),
        6 => Vec::new(),
        // Around the length up to which Redis embeds a string.
        7 => vec![b'x'; random.between(42, 46)],
        8 => {
            let length = random.below(40);
            random.bytes(length)
        }
        9 => {
            let longest = random.one(&[100, 1_000, VALUE_BYTES_MAX]);
            vec![b'v'; random.below(longest)]
        }
        10 => b"cr\r\nlf".to_vec(),
        _ => random
            .one(&[&b"v"[..], b"value", b"hello world", b"-ERR no", b"$5"])
            .to_vec(),
    }
}

pub(super) fn pattern(random: &mut Random) -> Vec<u8> {
    random.one(PATTERNS).to_vec()
}

pub(super) fn moment(random: &mut Random) -> Vec<u8> {
    random.one(MOMENTS).to_vec()
}

/// A time to live in seconds, or in milliseconds.
pub(super) fn ttl(random: &mut Random, milliseconds: bool) -> Vec<u8> {
    if random.percent(30) {
        return random.one(ODD_TIMES).to_vec();
    }
    // Hardly ever the same twice: a comparison of two equal ones would depend on the time between.
    let seconds = random.between(TTL_SECONDS_MIN as usize, TTL_SECONDS_MAX as usize);
    let number = if milliseconds {
        seconds * 1_000 + random.below(1_000)
    } else {
        seconds
    };
    number.to_string().into_bytes()
}

/// An offset or an index: near a string's ends, far beyond them, or no number. Never so far that a
/// legal write would take more than [`VALUE_BYTES_MAX`].
pub(super) fn offset(random: &mut Random) -> Vec<u8> {
    match random.below(10) {
        0..=6 => (random.between(0, 24) as i64 - 12).to_string().into_bytes(),
        7 => random.below(VALUE_BYTES_MAX).to_string().into_bytes(),
        8 => random
            .one(&[
                &b"536870912"[..],
                b"536870913",
                b"4294967295",
                b"9223372036854775807",
                b"-9223372036854775808",
                b"-536870913",
                b"9223372036854775808",
            ])
            .to_vec(),
        _ => random
            .one(&[&b"abc"[..], b"", b"1.0", b" 1", b"+1"])
            .to_vec(),
    }
}

/// Anything.
pub(super) fn token(random: &mut Random) -> Vec<u8> {
    match random.below(7) {
        0 => key(random),
        1 => integer(random),
        2 => value(random),
        3 => pattern(random),
        4 => moment(random),
        5 => float(random),
        _ => random
            .one(&[
                &b"NX"[..],
                b"XX",
                b"GT",
                b"LT",
                b"GET",
                b"EX",
                b"PX",
                b"EXAT",
                b"PXAT",
                b"KEEPTTL",
                b"PERSIST",
                b"REPLACE",
                b"DB",
                b"COUNT",
                b"MATCH",
                b"TYPE",
                b"ASYNC",
                b"SYNC",
                b"foo",
            ])
            .to_vec(),
    }
}
