//! The differences that are meant: the only ones that are no failure.
//!
//! Each says for which commands it holds, what must still agree, and why it is there.

use std::collections::HashMap;

use shardkeep_resp::Value;

/// Most by which two clocks may disagree between the two servers, in milliseconds: they are asked one
/// after the other, on a machine that may be busy.
const CLOCKS_APART_MS: i64 = 5_000;

/// The same in seconds.
const CLOCKS_APART_S: i64 = CLOCKS_APART_MS / 1_000;

/// Bytes of an error that are never cut.
const ECHO_BYTES_MIN: usize = 900;

/// Stands for every command.
const ANY: &[&str] = &["*"];

/// One difference that is meant.
pub struct Explained {
    /// What differs.
    pub name: &'static str,
    /// Why it may.
    pub why: &'static str,
    /// The commands, by name or by name and subcommand, in lower case.
    pub(crate) commands: &'static [&'static str],
    /// Whether the replies agree in what must agree: Redis' first, then ours.
    pub(crate) agree: fn(&Value, &Value) -> bool,
}

/// The whole table.
pub const EXPLAINED: &[Explained] = &[
    Explained {
        name: "the time of day",
        why: "two clocks, read one after the other",
        commands: &["time"],
        agree: |redis, ours| match (numbers(redis), numbers(ours)) {
            (Some(redis), Some(ours)) => {
                redis.len() == 2 && ours.len() == 2 && near(redis[0], ours[0], CLOCKS_APART_S)
            }
            _ => false,
        },
    },
    Explained {
        name: "time to live in seconds",
        why: "counted from another moment",
        commands: &["ttl", "expiretime"],
        agree: |redis, ours| both_near(redis, ours, CLOCKS_APART_S),
    },
    Explained {
        name: "time to live in milliseconds",
        why: "counted from another moment",
        commands: &["pttl", "pexpiretime"],
        agree: |redis, ours| both_near(redis, ours, CLOCKS_APART_MS),
    },
    Explained {
        name: "who answers HELLO",
        why: "name, version and connection id are each server's own",
        commands: &["hello"],
        agree: hello_agrees,
    },
    Explained {
        name: "connection ids",
        why: "each server counts its own connections",
        commands: &["client id"],
        agree: |redis, ours| matches!((redis, ours), (Value::Integer(_), Value::Integer(_))),
    },
    Explained {
        name: "what is known of connections",
        why: "addresses, ages and buffers are each server's own; name, database and protocol agree",
        commands: &["client info"],
        agree: |redis, ours| match (text(redis), text(ours)) {
            (Some(redis), Some(ours)) => {
                let same = |name| field(&redis, name) == field(&ours, name);
                [" name=", " db=", " user=", " resp="].into_iter().all(same)
            }
            _ => false,
        },
    },
    Explained {
        name: "the list of connections",
        why: "one that has just ended may still be in it; the kind of reply agrees",
        commands: &["client list"],
        agree: same_kind,
    },
    Explained {
        name: "idle time",
        why: "Shardkeep does not keep it and says 0",
        commands: &["object idletime"],
        agree: |redis, ours| match (redis, ours) {
            (Value::Integer(idle), Value::Integer(none)) => *idle >= 0 && *none == 0,
            _ => false,
        },
    },
    Explained {
        name: "INFO",
        why: "each server tells of itself; the kind of reply agrees",
        commands: &["info"],
        agree: same_kind,
    },
    Explained {
        name: "settings",
        why: "each server has its own; the kind of reply agrees",
        commands: &["config get"],
        agree: same_kind,
    },
    Explained {
        name: "order of KEYS",
        why: "the order of a hash table; the keys agree",
        commands: &["keys"],
        agree: |redis, ours| match (sorted(redis), sorted(ours)) {
            (Some(redis), Some(ours)) => redis == ours,
            _ => false,
        },
    },
    Explained {
        name: "which random key",
        why: "chance; the key exists",
        commands: &["randomkey"],
        agree: |redis, ours| matches!((redis, ours), (Value::Bulk(_), Value::Bulk(_))),
    },
    Explained {
        name: "one step of SCAN",
        why: "cursors and order are each server's own, and a cursor that was never given may be refused; \
              whole walks are compared as sets",
        commands: &["scan"],
        agree: |redis, ours| {
            let refused = text(ours).is_some_and(|text| text == "ERR invalid cursor");
            refused || is_scan(redis) && is_scan(ours)
        },
    },
    Explained {
        name: "the command table's size and words",
        why: "fewer commands, described in our own words",
        commands: &["command count", "command docs"],
        agree: same_kind,
    },
    Explained {
        name: "words of HELP",
        why: "it tells what exists, in our own words",
        commands: &["object help", "client help", "command help", "config help"],
        agree: same_kind,
    },
    Explained {
        name: "the whole command table",
        why: "fewer commands, in another order; each of them is described alike",
        commands: &["command", "command info"],
        agree: commands_agree,
    },
    Explained {
        name: "newer than Redis 7.0",
        why: "CLIENT SETINFO came with 7.2, and clients send it",
        commands: &["client setinfo"],
        agree: |redis, ours| redis.is_error() && (!ours.is_error() || wrong_setinfo(ours)),
    },
    Explained {
        name: "control bytes echoed in errors",
        why: "written as \\xHH, so that no terminal or log is played with; Redis sends them as they came",
        commands: ANY,
        agree: |redis, ours| match (redis, ours) {
            (Value::Error(redis), Value::Error(ours)) => echoes_alike(redis, &unescaped(ours)),
            _ => false,
        },
    },
    Explained {
        name: "long echoes in errors",
        why: "an error's text is cut at a kilobyte",
        commands: ANY,
        agree: |redis, ours| match (redis, ours) {
            (Value::Error(redis), Value::Error(ours)) => {
                redis.len() > ECHO_BYTES_MIN
                    && ours.len() > ECHO_BYTES_MIN
                    && redis[..ECHO_BYTES_MIN] == ours[..ECHO_BYTES_MIN]
            }
            _ => false,
        },
    },
    Explained {
        name: "encodings",
        why: "Redis tells how a value came to be, Shardkeep what it is now: after APPEND, SETRANGE and the like \
              a short value is still raw in Redis, and a small number not shared",
        commands: &["object encoding", "object refcount"],
        agree: |redis, ours| match (redis, ours) {
            (Value::Integer(1), Value::Integer(shared)) => *shared == i64::from(i32::MAX),
            (Value::Bulk(redis), Value::Bulk(ours)) => {
                let pair = (redis.as_slice(), ours.as_slice());
                [
                    (&b"raw"[..], &b"embstr"[..]),
                    (b"raw", b"int"),
                    (b"embstr", b"int"),
                ]
                .contains(&pair)
            }
            _ => false,
        },
    },
];

/// The row that explains the difference between two replies to `args`, by its index.
pub(crate) fn explain(args: &[Vec<u8>], redis: &Value, ours: &Value) -> Option<usize> {
    let name = lower(args.first());
    let with_subcommand = format!("{name} {}", lower(args.get(1)));
    EXPLAINED.iter().position(|row| {
        let asked = |command: &&str| [name.as_str(), &with_subcommand, ANY[0]].contains(command);
        row.commands.iter().any(asked) && (row.agree)(redis, ours)
    })
}

fn lower(arg: Option<&Vec<u8>>) -> String {
    arg.map(|arg| String::from_utf8_lossy(arg).to_ascii_lowercase())
        .unwrap_or_default()
}

fn text(value: &Value) -> Option<String> {
    Some(String::from_utf8_lossy(value.bytes()?).into_owned())
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(number) => Some(*number),
        other => text(other)?.parse().ok(),
    }
}

fn numbers(value: &Value) -> Option<Vec<i64>> {
    match value {
        Value::Array(items) => items.iter().map(number).collect(),
        _ => None,
    }
}

fn near(one: i64, other: i64, apart: i64) -> bool {
    one.abs_diff(other) <= apart.unsigned_abs()
}

/// Both are numbers that say a time, not "no key" or "no expiry", and about the same.
fn both_near(redis: &Value, ours: &Value, apart: i64) -> bool {
    match (redis, ours) {
        (Value::Integer(redis), Value::Integer(ours)) => {
            *redis >= 0 && *ours >= 0 && near(*redis, *ours, apart)
        }
        _ => false,
    }
}

fn same_kind(redis: &Value, ours: &Value) -> bool {
    !redis.is_error() && std::mem::discriminant(redis) == std::mem::discriminant(ours)
}

/// A value of a line `a=1 b=2`, by the `name` with the space before it.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.lines().next()?.split_once(name)?.1.split(' ').next()
}

fn sorted(value: &Value) -> Option<Vec<Vec<u8>>> {
    match value {
        Value::Array(items) => {
            let mut keys: Option<Vec<Vec<u8>>> = items
                .iter()
                .map(|item| Some(item.bytes()?.to_vec()))
                .collect();
            keys.iter_mut().for_each(|keys| keys.sort());
            keys
        }
        _ => None,
    }
}

fn is_scan(value: &Value) -> bool {
    match value {
        Value::Array(items) => {
            matches!(items.as_slice(), [Value::Bulk(_), Value::Array(_)])
        }
        _ => false,
    }
}

/// Asked by name: each command is described alike, or not one of ours. The whole table: every command of
/// ours is one of Redis', and described alike but for its subcommands.
fn commands_agree(redis: &Value, ours: &Value) -> bool {
    let (Value::Array(redis), Value::Array(ours)) = (redis, ours) else {
        return false;
    };
    let same = |(redis, ours): (&Value, &Value)| redis == ours || ours.is_null();
    if redis.len() == ours.len() && redis.iter().zip(ours).all(same) {
        return true;
    }
    let described: HashMap<Vec<u8>, &[Value]> = redis.iter().filter_map(description).collect();
    ours.iter().all(|entry| {
        description(entry).is_some_and(|(name, entry)| described.get(&name) == Some(&entry))
    })
}

/// An entry of the command table by its name, without the subcommands at its end.
fn description(entry: &Value) -> Option<(Vec<u8>, &[Value])> {
    match entry {
        Value::Array(fields) => match fields.as_slice() {
            [name, .., _] => Some((name.bytes()?.to_vec(), &fields[..fields.len() - 1])),
            _ => None,
        },
        _ => None,
    }
}

/// `text` with each `\xHH` as the byte it stands for.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match rest {
            [b'\\', b'x', high, low, ..] => str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &rest[4..] } else { after };
    }
    bytes
}

/// Whether the texts agree, given that Redis ends an echoed word at its first NUL and goes on after the
/// quote that closes it.
fn echoes_alike(redis: &[u8], ours: &[u8]) -> bool {
    if redis == ours {
        return true;
    }
    let Some(nul) = ours.iter().position(|byte| *byte == 0) else {
        return false;
    };
    if !redis.starts_with(&ours[..nul]) {
        return false;
    }
    // The word may hold quotes of its own.
    let mut closing = (nul..ours.len()).filter(|at| ours[*at] == b'\'');
    closing.any(|at| echoes_alike(&redis[nul..], &ours[at..]))
}

fn wrong_setinfo(value: &Value) -> bool {
    text(value).is_some_and(|text| !text.contains("unknown"))
}

/// The same fields in the same order, equal but for what a server says of itself.
fn hello_agrees(redis: &Value, ours: &Value) -> bool {
    const OWN: [&str; 3] = ["server", "version", "id"];
    let (Some(redis), Some(ours)) = (fields(redis), fields(ours)) else {
        return false;
    };
    std::mem::discriminant(&redis.0) == std::mem::discriminant(&ours.0)
        && redis.1.len() == ours.1.len()
        && redis.1.iter().zip(&ours.1).all(|(redis, ours)| {
            let own = text(&redis.0).is_some_and(|name| OWN.contains(&name.as_str()));
            redis.0 == ours.0
                && std::mem::discriminant(&redis.1) == std::mem::discriminant(&ours.1)
                && (own || redis.1 == ours.1)
        })
}

/// An empty value of the same kind, and the pairs of a map or of its RESP2 form.
fn fields(value: &Value) -> Option<(Value, Vec<(Value, Value)>)> {
    match value {
        Value::Map(pairs) => Some((Value::Map(Vec::new()), pairs.clone())),
        Value::Array(items) => {
            let pairs = items.chunks_exact(2);
            let pairs = pairs.map(|pair| (pair[0].clone(), pair[1].clone()));
            Some((Value::Array(Vec::new()), pairs.collect()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(command: &str, redis: &Value, ours: &Value) -> Option<&'static str> {
        let args: Vec<Vec<u8>> = command
            .split(' ')
            .map(|arg| arg.as_bytes().to_vec())
            .collect();
        explain(&args, redis, ours).map(|row| EXPLAINED[row].name)
    }

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.as_bytes().to_vec())
    }

    #[test]
    fn a_time_to_live_may_differ_a_little_and_its_absence_not_at_all() {
        let row = Some("time to live in milliseconds");
        assert_eq!(
            explained("PTTL k", &Value::Integer(90_000), &Value::Integer(89_998)),
            row
        );
        assert_eq!(
            explained("PTTL k", &Value::Integer(90_000), &Value::Integer(9_000)),
            None
        );
        assert_eq!(
            explained("PTTL k", &Value::Integer(-1), &Value::Integer(-2)),
            None
        );
        assert_eq!(
            explained("PTTL k", &Value::Integer(3), &Value::Integer(-2)),
            None
        );
    }

    #[test]
    fn the_order_of_keys_is_explained_and_a_missing_key_is_not() {
        let one = Value::Array(vec![bulk("a"), bulk("b")]);
        let other = Value::Array(vec![bulk("b"), bulk("a")]);
        let fewer = Value::Array(vec![bulk("b")]);
        assert_eq!(explained("KEYS *", &one, &other), Some("order of KEYS"));
        assert_eq!(explained("KEYS *", &one, &fewer), None);
    }

    #[test]
    fn an_ordinary_value_is_never_explained() {
        for command in ["GET k", "INCR k", "SET k v", "DBSIZE", "TYPE k", "EXISTS k"] {
            assert_eq!(
                explained(command, &bulk("1"), &bulk("2")),
                None,
                "{command}"
            );
            assert_eq!(
                explained(command, &Value::Integer(1), &Value::Integer(2)),
                None,
                "{command}"
            );
        }
    }

    #[test]
    fn an_escaped_echo_is_explained_and_another_text_is_not() {
        let error = |text: &[u8]| Value::Error(text.to_vec());
        let redis = error(b"ERR unknown command 'a\x01'");
        let row = Some("control bytes echoed in errors");
        assert_eq!(
            explained("a k", &redis, &error(b"ERR unknown command 'a\\x01'")),
            row
        );
        assert_eq!(
            explained("a k", &redis, &error(b"ERR unknown command 'b\\x01'")),
            None
        );
        let cut = error(b"ERR option 'a' is wrong");
        assert_eq!(
            explained("a k", &cut, &error(b"ERR option 'a\\x00b' is wrong")),
            row
        );
    }

    #[test]
    fn hello_must_agree_in_protocol_mode_and_role() {
        let hello = |server: &str, proto: i64| {
            Value::Map(vec![
                (bulk("server"), bulk(server)),
                (bulk("proto"), Value::Integer(proto)),
            ])
        };
        assert_eq!(
            explained("HELLO 3", &hello("redis", 3), &hello("other", 3)),
            Some("who answers HELLO")
        );
        assert_eq!(
            explained("HELLO 3", &hello("redis", 3), &hello("redis", 2)),
            None
        );
    }
}
