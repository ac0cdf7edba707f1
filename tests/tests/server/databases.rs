//! The databases of a server: what is selected, by which connection, and what is shown of them.

use shardkeep_tests::harness::{Client, ServerProcess, request};
use shardkeep_tests::random::Random;

use crate::support::{ask, pipeline, start};

/// Keys that lie in as many shards as there may be of them.
const KEYS: usize = 40;

fn clients<const COUNT: usize>(server: &ServerProcess) -> [Client; COUNT] {
    std::array::from_fn(|_| server.client().unwrap())
}

fn keyspace(client: &mut Client) -> String {
    let info = ask(client, "INFO keyspace");
    let lines = info.lines().filter(|line| line.starts_with("db"));
    lines.collect::<Vec<_>>().join(" ")
}

#[test]
fn each_connection_works_on_the_database_it_has_selected() {
    let server = start(&["--shards", "4"]);
    let [mut one, mut other] = clients(&server);
    assert_eq!(ask(&mut one, "SELECT 3"), "OK");
    assert_eq!(ask(&mut one, "MSET a 1 b 2 c 3"), "OK");
    assert_eq!(ask(&mut one, "EXPIRE a 100"), "1");
    assert_eq!(ask(&mut other, "MGET a b c"), "[nil nil nil]");
    assert_eq!(ask(&mut other, "SET a 4"), "OK");
    assert_eq!(ask(&mut one, "GET a"), "1");
    assert_eq!(ask(&mut one, "DBSIZE"), "3");
    assert_eq!(
        keyspace(&mut other),
        "db0:keys=1,expires=0,avg_ttl=0 db3:keys=3,expires=1,avg_ttl=0"
    );
    let told = ask(&mut one, "CLIENT INFO");
    assert!(told.contains(" db=3 "), "{told}");
    assert_eq!(ask(&mut one, "FLUSHDB"), "OK");
    assert_eq!(keyspace(&mut other), "db0:keys=1,expires=0,avg_ttl=0");
    assert_eq!(ask(&mut other, "SWAPDB 0 3"), "OK");
    assert_eq!(keyspace(&mut other), "db3:keys=1,expires=0,avg_ttl=0");
    assert_eq!(ask(&mut one, "GET a"), "4");
    assert_eq!(ask(&mut one, "RESET"), "RESET");
    assert_eq!(ask(&mut one, "GET a"), "nil");
    let told = ask(&mut one, "CLIENT INFO");
    assert!(told.contains(" db=0 "), "{told}");
    assert_eq!(ask(&mut other, "FLUSHALL"), "OK");
    assert_eq!(keyspace(&mut other), "");
}

#[test]
fn there_are_as_many_databases_as_were_asked_for() {
    let server = start(&["--databases", "2"]);
    let [mut client] = clients(&server);
    assert_eq!(ask(&mut client, "CONFIG GET databases"), "[databases 2]");
    assert_eq!(ask(&mut client, "SELECT 1"), "OK");
    assert_eq!(
        ask(&mut client, "SELECT 2"),
        "-ERR DB index is out of range"
    );
    assert_eq!(ask(&mut client, "SET a 1"), "OK");
    assert_eq!(keyspace(&mut client), "db1:keys=1,expires=0,avg_ttl=0");
    assert_eq!(
        ask(&mut client, "MOVE a 2"),
        "-ERR DB index is out of range"
    );
}

#[test]
fn a_pipeline_that_selects_is_run_in_its_order_whatever_carries_it() {
    const COMMANDS: usize = 3_000;
    const DATABASES: usize = 5;
    for flags in [
        &["--shards", "4"][..],
        &["--handover", "mail", "--shards", "8"],
    ] {
        let server = start(flags);
        std::thread::scope(|scope| {
            for seed in 0..3 {
                let server = &server;
                scope.spawn(move || {
                    let (bytes, expected) = story(seed, COMMANDS, DATABASES);
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

/// A pipeline over several databases, and its replies.
fn story(seed: u64, commands: usize, databases: usize) -> (Vec<u8>, Vec<u8>) {
    let bulk = |value: Option<usize>| match value {
        Some(value) => format!("${}\r\n{value}\r\n", value.to_string().len()),
        None => "$-1\r\n".to_owned(),
    };
    let mut random = Random::new(seed);
    let mut model = vec![vec![None; KEYS]; databases];
    let (mut bytes, mut expected) = (Vec::new(), String::new());
    let mut selected = 0;
    for number in 0..commands {
        let at = random.below(KEYS);
        let key = format!("{seed}:{at}");
        let there = random.below(databases);
        let there_shown = there.to_string();
        match random.below(6) {
            0 => {
                selected = there;
                bytes.extend(request(&["SELECT", &there_shown]));
                expected += "+OK\r\n";
            }
            1 => {
                model[selected][at] = Some(number);
                bytes.extend(request(&["SET", &key, &number.to_string()]));
                expected += "+OK\r\n";
            }
            2 => {
                bytes.extend(request(&["GET", &key]));
                expected += &bulk(model[selected][at]);
            }
            3 => {
                let next = (at + 1) % KEYS;
                bytes.extend(request(&["MGET", &key, &format!("{seed}:{next}")]));
                let both = bulk(model[selected][at]) + &bulk(model[selected][next]);
                expected += &format!("*2\r\n{both}");
            }
            4 => {
                bytes.extend(request(&["MOVE", &key, &there_shown]));
                if there == selected {
                    expected += "-ERR source and destination objects are the same\r\n";
                } else {
                    let moves = model[selected][at].is_some() && model[there][at].is_none();
                    if moves {
                        model[there][at] = model[selected][at].take();
                    }
                    expected += &format!(":{}\r\n", u8::from(moves));
                }
            }
            _ => {
                let next = (at + 1) % KEYS;
                let target = format!("{seed}:{next}");
                bytes.extend(request(&[
                    "COPY",
                    &key,
                    &target,
                    "DB",
                    &there_shown,
                    "REPLACE",
                ]));
                let copied = model[selected][at];
                if copied.is_some() {
                    model[there][next] = copied;
                }
                expected += &format!(":{}\r\n", u8::from(copied.is_some()));
            }
        }
    }
    (bytes, expected.into_bytes())
}

#[test]
fn what_expires_in_a_database_that_nobody_looks_at_is_removed() {
    let server = start(&["--shards", "2"]);
    let [mut client, mut watcher] = clients(&server);
    for database in [2, 7, 11] {
        assert_eq!(ask(&mut client, &format!("SELECT {database}")), "OK");
        for key in 0..50 {
            let line = format!("SET {database}:{key} v PX 20");
            assert_eq!(ask(&mut client, &line), "OK");
        }
    }
    crate::support::eventually("nothing is left", || keyspace(&mut watcher).is_empty());
}
