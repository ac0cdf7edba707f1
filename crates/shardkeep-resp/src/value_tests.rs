use proptest::prelude::*;

use super::*;
use crate::{INLINE_BYTES_MAX, Protocol, REPLY_DEPTH_MAX, Reply};

/// The values in `bytes` that arrive in pieces of `piece` bytes, and the error that ended them.
fn decode(bytes: &[u8], piece: usize) -> (Vec<Value>, Option<ReplyError>) {
    let (mut decoder, mut values) = (ReplyDecoder::with_frame_bytes_max(1_000_000), Vec::new());
    let mut input = Vec::new();
    for now in bytes.chunks(piece) {
        input.extend_from_slice(now);
        while !input.is_empty() {
            match decoder.decode(&input) {
                Ok(Some((value, consumed))) => {
                    assert!(!decoder.in_frame());
                    values.push(value);
                    input.drain(..consumed);
                }
                Ok(None) => {
                    assert!(decoder.in_frame());
                    break;
                }
                Err(error) => return (values, Some(error)),
            }
        }
    }
    (values, None)
}

fn check(bytes: &[u8], values: &[Value], error: Option<ReplyError>) {
    for piece in [bytes.len().max(1), 1] {
        let decoded = decode(bytes, piece);
        assert_eq!(
            (&decoded.0[..], decoded.1),
            (values, error),
            "{}",
            bytes.escape_ascii()
        );
    }
}

/// Bytes that replies are made of.
fn rubbish() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop::sample::select(b"*$%|=:,1290-\r\n\r\n+t".to_vec());
    prop::collection::vec(byte, 0..60)
}

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[test]
fn every_type_is_read() {
    let table = [
        ("+OK\r\n", Value::Simple(text("OK"))),
        ("-ERR no\r\n", Value::Error(text("ERR no"))),
        ("!6\r\nERR no\r\n", Value::Error(text("ERR no"))),
        (":-7\r\n", Value::Integer(-7)),
        ("$0\r\n\r\n", Value::Bulk(text(""))),
        ("$4\r\n\r\n\r\n\r\n", Value::Bulk(text("\r\n\r\n"))),
        ("$-1\r\n", Value::NullBulk),
        ("*-1\r\n", Value::NullArray),
        ("_\r\n", Value::Null),
        ("#t\r\n", Value::Boolean(true)),
        ("#f\r\n", Value::Boolean(false)),
        (",-inf\r\n", Value::Double(f64::NEG_INFINITY)),
        (",1.5e+300\r\n", Value::Double(1.5e300)),
        (
            "(123456789012345678901234567890\r\n",
            Value::BigNumber(text("123456789012345678901234567890")),
        ),
        (
            "=7\r\ntxt:a b\r\n",
            Value::Verbatim {
                format: *b"txt",
                text: text("a b"),
            },
        ),
        ("*0\r\n", Value::Array(vec![])),
        ("%0\r\n", Value::Map(vec![])),
        ("~1\r\n:1\r\n", Value::Set(vec![Value::Integer(1)])),
        (">1\r\n_\r\n", Value::Push(vec![Value::Null])),
        (
            "%1\r\n*0\r\n*1\r\n*0\r\n",
            Value::Map(vec![(
                Value::Array(vec![]),
                Value::Array(vec![Value::Array(vec![])]),
            )]),
        ),
        ("|1\r\n+ttl\r\n:5\r\n:7\r\n", Value::Integer(7)),
        (
            "*2\r\n|1\r\n+a\r\n*1\r\n+b\r\n:1\r\n:2\r\n",
            Value::Array(vec![Value::Integer(1), Value::Integer(2)]),
        ),
    ];
    for (bytes, value) in &table {
        check(bytes.as_bytes(), std::slice::from_ref(value), None);
    }
    let (bytes, values): (Vec<&str>, Vec<Value>) = table.into_iter().unzip();
    check(bytes.concat().as_bytes(), &values, None);
}

#[test]
fn what_is_no_reply_is_an_error() {
    check(
        b"hello\r\n",
        &[],
        Some(ReplyError::UnknownType { got: b'h' }),
    );
    check(b":x\r\n", &[], Some(ReplyError::Malformed { at: 0 }));
    check(
        b":1\r\n$-2\r\n",
        &[Value::Integer(1)],
        Some(ReplyError::Malformed { at: 0 }),
    );
    for bytes in [
        "\r\n",
        "$x\r\n",
        "*-2\r\n",
        "#x\r\n",
        "_x\r\n",
        "+a\rb",
        "$1\r\nabc",
        ",x\r\n",
        "=3\r\ntxt\r\n",
    ] {
        let (values, error) = decode(bytes.as_bytes(), 1);
        assert!(
            values.is_empty() && matches!(error, Some(ReplyError::Malformed { .. })),
            "{bytes:?}"
        );
    }
}

#[test]
fn every_bound_holds() {
    let deep = |levels| [&b"*1\r\n".repeat(levels)[..], b":1\r\n"].concat();
    assert_eq!(decode(&deep(REPLY_DEPTH_MAX), 1).1, None);
    check(&deep(REPLY_DEPTH_MAX + 1), &[], Some(ReplyError::TooDeep));
    check(
        b"$1000000\r\n",
        &[],
        Some(ReplyError::TooBig { limit: 1_000_000 }),
    );
    check(b"*9223372036854775807\r\n:1\r\n", &[], None);
    check(
        b"$9223372036854775807\r\n",
        &[],
        Some(ReplyError::TooBig { limit: 1_000_000 }),
    );
    let line = [b'+'; INLINE_BYTES_MAX + 1];
    check(
        &line,
        &[],
        Some(ReplyError::TooBig {
            limit: INLINE_BYTES_MAX,
        }),
    );
}

/// Values as a RESP3 server could send them.
fn value() -> impl Strategy<Value = Value> {
    let line = || "[ -~]{0,20}".prop_map(String::into_bytes);
    let leaf = prop_oneof![
        line().prop_map(Value::Simple),
        line().prop_map(Value::Error),
        any::<i64>().prop_map(Value::Integer),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Value::Bulk),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<f64>()
            .prop_filter("equals itself", |n| !n.is_nan())
            .prop_map(Value::Double),
        "-?[0-9]{1,40}".prop_map(|digits| Value::BigNumber(digits.into_bytes())),
        line().prop_map(|text| Value::Verbatim {
            format: *b"txt",
            text
        }),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let items = prop::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            items.clone().prop_map(Value::Array),
            items.clone().prop_map(Value::Set),
            items.prop_map(Value::Push),
            prop::collection::vec((inner.clone(), inner), 0..4).prop_map(Value::Map),
        ]
    })
}

fn encode(reply: &mut Reply<'_>, value: &Value) {
    match value {
        Value::Simple(text) => reply.simple(str::from_utf8(text).unwrap()),
        Value::Error(text) => reply.error_bytes(text),
        Value::Integer(number) => reply.integer(*number),
        Value::Bulk(bytes) => reply.bulk(bytes),
        Value::NullBulk | Value::Null => reply.null(),
        Value::NullArray => reply.null_array(),
        Value::Double(number) => reply.double(*number),
        Value::Boolean(truth) => reply.boolean(*truth),
        Value::BigNumber(digits) => reply.big_number(str::from_utf8(digits).unwrap()),
        Value::Verbatim { format, text } => reply.verbatim(format, text),
        Value::Map(pairs) => {
            reply.map(pairs.len());
            for (key, value) in pairs {
                encode(reply, key);
                encode(reply, value);
            }
        }
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            match value {
                Value::Set(_) => reply.set(items.len()),
                Value::Push(_) => reply.push(items.len()),
                _ => reply.array(items.len()),
            }
            items.iter().for_each(|item| encode(reply, item));
        }
    }
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(
        values in prop::collection::vec(value(), 1..4),
        piece in 1..50_usize,
    ) {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, Protocol::Resp3);
        values.iter().for_each(|value| encode(&mut reply, value));
        prop_assert_eq!(decode(&out, piece), (values, None));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in rubbish()) {
        prop_assert_eq!(decode(&bytes, 1), decode(&bytes, 60));
    }
}
