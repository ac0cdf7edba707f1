//! Commands over several keys happen at once or not at all, for everybody who looks.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use shardkeep_resp::Value;
use shardkeep_tests::harness::{Client, ServerProcess};

use crate::support::{ask, shown, start};

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

const ROUNDS: usize = 1_000;

const READERS: usize = 3;

/// `write` runs [`ROUNDS`] times on one connection while others MGET all keys; every value they see must
/// equal the others.
fn readers_see_one_state(server: &ServerProcess, write: impl Fn(&mut Client, usize) + Sync) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = server.client().unwrap();
                    let mut looks = 0_usize;
                    while !done.load(Ordering::Acquire) {
                        let mut args = vec!["MGET"];
                        args.extend(KEYS);
                        let Value::Array(values) = client.call(&args).unwrap() else {
                            panic!("MGET did not answer an array");
                        };
                        let torn = values.iter().any(|value| *value != values[0]);
                        assert!(!torn, "{:?}", values.iter().map(shown).collect::<Vec<_>>());
                        looks += 1;
                    }
                    looks
                })
            })
            .collect();
        let mut writer = server.client().unwrap();
        for round in 0..ROUNDS {
            write(&mut writer, round);
        }
        done.store(true, Ordering::Release);
        for reader in readers {
            assert!(reader.join().unwrap() > 0);
        }
    });
}

fn mset(client: &mut Client, name: &str, round: usize) -> String {
    let value = round.to_string();
    let mut args = vec![name.to_owned()];
    for key in KEYS {
        args.extend([key.to_owned(), value.clone()]);
    }
    shown(&client.call(&args).unwrap())
}

#[test]
fn mget_never_sees_half_an_mset() {
    for flags in [
        &[][..],
        &["--shards", "4", "--reactors", "3"],
        &["--handover", "mail"],
    ] {
        let server = start(flags);
        readers_see_one_state(&server, |writer, round| {
            assert_eq!(mset(writer, "MSET", round), "OK");
        });
    }
}

#[test]
fn two_writers_of_the_same_keys_leave_one_of_their_values() {
    let server = start(&[]);
    let other = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = server.client().unwrap();
            for round in 0..ROUNDS {
                mset(&mut client, "MSET", 1_000_000 + round);
            }
            other.store(true, Ordering::Release);
        });
        readers_see_one_state(&server, |writer, round| {
            assert_eq!(mset(writer, "MSET", round), "OK");
        });
    });
    assert!(other.load(Ordering::Acquire));
}

#[test]
fn mget_never_sees_half_an_msetnx_or_half_a_deletion() {
    let server = start(&[]);
    readers_see_one_state(&server, |writer, round| {
        let expected = if round % 2 == 0 { "1" } else { "0" };
        assert_eq!(mset(writer, "MSETNX", round), expected);
        if round % 2 == 1 {
            assert_eq!(ask(writer, "FLUSHALL"), "OK");
        }
    });
}

#[test]
fn a_renamed_key_is_always_in_exactly_one_place() {
    let server = start(&[]);
    let mut writer = server.client().unwrap();
    assert_eq!(ask(&mut writer, "SET here v"), "OK");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut client = server.client().unwrap();
            while !done.load(Ordering::Acquire) {
                let seen = ask(&mut client, "MGET here there");
                assert!(["[v nil]", "[nil v]"].contains(&seen.as_str()), "{seen}");
            }
        });
        for _ in 0..ROUNDS {
            assert_eq!(ask(&mut writer, "RENAME here there"), "OK");
            assert_eq!(ask(&mut writer, "RENAME there here"), "OK");
        }
        done.store(true, Ordering::Release);
        reader.join().unwrap();
    });
}

#[test]
fn increments_of_many_connections_are_all_counted() {
    const CLIENTS: usize = 8;
    let server = start(&["--shards", "2"]);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = server.client().unwrap();
                client
                    .send(&crate::support::repeated(&["INCR", "n"], ROUNDS))
                    .unwrap();
                let mut last = 0;
                for _ in 0..ROUNDS {
                    let Value::Integer(now) = client.reply().unwrap() else {
                        panic!("INCR did not answer a number");
                    };
                    assert!(now > last, "{now} after {last}");
                    last = now;
                }
            });
        }
    });
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "GET n"), (CLIENTS * ROUNDS).to_string());
}
