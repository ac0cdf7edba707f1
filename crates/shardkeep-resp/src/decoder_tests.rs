use super::*;

/// The requests found, and the error that ended the connection.
pub(crate) type Decoded = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// What a connection gets out of `bytes` that arrive in pieces of `piece` bytes.
pub(crate) fn decode_in_pieces(
    bytes: &[u8],
    limits: Limits,
    mut piece: impl FnMut() -> usize,
) -> Decoded {
    // Spans of an earlier request, which the caller has not used yet.
    let earlier = [Span { start: 1, len: 2 }; 2];
    let (mut decoder, mut spans) = (Decoder::new(limits), earlier.to_vec());
    let (mut input, mut requests) = (Vec::new(), Vec::new());
    let mut unread = bytes;
    while !unread.is_empty() {
        let (now, later) = unread.split_at(piece().clamp(1, unread.len()));
        input.extend_from_slice(now);
        unread = later;
        loop {
            spans.truncate(earlier.len());
            let step = decoder.decode(&mut input, &mut spans);
            assert_eq!(spans[..earlier.len()], earlier);
            let new = &spans[earlier.len()..];
            match step {
                Ok(Step::Request { consumed }) => {
                    assert!(!decoder.in_frame());
                    requests.push(new.iter().map(|span| span.of(&input).to_vec()).collect());
                    input.drain(..consumed);
                }
                Ok(Step::NeedMore { more }) => {
                    assert!(more >= 1 && new.is_empty());
                    assert_eq!(decoder.in_frame(), !input.is_empty());
                    break;
                }
                Err(error) => {
                    assert!(new.is_empty());
                    assert_eq!(decoder.decode(&mut input, &mut spans), Err(error));
                    return (requests, Some(error));
                }
            }
        }
    }
    (requests, None)
}

/// Whole, and byte by byte.
fn check(bytes: &[u8], limits: Limits, requests: &[&[&[u8]]], error: Option<ProtocolError>) {
    for piece in [usize::MAX, 1] {
        let decoded = decode_in_pieces(bytes, limits, || piece);
        assert_eq!(
            decoded.1,
            error,
            "pieces of {piece}: {}",
            bytes.escape_ascii()
        );
        assert_eq!(
            decoded.0,
            requests,
            "pieces of {piece}: {}",
            bytes.escape_ascii()
        );
    }
}

fn accepts(bytes: &[u8], requests: &[&[&[u8]]]) {
    check(bytes, Limits::default(), requests, None);
}

fn refuses(bytes: &[u8], error: ProtocolError) {
    check(bytes, Limits::default(), &[], Some(error));
}

const SMALL: Limits = Limits {
    inline_bytes_max: 16,
    bulk_bytes_max: 8,
    args_max: 4,
    frame_bytes_max: 40,
    unauthenticated: false,
};

#[test]
fn requests_of_both_forms_follow_each_other() {
    accepts(
        b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nSET k \"a b\"\n*1\r\n$4\r\nPING\r\n\r\n",
        &[&[b"GET", b"k"], &[b"SET", b"k", b"a b"], &[b"PING"], &[]],
    );
}

#[test]
fn arguments_are_binary() {
    accepts(
        b"*2\r\n$5\r\n\r\n$1\0\r\n$0\r\n\r\n",
        &[&[b"\r\n$1\0", b""]],
    );
}

#[test]
fn a_request_without_arguments_is_a_request() {
    for bytes in [
        &b"*0\r\n"[..],
        b"*-1\r\n",
        b"*-9223372036854775808\r\n",
        b"\r\n",
        b"\n",
        b" \n",
    ] {
        accepts(bytes, &[&[]]);
    }
}

#[test]
fn lengths_of_every_width_are_read() {
    for len in [0, 1, 9, 10, 99, 100, 999, 1_000, 9_999, 10_000, 70_000] {
        let value = vec![b'v'; len];
        let mut bytes = format!("*1\r\n${len}\r\n").into_bytes();
        bytes.extend_from_slice(&value);
        bytes.extend_from_slice(b"\r\n");
        accepts(&bytes, &[&[&value]]);
    }
    for count in [1, 10, 99, 100, 1_000] {
        let bytes = format!("*{count}\r\n{}", "$1\r\nx\r\n".repeat(count));
        accepts(bytes.as_bytes(), &[&vec![&b"x"[..]; count]]);
    }
}

#[test]
fn bad_array_lengths_are_refused() {
    let table: [&[u8]; 12] = [
        b"*\r\n",
        b"*+1\r\n",
        b"* 1\r\n",
        b"*01\r\n",
        b"*-0\r\n",
        b"*x\r\n",
        b"*1\n",
        b"*1\rX",
        b"*2147483648\r\n",
        b"*1048577\r\n",
        b"*99999999999999999999999999\r\n",
        b"*1\0\r\n",
    ];
    for bytes in table {
        refuses(bytes, ProtocolError::InvalidArrayLength);
    }
}

#[test]
fn bad_bulk_lengths_are_refused() {
    let table: [&[u8]; 11] = [
        b"*1\r\n$\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$-2\r\n",
        b"*1\r\n$+1\r\n",
        b"*1\r\n$01\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n$9999999999999999999\r\n",
        b"*1\r\n$1\n",
        b"*1\r\n$1\rX",
        b"*1\r\n$1\r\nxxx",
        b"*2\r\n$1\r\nx\r\n$1x\r\n",
    ];
    for bytes in table {
        refuses(bytes, ProtocolError::InvalidBulkLength);
    }
}

#[test]
fn a_short_length_with_a_leading_zero_is_refused() {
    for header in ["*01", "*001", "*00"] {
        let bytes = format!("{header}\r\n$4\r\nPING\r\n");
        refuses(bytes.as_bytes(), ProtocolError::InvalidArrayLength);
    }
    for header in ["$04", "$004", "$00"] {
        let bytes = format!("*1\r\n{header}\r\nPING\r\nPING\r\n");
        refuses(bytes.as_bytes(), ProtocolError::InvalidBulkLength);
    }
}

#[test]
fn an_argument_must_be_a_bulk() {
    refuses(b"*1\r\nPING\r\n", ProtocolError::ExpectedBulk { got: b'P' });
    refuses(
        b"*2\r\n$1\r\nx\r\n:1\r\n",
        ProtocolError::ExpectedBulk { got: b':' },
    );
    refuses(b"*1\r\n\r\n", ProtocolError::ExpectedBulk { got: b'\r' });
    refuses(
        &b"*1\r\n".repeat(100_000),
        ProtocolError::ExpectedBulk { got: b'*' },
    );
    for aggregate in [&b"%1\r\n"[..], b"~1\r\n", b">1\r\n", b"_\r\n", b",1\r\n"] {
        refuses(
            &[b"*1\r\n", aggregate].concat(),
            ProtocolError::ExpectedBulk { got: aggregate[0] },
        );
    }
}

#[test]
fn lines_end_within_their_limit_or_are_refused() {
    let long = |start: &[u8], len: usize| [start, &vec![b'1'; len - start.len()]].concat();
    let whole = [&long(b"", 65_536)[..], b"\r\n"].concat();
    check(
        &[&whole[1..], b""].concat(),
        Limits::default(),
        &[&[&whole[1..65_536]]],
        None,
    );
    refuses(&long(b"", 65_537), ProtocolError::InlineTooLong);
    refuses(&whole, ProtocolError::InlineTooLong);
    refuses(&long(b"*", 65_537), ProtocolError::ArrayHeaderTooLong);
    refuses(&long(b"*1\r\n$", 65_541), ProtocolError::BulkHeaderTooLong);
    assert_eq!(
        decode_in_pieces(&long(b"*", 65_536), Limits::default(), || 1),
        (vec![], None)
    );
}

#[test]
fn a_bad_inline_line_is_refused() {
    refuses(b"SET k \"open\r\n", ProtocolError::UnbalancedQuotes);
    refuses(b"SET k 'a'b\r\n", ProtocolError::UnbalancedQuotes);
    refuses(b"PI\0NG\r\n", ProtocolError::NulInInline);
}

#[test]
fn requests_before_an_error_are_served() {
    let refused = Some(ProtocolError::ExpectedBulk { got: b'x' });
    check(
        b"PING\r\n*1\r\nx",
        Limits::default(),
        &[&[b"PING"]],
        refused,
    );
}

#[test]
fn every_limit_holds_on_both_sides() {
    let refused = |error| Some(error);
    check(b"*4\r\n", SMALL, &[], None);
    check(
        b"*5\r\n",
        SMALL,
        &[],
        refused(ProtocolError::InvalidArrayLength),
    );
    check(b"*1\r\n$8\r\n", SMALL, &[], None);
    check(
        b"*1\r\n$9\r\n",
        SMALL,
        &[],
        refused(ProtocolError::InvalidBulkLength),
    );
    // 4 + 14 + 14 + 8: forty bytes exactly, then one more.
    let two = b"*3\r\n$8\r\n12345678\r\n$8\r\n12345678\r\n";
    check(
        &[two, &b"$2\r\nab\r\n"[..]].concat(),
        SMALL,
        &[&[b"12345678", b"12345678", b"ab"]],
        None,
    );
    let refused_frame = refused(ProtocolError::FrameTooBig { limit: 40 });
    check(
        &[two, &b"$3\r\nabc\r\n"[..]].concat(),
        SMALL,
        &[],
        refused_frame,
    );
    check(
        b"123456789012345\r\n",
        SMALL,
        &[&[b"123456789012345"]],
        None,
    );
    check(
        b"1234567890123456\r\n",
        SMALL,
        &[],
        refused(ProtocolError::InlineTooLong),
    );
}

#[test]
fn a_stranger_gets_the_tighter_limits_until_it_authenticates() {
    let stranger = Limits::unauthenticated();
    let table: [(&[u8], ProtocolError); 5] = [
        (b"*11\r\n", ProtocolError::UnauthenticatedArrayLength),
        (b"*2147483648\r\n", ProtocolError::InvalidArrayLength),
        (
            b"*1\r\n$16385\r\n",
            ProtocolError::UnauthenticatedBulkLength,
        ),
        (b"*1\r\n$536870913\r\n", ProtocolError::InvalidBulkLength),
        (b"*1\r\n$-1\r\n", ProtocolError::InvalidBulkLength),
    ];
    for (bytes, error) in table {
        check(bytes, stranger, &[], Some(error));
    }
    check(b"*10\r\n$16384\r\n", stranger, &[], None);

    let (mut decoder, mut spans) = (Decoder::new(stranger), Vec::new());
    decoder.set_limits(Limits::default());
    assert_eq!(
        decoder.decode(&mut b"*11\r\n".to_vec(), &mut spans),
        Ok(Step::NeedMore { more: 1 })
    );
}

#[test]
fn memory_follows_what_arrived_and_not_what_was_announced() {
    let (mut decoder, mut spans) = (Decoder::new(Limits::default()), Vec::new());
    let mut input = b"*1048576\r\n$536870912\r\n".to_vec();
    let more = 536_870_912 + 2;
    assert_eq!(
        decoder.decode(&mut input, &mut spans),
        Ok(Step::NeedMore { more })
    );
    assert_eq!((spans.capacity(), decoder.held_bytes()), (0, 0));
}

#[test]
fn memory_of_an_enormous_request_is_given_back() {
    let count = 100_000;
    let mut input = format!("*{count}\r\n{}", "$0\r\n\r\n".repeat(count)).into_bytes();
    let (mut decoder, mut spans) = (Decoder::new(Limits::default()), Vec::new());
    let short = input.len() - 1;
    let step = decoder.decode(&mut input[..short], &mut spans);
    assert_eq!(step, Ok(Step::NeedMore { more: 1 }));
    // Six bytes of input are one argument here, and one byte and an eighth of memory.
    assert!((count - 1..count * 9 / 8 + 100).contains(&decoder.held_bytes()));
    let step = decoder.decode(&mut input, &mut spans);
    assert_eq!(
        (step, spans.len()),
        (
            Ok(Step::Request {
                consumed: short + 1
            }),
            count
        )
    );
    assert!(decoder.held_bytes() < 1_000);
}

#[test]
fn a_caller_that_loses_bytes_gets_no_panic() {
    for bytes in [
        &b"*2\r\n$3\r\nGET\r\n$9\r\nk"[..],
        b"*100",
        b"PIN",
        b"*1\r\n$100",
    ] {
        for kept in 0..bytes.len() {
            let (mut decoder, mut spans) = (Decoder::new(Limits::default()), Vec::new());
            let _first = decoder.decode(&mut bytes.to_vec(), &mut spans);
            let _second = decoder.decode(&mut bytes[..kept].to_vec(), &mut spans);
            let _third = decoder.decode(&mut b"\r\n\r\n".repeat(5), &mut spans);
        }
    }
}

#[test]
fn what_was_scanned_is_not_looked_at_again() {
    // A peer cannot do this; the caller can, and it shows what is read twice.
    let table: [(&[u8], usize, &[u8]); 3] = [
        (b"word word", 9, b"\n"),
        (b"*000000002", 10, b"\r\n"),
        (b"*3\r\n$4\r\nSETX\r\n$12345\r\nv", 14, b"\r\n"),
    ];
    for (start, scanned, line_end) in table {
        let (mut decoder, mut spans) = (Decoder::new(Limits::default()), Vec::new());
        let mut input = start.to_vec();
        let first = decoder.decode(&mut input, &mut spans);
        assert!(matches!(first, Ok(Step::NeedMore { .. })));
        input[..scanned].fill(b'\n');
        input.extend_from_slice(line_end);
        let second = decoder.decode(&mut input, &mut spans);
        match second {
            Ok(Step::Request { consumed }) => assert_eq!(consumed, start.len() + line_end.len()),
            // Found the end of the line behind what was scanned, and only then judged the line.
            Err(error) => assert_eq!((start[1], error), (b'0', ProtocolError::InvalidArrayLength)),
            Ok(Step::NeedMore { more }) => assert_eq!(more, 12_345 + 2 - 3),
        }
    }
}
