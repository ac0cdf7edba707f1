//! Files read: what each form gives, and what is refused.

use std::io::{self, Read};

use super::sample::Sample;
use super::*;

/// Reads to the end; each item as text, and whether a checksum vouches for them.
fn read(source: impl Read) -> Result<(Vec<String>, bool), ReadError> {
    let mut reader = Reader::new(source)?;
    let mut items = Vec::new();
    while let Some(item) = reader.next_item()? {
        items.push(text(&item));
    }
    Ok((items, reader.is_verified()))
}

fn text(item: &Item<'_>) -> String {
    match item {
        Item::Note { name, value } => {
            format!("{}: {}", name.escape_ascii(), value.escape_ascii())
        }
        Item::Entry {
            database,
            key,
            value,
            expires,
        } => {
            let value = match value {
                Value::String(value) => value.escape_ascii().to_string(),
                Value::TooLong { bytes } => format!("({bytes} bytes)"),
                Value::Other(kind) => format!("({kind})"),
            };
            let expires = expires.map_or(String::new(), |at| format!(" until {at}"));
            format!("{database}/{}={value}{expires}", key.escape_ascii())
        }
        Item::Functions(code) => format!("functions {}", code.escape_ascii()),
        Item::ModuleData(module) => format!("data of {module}"),
    }
}

/// A file that has every form that can be imported.
fn sample() -> Sample {
    Sample::new()
        .bytes(b"\xfa\x09redis-ver\x057.0.0\xfa\x0aredis-bits\xc0\x40")
        .bytes(b"\xfe\x00\xfb\x07\x02")
        .entry(b"k", b"v")
        .bytes(b"\xfc\x00\x10\x00\x00\x00\x00\x00\x00\xf8\x05")
        .entry(b"millis", b"")
        .bytes(b"\xfd\x02\x00\x00\x00\xf9\xff")
        .entry(b"seconds", b"s")
        .bytes(b"\x00\xc0\xfe\xc1\x00\x80")
        .bytes(b"\x00\xc2\xff\xff\xff\x7f\xc3\x05\x0d\x00a\xe0\x03\x00")
}

const SAMPLE_ITEMS: [&str; 7] = [
    "redis-ver: 7.0.0",
    "redis-bits: 64",
    "0/k=v",
    "0/millis= until 4096",
    "0/seconds=s until 2000",
    "0/-2=-32768",
    "0/2147483647=aaaaaaaaaaaaa",
];

fn check(file: Sample, expected: &[&str]) {
    let file = file.end();
    let (items, is_verified) = read(file.as_slice()).unwrap();
    assert_eq!(items, expected, "{}", file.escape_ascii());
    assert!(is_verified);
}

#[test]
fn every_form_is_read() {
    check(sample(), &SAMPLE_ITEMS);
    check(Sample::new(), &[]);
}

#[test]
fn versions_9_to_11_are_read_and_others_refused_by_number() {
    for (version, expected) in [("0009", 9), ("0010", 10), ("0011", 11)] {
        check(Sample::of_version(version).entry(b"k", b"v"), &["0/k=v"]);
        let file = Sample::of_version(version).end();
        assert_eq!(Reader::new(file.as_slice()).unwrap().version(), expected);
    }
    for (version, number) in [("0000", 0), ("0008", 8), ("0012", 12), ("9999", 9_999)] {
        let error = read(Sample::of_version(version).end().as_slice()).unwrap_err();
        assert!(matches!(error, ReadError::Version { version } if version == number));
        let text = format!("RDB version {number}, and versions 9 to 11 can be imported");
        assert!(error.to_string().contains(&text), "{error}");
    }
}

#[test]
fn what_is_no_such_file_is_refused_as_such() {
    let cases: [&[u8]; 7] = [
        b"",
        b"REDIS",
        b"REDIS001",
        b"redis0010",
        b"REDIS00a0",
        b"REDIS+010",
        b"*1\r\n$4\r\nPING\r\n",
    ];
    for file in cases {
        let error = read(file).unwrap_err();
        assert!(
            matches!(error, ReadError::NotRdb),
            "{}: {error}",
            file.escape_ascii()
        );
    }
}

#[test]
fn a_string_of_any_length_encoding_is_read() {
    let long = |head: &[u8], bytes: usize| {
        let file = Sample::new()
            .key(0, b"k")
            .bytes(head)
            .bytes(&vec![b'x'; bytes]);
        check(file, &[&format!("0/k={}", "x".repeat(bytes))]);
    };
    long(b"\x3f", 63);
    long(b"\x40\x40", 64);
    long(b"\x7f\xff", 16_383);
    long(b"\x80\x00\x00\x40\x00", 16_384);
    long(b"\x81\x00\x00\x00\x00\x00\x00\x40\x00", 16_384);
    long(b"\x80\x00\x02\x00\x00", 2 * INPUT_BYTES);
}

#[test]
fn keys_of_other_databases_say_so() {
    let file = Sample::new()
        .bytes(b"\xfe\x0f")
        .entry(b"k", b"v")
        .bytes(b"\xfe\x41\x00")
        .entry(b"k", b"v");
    check(file, &["15/k=v", "256/k=v"]);
}

/// Something that is passed over: its name here, its code, its bytes behind the key.
const FOREIGN: [(&str, u8, &[u8]); 20] = [
    ("a list", 1, b"\x02\x01a\xc0\x05"),
    ("a set", 2, b"\x01\x01a"),
    (
        "a sorted set",
        3,
        b"\x04\x01a\x031.5\x01b\xfd\x01c\xfe\x01d\xff",
    ),
    ("a hash", 4, b"\x01\x01f\xc3\x05\x0d\x00a\xe0\x03\x00"),
    (
        "a sorted set",
        5,
        b"\x01\x01a\x00\x00\x00\x00\x00\x00\xf0\x3f",
    ),
    ("a value of module type hello-typ", 7, MODULE),
    ("a hash", 9, b"\x03zip"),
    ("a list", 10, b"\x03zip"),
    ("a set", 11, b"\x03int"),
    ("a sorted set", 12, b"\x03zip"),
    ("a hash", 13, b"\x03zip"),
    ("a list", 14, b"\x02\x03zip\x03zip"),
    (
        "a stream",
        15,
        b"\x01\x10aaaaaaaaaaaaaaaa\x02lp\x01\x02\x03\x00",
    ),
    ("a hash", 16, b"\x02lp"),
    ("a sorted set", 17, b"\x02lp"),
    ("a list", 18, b"\x02\x02\x02lp\x01\x04text"),
    ("a stream", 19, b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
    ("a set", 20, b"\x02lp"),
    ("a stream", 15, GROUPS[0]),
    ("a stream", 21, GROUPS[1]),
];

/// The type `hello-typ` of version 0, and parts of every kind.
const MODULE: &[u8] = b"\x81\x85\xe9\x65\xa3\xeb\x72\xa4\x00\
    \x01\x01\x02\x80\x00\x00\x00\x02\x03\x00\x00\x80\x3f\x04\x00\x00\x00\x00\x00\x00\xf0\x3f\x05\x04text\x00";

/// Streams with a group, two pending entries and two consumers, in the first and the last form.
const GROUPS: [&[u8]; 2] = [
    b"\x00\x00\x00\x00\x01\x05group\x01\x02\
      \x02iiiiiiiiiiiiiiiitttttttt\x01iiiiiiiiiiiiiiiitttttttt\x40\xff\
      \x02\x03oneseenseen\x01iiiiiiiiiiiiiiii\x05otherseenseen\x00",
    b"\x00\x00\x00\x00\x01\x02\x03\x04\x05\x01\x05group\x01\x02\x03\
      \x02iiiiiiiiiiiiiiiitttttttt\x01iiiiiiiiiiiiiiiitttttttt\x40\xff\
      \x02\x03oneseenseenactiveac\x01iiiiiiiiiiiiiiii\x05otherseenseenactiveac\x00",
];

#[test]
fn a_value_of_every_other_type_is_named_and_passed_over() {
    for (name, code, value) in FOREIGN {
        let file = Sample::new()
            .key(code, b"k")
            .bytes(value)
            .entry(b"next", b"v");
        check(file, &[&format!("0/k=({name})"), "0/next=v"]);
    }
}

#[test]
fn functions_and_data_of_modules_are_named_and_passed_over() {
    let file = Sample::new()
        .bytes(b"\xf5\x10#!lua name=lib\nx")
        .bytes(b"\xf7")
        .bytes(MODULE)
        .entry(b"next", b"v");
    let expected = [
        "functions #!lua name=lib\\nx",
        "data of hello-typ",
        "0/next=v",
    ];
    check(file, &expected);
}

#[test]
fn what_cannot_be_passed_over_ends_the_reading_by_name() {
    let cases = [
        (
            Sample::new().entry(b"k", b"v").key(6, b"m").bytes(MODULE),
            "its byte 17 begins a value of module type hello-typ",
        ),
        (
            Sample::new().entry(b"k", b"v").bytes(b"\xf6\x03lib"),
            "its byte 14 begins functions in a form of release candidates",
        ),
    ];
    for (file, expected) in cases {
        let error = read(file.end().as_slice()).unwrap_err();
        assert!(matches!(error, ReadError::Impassable { .. }), "{error}");
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[test]
fn bytes_that_make_no_sense_are_refused_with_their_place() {
    let cases: [(&[u8], u64, Malformed); 19] = [
        (b"\x08", 9, Malformed::Opcode(8)),
        (b"\x16\x01k\x01v", 9, Malformed::Opcode(22)),
        (b"\xf4\x00", 9, Malformed::Opcode(244)),
        (b"\x00\x82", 10, Malformed::Length(0x82)),
        (b"\x00\xc4", 10, Malformed::Length(0xc4)),
        (b"\xfe\xc0\x00", 10, Malformed::NotALength),
        (b"\xfb\x00\xc3", 11, Malformed::NotALength),
        (b"\x01\x01k\xc0\x01", 12, Malformed::NotALength),
        (b"\x00\xc3\x05\x42\x00", 11, Malformed::CompressedLength),
        (
            b"\x00\xc3\x80\xff\xff\xff\xff\x01",
            11,
            Malformed::CompressedLength,
        ),
        (b"\x00\xc3\x02\x03\x20\x00", 11, Malformed::Compressed),
        (b"\x00\xc3\x02\x02\x00a", 11, Malformed::Compressed),
        (
            b"\x04\x01k\x01\x01f\xc3\x01\xff",
            17,
            Malformed::Length(0xff),
        ),
        (
            b"\xfc\x01\x00\x00\x00\x00\x00\x00\x00\xff",
            18,
            Malformed::NoKey,
        ),
        (b"\xf9\x01\xfe\x00", 11, Malformed::NoKey),
        (b"\xf8\x01\xfa\x00\x00", 11, Malformed::NoKey),
        (
            b"\xfd\x01\x00\x00\x00\xfd\x01\x00\x00\x00",
            14,
            Malformed::SecondExpiry,
        ),
        (b"\x07\x01k\x00\x06", 13, Malformed::ModulePart(6)),
        (
            b"\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            18,
            Malformed::Trailing,
        ),
    ];
    for (bytes, place, wrong) in cases {
        let file = Sample::new().bytes(bytes).unverified();
        match read(file.as_slice()).unwrap_err() {
            ReadError::Malformed { offset, what } => {
                assert_eq!((offset, what), (place, wrong), "{}", bytes.escape_ascii());
            }
            other => panic!("{}: {other}", bytes.escape_ascii()),
        }
    }
}

#[test]
fn a_key_that_is_longer_than_any_may_be_is_refused() {
    // 6.1 MB that stand for more than 512 MiB.
    let plain = shardkeep_data::keyspace::record::STRING_BYTES_MAX as u32 + 1;
    let packed = plain.div_ceil(88);
    let string = [
        &b"\xc3\x80"[..],
        &packed.to_be_bytes(),
        b"\x80",
        &plain.to_be_bytes(),
        &vec![0; packed as usize],
    ]
    .concat();
    let file = Sample::new()
        .bytes(b"\x00")
        .bytes(&string)
        .short(b"v")
        .end();
    let error = read(file.as_slice()).unwrap_err();
    let text = "it is damaged at byte 10: a key has 536870913 bytes, and 536870912 is the limit";
    assert_eq!(error.to_string(), text);
    let file = Sample::new()
        .key(0, b"k")
        .bytes(&string)
        .entry(b"next", b"v");
    check(file, &["0/k=(536870913 bytes)", "0/next=v"]);
}

#[test]
fn counts_and_lengths_that_no_file_has_end_with_the_file() {
    let most = b"\x81\xff\xff\xff\xff\xff\xff\xff\xff";
    for code in [0, 1, 2, 3, 4, 5, 7, 9, 14, 15, 18, 19, 21] {
        let file = Sample::new().key(code, b"k").bytes(most).end();
        let error = read(file.as_slice()).unwrap_err();
        let is_right = match error {
            ReadError::Truncated { offset } => offset == file.len() as u64,
            ReadError::Malformed { .. } => true,
            _ => false,
        };
        assert!(is_right, "{code}: {error}");
    }
}

#[test]
fn every_truncation_is_refused() {
    let file = sample().end();
    for length in 0..file.len() {
        let error = read(&file[..length]).unwrap_err();
        let is_right = match error {
            ReadError::NotRdb => length < 9,
            ReadError::Truncated { offset } => offset == length as u64,
            _ => false,
        };
        assert!(is_right, "{length} bytes: {error}");
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let file = sample().end();
    for bit in 0..8 * file.len() {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(read(damaged.as_slice()).is_err(), "bit {bit}");
    }
}

#[test]
fn without_a_checksum_any_damage_is_survived_and_nothing_vouches() {
    let file = sample().unverified();
    let (items, is_verified) = read(file.as_slice()).unwrap();
    assert_eq!(items, SAMPLE_ITEMS);
    assert!(!is_verified);
    for at in 0..file.len() {
        for byte in 0..=u8::MAX {
            let mut damaged = file.clone();
            damaged[at] = byte;
            if let Ok((_, is_verified)) = read(damaged.as_slice()) {
                assert!(!is_verified || damaged == file, "byte {at} is {byte}");
            }
        }
    }
}

#[test]
fn a_wrong_checksum_is_told_with_both() {
    let mut file = sample().end();
    let last = file.len() - 1;
    file[last] ^= 1;
    let error = read(file.as_slice()).unwrap_err();
    assert!(matches!(error, ReadError::Checksum { .. }));
    let stated = u64::from_le_bytes(file[last - 7..].try_into().unwrap());
    let text = format!("its checksum is {stated:016x}, and its bytes give");
    assert!(error.to_string().contains(&text), "{error}");
}

/// Gives a byte at a time, each after an interruption, then an error or the end.
struct Slow<'f> {
    file: &'f [u8],
    is_interrupted: bool,
    fails: bool,
}

impl Read for Slow<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.is_interrupted = !self.is_interrupted;
        if self.is_interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match self.file.split_first() {
            None if self.fails => Err(io::Error::other("input/output error")),
            None => Ok(0),
            Some((byte, rest)) => {
                buffer[0] = *byte;
                self.file = rest;
                Ok(1)
            }
        }
    }
}

#[test]
fn short_reads_and_interruptions_change_nothing() {
    let file = sample().end();
    let slow = Slow {
        file: &file,
        is_interrupted: false,
        fails: false,
    };
    assert_eq!(read(slow).unwrap().0, SAMPLE_ITEMS);
}

#[test]
fn an_error_of_the_system_is_never_taken_for_the_end() {
    let file = sample().end();
    for length in 0..=file.len() {
        let slow = Slow {
            file: &file[..length],
            is_interrupted: false,
            fails: true,
        };
        let error = read(slow).unwrap_err();
        let is_right =
            matches!(&error, ReadError::Unreadable { offset, .. } if *offset == length as u64);
        assert!(is_right, "{length} bytes: {error}");
    }
}

#[test]
fn after_an_error_or_the_end_there_is_nothing() {
    let file = Sample::new().entry(b"k", b"v").bytes(b"\x08").end();
    let mut reader = Reader::new(file.as_slice()).unwrap();
    assert!(reader.next_item().unwrap().is_some());
    assert!(reader.next_item().is_err());
    for _ in 0..2 {
        assert_eq!(reader.next_item().unwrap(), None);
        assert!(!reader.is_verified());
    }
}
