//! Pipelines: order, and peers that send or read at their own pace.

use std::io::{ErrorKind, Read as _};
use std::time::Duration;

use shardkeep_tests::harness::{open_files, request, resident_bytes};
use shardkeep_tests::random::Random;

use crate::support::{
    MIB, PROMPT, ask, eventually, narrow_client, pipeline, repeated, serves_others, start, steadily,
};

#[test]
fn replies_come_in_the_order_of_requests_whatever_shards_they_touch() {
    const COMMANDS: usize = 20_000;
    const KEYS: usize = 97;
    for flags in [
        &[][..],
        &["--handover", "mail", "--shards", "8"],
        &["--reactors", "1"],
    ] {
        let server = start(flags);
        std::thread::scope(|scope| {
            for seed in 0..3 {
                let server = &server;
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    let mut model: Vec<Option<usize>> = vec![None; KEYS];
                    let (mut bytes, mut expected) = (Vec::new(), Vec::new());
                    for number in 0..COMMANDS {
                        let at = random.below(KEYS);
                        let key = format!("{seed}:{at}");
                        let value = |value: Option<usize>| match value {
                            Some(value) => format!("${}\r\n{value}\r\n", value.to_string().len()),
                            None => "$-1\r\n".to_owned(),
                        };
                        match random.below(4) {
                            0 => {
                                bytes.extend(request(&["SET", &key, &number.to_string()]));
                                expected.extend_from_slice(b"+OK\r\n");
                                model[at] = Some(number);
                            }
                            1 => {
                                bytes.extend(request(&["GET", &key]));
                                expected.extend(value(model[at]).bytes());
                            }
                            2 => {
                                let next = (at + 1) % KEYS;
                                bytes.extend(request(&["MGET", &key, &format!("{seed}:{next}")]));
                                let both = value(model[at]) + &value(model[next]);
                                expected.extend(format!("*2\r\n{both}").bytes());
                            }
                            _ => {
                                bytes.extend(request(&["GETDEL", &key]));
                                expected.extend(value(model[at].take()).bytes());
                            }
                        }
                    }
                    let got = pipeline(&mut server.client().unwrap(), bytes, expected.len());
                    assert!(
                        got == expected,
                        "seed {seed}: replies differ from the model"
                    );
                });
            }
        });
    }
}

#[test]
fn a_client_that_never_reads_is_not_read_from_and_costs_little() {
    const COMMANDS: usize = 1_000_000;
    let server = start(&[]);
    let mut writer = server.client().unwrap();
    let value = "v".repeat(10_000);
    assert_eq!(ask(&mut writer, &format!("SET big {value}")), "OK");
    let before = resident_bytes(server.pid()).unwrap();
    let mut greedy = server
        .client()
        .unwrap()
        .with_patience(Duration::from_secs(1));
    let pieces = 1_000;
    let piece = repeated(&["GET", "big"], COMMANDS / pieces);
    let end = (0..pieces).find_map(|_| greedy.send(&piece).err());
    let end = end
        .expect("ten gigabytes of replies were taken from the server")
        .kind();
    assert!(
        [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&end),
        "{end:?}"
    );
    serves_others(&server);
    let grown = resident_bytes(server.pid()).unwrap().saturating_sub(before);
    assert!(grown < 64 * MIB, "{} MiB", grown / MIB);
    // It is still served, in order, when it begins to read.
    let mut greedy = greedy.with_patience(PROMPT);
    for _ in 0..2_000 {
        assert_eq!(
            greedy.reply_bytes().unwrap().len(),
            value.len() + "$10000\r\n\r\n".len()
        );
    }
}

#[test]
fn a_client_that_leaves_too_much_unread_for_too_long_is_hung_up_on() {
    let server = start(&["--output-timeout", "1s"]);
    let mut writer = server.client().unwrap();
    assert_eq!(ask(&mut writer, "SETRANGE big 9999999 x"), "10000000");
    let files = open_files(server.pid()).unwrap();
    let mut greedy = server.client().unwrap();
    greedy.send(&repeated(&["GET", "big"], 100)).unwrap();
    greedy.stream().peek(&mut [0]).unwrap();
    eventually("the connection was kept", || {
        open_files(server.pid()).unwrap() <= files
    });
    assert_eq!(ask(&mut writer, "PING"), "PONG");
    let (received, _) = greedy.rest().unwrap();
    assert!(
        received.len() < 100 * 10_000_000,
        "everything was delivered"
    );
}

#[test]
fn a_slow_client_that_goes_on_reading_gets_all_of_a_reply_that_takes_longer_than_it_may_stop() {
    const BYTES: usize = 32 * 1024 * 1024;
    const PIECES: u32 = 256;
    let server = start(&["--output-timeout", "1s"]);
    let mut slow = narrow_client(&server, 512 * 1024);
    let length = ask(&mut slow, &format!("SETRANGE big {} x", BYTES - 1));
    assert_eq!(length, BYTES.to_string());
    slow.send(&request(&["GET", "big"])).unwrap();
    let mut piece = vec![0; BYTES / PIECES as usize];
    steadily(Duration::from_secs(3), PIECES, || {
        slow.stream().read_exact(&mut piece).unwrap();
        true
    });
    let mut end = vec![0; format!("${BYTES}\r\n\r\n").len()];
    slow.stream().read_exact(&mut end).unwrap();
    assert!(end.ends_with(b"x\r\n"));
    assert_eq!(ask(&mut slow, "PING"), "PONG");
}

#[test]
fn one_reply_is_no_pipeline_however_large_it_is() {
    const BYTES: usize = 257 * 1024 * 1024;
    let server = start(&["--deadline", "20s"]);
    let mut client = server.client().unwrap();
    let length = ask(&mut client, &format!("SETRANGE big {} x", BYTES - 1));
    assert_eq!(length, BYTES.to_string());
    // Alone, with others behind it, and as a part of a reply.
    let bulk = format!("${BYTES}\r\n\r\n").len() + BYTES;
    client.send(&request(&["GET", "big"])).unwrap();
    assert_eq!(client.reply_bytes().unwrap().len(), bulk);
    let mut behind = request(&["GET", "big"]);
    behind.extend(repeated(&["INCR", "n"], 100));
    client.send(&behind).unwrap();
    assert_eq!(client.reply_bytes().unwrap().len(), bulk);
    for number in 1..=100 {
        let answer = client.reply_bytes().unwrap();
        assert_eq!(answer, format!(":{number}\r\n").into_bytes());
    }
    client.send(&request(&["MGET", "big", "n"])).unwrap();
    let both = format!("*2\r\n${BYTES}\r\n\r\n$3\r\n100\r\n").len() + BYTES;
    assert_eq!(client.reply_bytes().unwrap().len(), both);
    assert_eq!(ask(&mut client, "PING"), "PONG");
}

#[test]
fn of_many_large_replies_in_one_pipeline_the_last_are_refused_and_the_connection_closed() {
    const BYTES: usize = 140 * 1024 * 1024;
    let server = start(&["--deadline", "20s"]);
    let mut client = server.client().unwrap();
    let length = ask(&mut client, &format!("SETRANGE big {} x", BYTES - 1));
    assert_eq!(length, BYTES.to_string());
    client
        .send(&repeated(&["GETRANGE", "big", "0", "-1"], 4))
        .unwrap();
    // The largest is not counted: of the others one fits, and the one that goes beyond.
    for _ in 0..3 {
        assert!(client.reply_bytes().unwrap().len() > BYTES);
    }
    let (refused, _) = client.rest().unwrap();
    let refused = String::from_utf8(refused).unwrap();
    let limit = "-ERR replies of one pipeline exceed the output limit";
    assert!(refused.starts_with(limit), "{refused}");
    assert_eq!(refused.lines().count(), 1);
    serves_others(&server);
}

#[test]
fn a_slow_reader_of_a_large_value_keeps_nobody_from_its_shard() {
    const BYTES: usize = 100 * 1024 * 1024;
    let server = start(&["--shards", "1"]);
    let mut writer = server.client().unwrap();
    assert_eq!(
        ask(&mut writer, &format!("SETRANGE big {} x", BYTES - 1)),
        BYTES.to_string()
    );
    let mut slow = server.client().unwrap();
    slow.send(&request(&["GET", "big"])).unwrap();
    for number in 0..100 {
        assert_eq!(ask(&mut writer, &format!("SET k {number}")), "OK");
        assert_eq!(ask(&mut writer, "GET k"), number.to_string());
    }
    serves_others(&server);
    // Its reply has begun: what it asked for is what it gets, though the key goes meanwhile.
    slow.stream().peek(&mut [0]).unwrap();
    assert_eq!(ask(&mut writer, "DEL big"), "1");
    let reply = slow.reply_bytes().unwrap();
    assert_eq!(reply.len(), BYTES + format!("${BYTES}\r\n\r\n").len());
}

#[test]
fn a_long_pipeline_does_not_keep_others_waiting() {
    let server = start(&["--reactors", "1"]);
    let mut busy = server.client().unwrap();
    let mut sender = busy.stream().try_clone().unwrap();
    let count = 200_000;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let bytes = repeated(&["INCR", "n"], count);
            std::io::Write::write_all(&mut sender, &bytes).unwrap();
        });
        assert_eq!(busy.reply_bytes().unwrap(), b":1\r\n");
        for _ in 0..20 {
            serves_others(&server);
        }
        for number in 2..=count {
            assert_eq!(
                busy.reply_bytes().unwrap(),
                format!(":{number}\r\n").into_bytes()
            );
        }
    });
}

#[test]
fn evil_patterns_take_no_exponential_time() {
    let server = start(&[]);
    let mut client = server.client().unwrap().with_patience(PROMPT);
    let key = "a".repeat(10_000);
    assert_eq!(ask(&mut client, &format!("SET {key} v")), "OK");
    let patterns = [
        "a*".repeat(30) + "b",
        "*a".repeat(30) + "*b",
        "*".repeat(1_000) + "b",
        "[a-".repeat(500),
    ];
    for pattern in &patterns {
        let found = ask(&mut client, &format!("KEYS {pattern}"));
        assert_eq!(found, "[]", "{pattern}");
    }
}

#[test]
fn numbers_beyond_their_range_are_refused_and_change_nothing() {
    let server = start(&[]);
    let mut client = server.client().unwrap();
    let overflow = "-ERR increment or decrement would overflow";
    let not_integer = "-ERR value is not an integer or out of range";
    let cases = [
        ("SET n 9223372036854775807", "OK"),
        ("INCR n", overflow),
        ("INCRBY n 1", overflow),
        ("DECRBY n -1", overflow),
        (
            "DECRBY n -9223372036854775808",
            "-ERR decrement would overflow",
        ),
        ("INCRBY n 9223372036854775808", not_integer),
        ("GET n", "9223372036854775807"),
        ("SETRANGE n -1 x", "-ERR offset is out of range"),
        (
            "SETRANGE n 536870912 x",
            "-ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        ),
        (
            "SETRANGE n 9223372036854775807 x",
            "-ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        ),
        (
            "EXPIRE n 9223372036854775807",
            "-ERR invalid expire time in 'expire' command",
        ),
        (
            "PEXPIRE n 9223372036854775807",
            "-ERR invalid expire time in 'pexpire' command",
        ),
        (
            "SET n v EX 9223372036854775807",
            "-ERR invalid expire time in 'set' command",
        ),
        ("SET n v PX 0", "-ERR invalid expire time in 'set' command"),
        ("INCRBYFLOAT n 1e5000", "-ERR value is not a valid float"),
        (
            "GETRANGE n -9223372036854775808 9223372036854775807",
            "9223372036854775807",
        ),
        ("GET n", "9223372036854775807"),
    ];
    for (line, expected) in cases {
        assert_eq!(ask(&mut client, line), expected, "{line}");
    }
}
