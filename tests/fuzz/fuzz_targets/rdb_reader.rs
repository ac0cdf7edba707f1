//! Files of Redis made of whatever the fuzzer likes, with checksums that fit.
//!
//! Any bytes: the reader ends, gives no more than they can stand for, and gives the same whatever
//! pieces they come in. Strings in a form that the fuzzer chooses: what comes out is what was put in.

#![no_main]

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use shardkeep_server::rdb::{Item, Reader, Value, checksum};

/// Most bytes that one byte of a file can stand for (LZF), with room for the digits of numbers.
const RATIO_MAX: usize = 88;

const VERSIONS: [&[u8; 9]; 3] = [b"REDIS0009", b"REDIS0010", b"REDIS0011"];

/// A file with `body` between the header and the end.
fn file(version: u8, body: &[u8]) -> Vec<u8> {
    let header = VERSIONS[usize::from(version) % VERSIONS.len()];
    let mut file = [header, body, &[0xff]].concat();
    file.extend(checksum(&file).to_le_bytes());
    file
}

/// Gives so many bytes at a time.
struct Pieces<'f>(&'f [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.1.min(buffer.len()).min(self.0.len());
        buffer[..bytes].copy_from_slice(&self.0[..bytes]);
        self.0 = &self.0[bytes..];
        Ok(bytes)
    }
}

/// All that a source gives: the items, what became of it, and how many bytes of strings there were.
fn read(source: impl Read) -> (Vec<String>, String, usize) {
    let (mut items, mut bytes) = (Vec::new(), 0);
    let outcome = (|| {
        let mut reader = Reader::new(source)?;
        while let Some(item) = reader.next_item()? {
            bytes += match item {
                Item::Entry {
                    key,
                    value: Value::String(value),
                    ..
                } => key.len() + value.len(),
                Item::Entry { key, .. } => key.len(),
                Item::Note { name, value } => name.len() + value.len(),
                Item::Functions(code) => code.len(),
                _ => 0,
            };
            items.push(format!("{item:?}"));
        }
        assert!(reader.is_verified());
        Ok::<_, shardkeep_server::rdb::ReadError>(reader.offset())
    })();
    (items, format!("{outcome:?}"), bytes)
}

fn any(version: u8, body: &[u8]) {
    let file = file(version, body);
    let whole = read(file.as_slice());
    assert!(
        whole.2 <= RATIO_MAX * file.len(),
        "{} of {}",
        whole.2,
        file.len()
    );
    assert_eq!(read(Pieces(&file, 1 + usize::from(version) / 3)), whole);
}

/// Appends `text` in one of its forms.
fn put(form: u8, text: &[u8], file: &mut Vec<u8>) {
    let digits = std::str::from_utf8(text).ok();
    let number = digits.and_then(|digits| digits.parse::<i32>().ok());
    let number = number.filter(|number| number.to_string().as_bytes() == text);
    let length = text.len();
    match (form % 6, number) {
        (0, Some(number)) if i8::try_from(number).is_ok() => {
            file.extend([0xc0, number as u8]);
        }
        (0 | 1, Some(number)) if i16::try_from(number).is_ok() => {
            file.push(0xc1);
            file.extend((number as i16).to_le_bytes());
        }
        (0..=2, Some(number)) => {
            file.push(0xc2);
            file.extend(number.to_le_bytes());
        }
        (3, _) if !text.is_empty() => {
            let packed = compressed(text);
            file.extend([0xc3, 0x80]);
            file.extend((packed.len() as u32).to_be_bytes());
            file.push(0x80);
            file.extend((length as u32).to_be_bytes());
            file.extend(packed);
        }
        (4, _) => {
            file.push(0x81);
            file.extend((length as u64).to_be_bytes());
            file.extend(text);
        }
        _ if length < 64 => {
            file.push(length as u8);
            file.extend(text);
        }
        _ => {
            file.extend([0x40 | (length >> 8) as u8, length as u8]);
            file.extend(text);
        }
    }
}

/// As LZF: repetitions of what is at most 300 bytes back where there are any, else single bytes.
fn compressed(text: &[u8]) -> Vec<u8> {
    let (mut packed, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let from = at.saturating_sub(300);
        let same = |start: &usize| {
            let pairs = text[*start..].iter().zip(&text[at..]);
            pairs
                .take(264)
                .take_while(|(one, other)| one == other)
                .count()
        };
        let best = (from..at)
            .max_by_key(same)
            .map(|start| (start, same(&start)));
        match best {
            Some((start, length)) if length >= 3 => {
                let distance = at - start - 1;
                let high = (distance >> 8) as u8;
                match length - 2 {
                    short @ 1..=6 => packed.push((short as u8) << 5 | high),
                    long => packed.extend([0xe0 | high, (long - 7) as u8]),
                }
                packed.push(distance as u8);
                at += length;
            }
            _ => {
                packed.extend([0, text[at]]);
                at += 1;
            }
        }
    }
    packed
}

fn strings(version: u8, mut data: &[u8]) {
    let (mut body, mut expected) = (Vec::new(), Vec::new());
    while let Some((&[forms, key, value, expiry], rest)) = data.split_first_chunk::<4>() {
        let (key, rest) = rest.split_at(usize::from(key % 32).min(rest.len()));
        let (value, rest) = rest.split_at(usize::from(value).min(rest.len()));
        data = rest;
        let seconds = i32::from(expiry) << 20;
        let expires = match expiry % 3 {
            0 => None,
            1 => {
                body.push(0xfc);
                body.extend(i64::from(seconds).to_le_bytes());
                Some(i64::from(seconds))
            }
            _ => {
                body.push(0xfd);
                body.extend(seconds.to_le_bytes());
                Some(i64::from(seconds) * 1_000)
            }
        };
        body.push(0);
        put(forms / 16, key, &mut body);
        put(forms, value, &mut body);
        let value = Value::String(value);
        let item = Item::Entry {
            database: 0,
            key,
            value,
            expires,
        };
        expected.push(format!("{item:?}"));
    }
    let (items, outcome, _) = read(file(version, &body).as_slice());
    assert!(outcome.starts_with("Ok("), "{outcome}");
    assert_eq!(items, expected);
}

fuzz_target!(|data: &[u8]| {
    match data {
        [] => {}
        [choice, rest @ ..] if choice % 4 == 0 => strings(choice / 4, rest),
        [choice, rest @ ..] => any(*choice, rest),
    }
});
