//! A panic in the middle of several commands, or of one over several keys; and in what the server does besides.

use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::{Scratch, Signal, request};
use shardkeep_tests::writers::Crew;

use super::bench::{Bench, Told, open, told};
use crate::support::{ask, eventually, serves_others, shown};

#[test]
fn a_panic_in_a_pipeline_keeps_what_was_done_and_refuses_what_had_not_begun() {
    for handover in ["lend", "mail"] {
        let scratch = Scratch::new().unwrap();
        let dir = scratch.path().join("store");
        let text = dir.to_string_lossy();
        let flags = ["--dir", &text, "--sync", "always", "--handover", handover];
        let mut bench = Bench::new(&flags);
        bench.plant("shard.after_apply@POISON=panic");
        let keys = [&bench.first, &bench.poison, &bench.last].map(Clone::clone);
        let pipeline: Vec<u8> = keys
            .iter()
            .flat_map(|key| request(&["SET", key, "new"]))
            .collect();
        bench.client.send(&pipeline).unwrap();
        let answers: Vec<Told> = keys
            .iter()
            .map(|_| told(&shown(&bench.client.reply().unwrap())))
            .collect();
        // By mail the three are one work, which is lost as one; or, if they did not arrive together, three.
        assert!(
            !answers[1..2].contains(&Told::Ok),
            "{handover}: {answers:?}"
        );
        let check = |bench: &mut Bench| {
            for (key, answer) in keys.iter().zip(&answers) {
                let value = bench.value(key);
                match answer {
                    Told::Ok => assert_eq!(value, "new", "{key}: {answers:?}"),
                    Told::Refused => assert_eq!(value, "old", "{key}: {answers:?}"),
                    Told::Lost | Told::Closed => {}
                }
            }
            // The prefix that was done is kept, and the one that broke is not.
            assert_eq!(bench.value(&keys[0]), "new", "{handover}");
            assert_eq!(bench.value(&keys[1]), "old", "{handover}");
        };
        check(&mut bench);
        bench.server.signal(Signal::KILL).unwrap();
        bench.server.wait(PATIENCE).unwrap();
        bench.server = open(&flags);
        bench.client = bench.server.client().unwrap();
        check(&mut bench);
    }
}

#[test]
fn a_panic_between_two_keys_of_a_command_leaves_none_of_it() {
    for (handover, place) in [
        ("lend", "shards.next"),
        ("mail", "shards.next"),
        ("lend", "shard.after_apply"),
        ("mail", "log.queue@SHARD"),
        ("lend", "log.queue@SHARD"),
    ] {
        let scratch = Scratch::new().unwrap();
        let dir = scratch.path().join("store");
        let text = dir.to_string_lossy();
        let flags = ["--dir", &text, "--sync", "always", "--handover", handover];
        let mut bench = Bench::new(&flags);
        let far = bench.elsewhere.clone();
        let (first, poison) = (bench.first.clone(), bench.poison.clone());
        // The first key is what a command is named by, each key what is done next.
        let (line, at) = match place {
            "shards.next" => (format!("MSET {first} new {poison} new {far} new"), &far),
            _ => (format!("MSET {far} new {poison} new {first} new"), &far),
        };
        let plan = match place.contains('@') {
            // The transaction is one record: of its lowest shard.
            true => "log.queue=panic".to_owned(),
            false => format!("{place}@{at}=panic"),
        };
        bench.plant(&plan);
        assert_eq!(told(&bench.tell(&line)), Told::Lost, "{handover} {place}");
        for key in [&far, &poison, &first] {
            assert_eq!(bench.value(key), "old", "{handover} {place} {key}");
        }
        let last = bench.last.clone();
        assert_eq!(bench.value(&last), "old");
        assert_eq!(bench.tell(&line), "OK", "{handover} {place}");
        bench.server.signal(Signal::KILL).unwrap();
        bench.server.wait(PATIENCE).unwrap();
        bench.server = open(&flags);
        bench.client = bench.server.client().unwrap();
        for key in [&far, &poison, &first] {
            assert_eq!(bench.value(key), "new", "{handover} {place} {key}");
        }
    }
}

#[test]
fn a_panic_in_the_middle_of_a_transaction_leaves_none_of_it_and_keeps_watched_ones_from_running() {
    for handover in ["lend", "mail"] {
        // On one shard, and over two.
        for over_two in [false, true] {
            let scratch = Scratch::new().unwrap();
            let dir = scratch.path().join("store");
            let text = dir.to_string_lossy();
            let flags = ["--dir", &text, "--sync", "always", "--handover", handover];
            let mut bench = Bench::new(&flags);
            let (first, poison) = (bench.first.clone(), bench.poison.clone());
            let other = if over_two {
                &bench.elsewhere
            } else {
                &bench.last
            };
            let other = other.clone();
            let mut watcher = bench.server.client().unwrap();
            assert_eq!(ask(&mut watcher, &format!("WATCH {first}")), "OK");
            bench.plant("exec.next@POISON=panic");
            let lines = [
                "MULTI".to_owned(),
                format!("SET {first} new"),
                format!("APPEND {other} er"),
                format!("SET {poison} new"),
            ];
            for line in &lines {
                bench.tell(line);
            }
            assert_eq!(
                told(&bench.tell("EXEC")),
                Told::Lost,
                "{handover} {over_two}"
            );
            for key in [&first, &other, &poison] {
                assert_eq!(bench.value(key), "old", "{handover} {over_two} {key}");
            }
            assert_eq!(ask(&mut watcher, "MULTI"), "OK");
            assert_eq!(ask(&mut watcher, "EXEC"), "nil", "{handover} {over_two}");
            for line in &lines {
                bench.tell(line);
            }
            assert_eq!(bench.tell("EXEC"), "[OK 5 OK]");
            bench.server.signal(Signal::KILL).unwrap();
            bench.server.wait(PATIENCE).unwrap();
            bench.server = open(&flags);
            bench.client = bench.server.client().unwrap();
            for (key, value) in [(&first, "new"), (&other, "older"), (&poison, "new")] {
                assert_eq!(bench.value(key), value, "{handover} {over_two} {key}");
            }
        }
    }
}

#[test]
fn in_memory_a_panic_empties_one_shard_says_so_and_takes_nothing_of_the_others() {
    for handover in ["lend", "mail"] {
        for place in ["shard.before_apply", "shard.after_apply", "batch.next"] {
            let mut bench = Bench::new(&["--handover", handover]);
            let poison = bench.poison.clone();
            bench.plant(&format!("{place}@POISON=panic"));
            let answer = bench.tell(&format!("SET {poison} new"));
            assert_eq!(told(&answer), Told::Lost, "{handover} {place}: {answer}");
            for name in [bench.first.clone(), poison, bench.last.clone()] {
                assert_eq!(bench.value(&name), "nil", "{handover} {place}");
            }
            let far = bench.elsewhere.clone();
            assert_eq!(bench.value(&far), "old", "{handover} {place}");
            eventually("the word", || bench.says("was lost to a panic"));
            serves_others(&bench.server);
        }
    }
}

#[test]
fn an_owner_that_panics_while_it_expires_keys_loses_that_shard_and_brings_it_back() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let text = dir.to_string_lossy();
    let mut bench = Bench::new(&["--dir", &text, "--sync", "always"]);
    let (poison, first) = (bench.poison.clone(), bench.first.clone());
    bench.plant("owner.tend@SHARD=panic");
    assert_eq!(bench.tell(&format!("SET {poison} brief PX 1")), "OK");
    eventually("it is lost and made again", || {
        bench.says("was made again from the log")
    });
    assert_eq!(bench.value(&first), "old");
    eventually("it has expired", || bench.value(&poison) == "nil");
}

#[test]
fn who_is_held_up_on_the_way_to_a_mailbox_or_out_of_it_holds_up_no_other_shard() {
    for place in [
        "mail.posted@SHARD",
        "owner.serve@SHARD",
        "shards.next@POISON",
    ] {
        let mut bench = Bench::new(&["--handover", "mail"]);
        let (poison, far) = (bench.poison.clone(), bench.elsewhere.clone());
        bench.plant(&format!("{place}=stall:700"));
        // The first connection is served by one reactor, the next by the other.
        let mut other = bench.server.client().unwrap();
        let line = format!("MSET {poison} new {far} new");
        let args: Vec<&str> = line.split(' ').collect();
        bench.client.send(&request(&args)).unwrap();
        assert_eq!(ask(&mut other, "PING"), "PONG", "{place}");
        assert_eq!(shown(&bench.client.reply().unwrap()), "OK", "{place}");
        assert_eq!(ask(&mut other, &format!("GET {poison}")), "new", "{place}");
        serves_others(&bench.server);
    }
}

/// Writers with an oracle: what is there when some were answered with errors is what that allows.
#[test]
fn writers_on_all_shards_find_what_they_were_told_after_panics_at_every_step() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let text = dir.to_string_lossy();
    let mut crew = Crew::new(7);
    for (round, place) in [
        "batch.next",
        "shard.before_apply",
        "shard.after_apply",
        "log.queue",
        "log.queued",
    ]
    .iter()
    .enumerate()
    {
        let handover = ["lend", "mail"][round % 2];
        let flags = ["--dir", &text, "--sync", "always", "--handover", handover];
        let mut server = open(&flags);
        let (_, met) = crew
            .write(&mut server, |server| {
                server.plant(&format!("{place}=panic*3"))?;
                eventually("three shards are lost", || {
                    let lost = |line: &&String| line.contains("was lost to a panic");
                    // Writers stop at the first error; who is left may not come there.
                    let output = server.output();
                    output.iter().filter(lost).count() >= 1
                });
                server.signal(Signal::TERM)
            })
            .unwrap();
        assert_eq!(met.len(), 8);
        server.wait(PATIENCE).unwrap();
        let mut server = open(&flags);
        let tally = crew.verify(&mut server.client().unwrap(), None).unwrap();
        assert_eq!(tally.missing, 0, "{place}");
        server.signal(Signal::TERM).unwrap();
        server.wait(PATIENCE).unwrap();
    }
}
