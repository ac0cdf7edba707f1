//! A panic at every step of a command, in a server under clients: whose answer is what, and what is there then.
//!
//! The panics are planted by fail points, which are in builds with debug assertions alone.
//!
//! 1. What was answered OK is there, what was refused is not, and *lost* is said where either may be.
//! 2. What a panic takes is made again from the log: what is there after it is there after the next start.
//! 3. Clients of other shards notice nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::{
    Client, Scratch, ServerProcess, Signal, open_files, request, run_to_end, threads,
};
use shardkeep_tests::writers::Crew;

use crate::support::{ask, eventually, program, serves_others, shown};

/// Keys among which three of one shard are looked for.
const KEYS: usize = 40;

/// Names of keys, none of which is part of another.
fn key(number: usize) -> String {
    format!("key-{number:02}")
}

/// A server that plants what it is told, and keys of it.
struct Bench {
    server: ServerProcess,
    client: Client,
    /// Three keys of one shard.
    first: String,
    poison: String,
    last: String,
    /// A key of another shard.
    elsewhere: String,
    shard: usize,
}

fn open(flags: &[&str]) -> ServerProcess {
    let environment = [("FAIL_POINTS", "")];
    let fixed = ["--shards", "4", "--owners", "2", "--reactors", "2"];
    ServerProcess::shardkeep(program(), &[&fixed, flags].concat(), &environment).unwrap()
}

/// How many keys each shard has.
fn counts(client: &mut Client) -> Vec<usize> {
    let info = ask(client, "INFO shards");
    let lines = info.lines().filter(|line| line.contains(":keys="));
    lines
        .map(|line| {
            let (_, rest) = line.split_once(":keys=").unwrap();
            rest.split(',').next().unwrap().parse().unwrap()
        })
        .collect()
}

impl Bench {
    fn new(flags: &[&str]) -> Self {
        let server = open(flags);
        let mut client = server.client().unwrap();
        let mut of_shard: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for number in 0..KEYS {
            let before = counts(&mut client);
            assert_eq!(ask(&mut client, &format!("SET {} old", key(number))), "OK");
            let after = counts(&mut client);
            let shard = (0..after.len()).find(|&at| after[at] > before[at]).unwrap();
            of_shard.entry(shard).or_default().push(key(number));
        }
        let (&shard, keys) = of_shard.iter().max_by_key(|(_, keys)| keys.len()).unwrap();
        let (_, others) = of_shard.iter().find(|(at, _)| **at != shard).unwrap();
        let [first, poison, last, ..] = &keys[..] else {
            panic!("{KEYS} keys of which no three are in one shard: {of_shard:?}");
        };
        Self {
            first: first.clone(),
            poison: poison.clone(),
            last: last.clone(),
            elsewhere: others[0].clone(),
            shard,
            server,
            client,
        }
    }

    /// Plants `plan` with the names of this bench in it, to happen once.
    fn plant(&mut self, plan: &str) {
        let id = ask(&mut self.client, "CLIENT ID");
        let plan = plan
            .replace("SHARD", &format!("#{}.", self.shard))
            .replace("POISON", &self.poison)
            .replace("ELSEWHERE", &self.elsewhere)
            .replace("CLIENT", &format!("client={id}."));
        self.server.plant(&plan).unwrap();
    }

    /// What `client` is told of `line`; it has another connection if that was closed.
    fn tell(&mut self, line: &str) -> String {
        let args: Vec<&str> = line.split(' ').collect();
        match self.client.call(&args) {
            Ok(value) => shown(&value),
            Err(_) => {
                self.client = self.server.client().unwrap();
                "closed".to_owned()
            }
        }
    }

    fn value(&mut self, key: &str) -> String {
        let mut value = String::new();
        let (client, get) = (&mut self.client, format!("GET {key}"));
        eventually("its shard is there again", || {
            value = ask(client, &get);
            !value.starts_with("-TRYAGAIN")
        });
        value
    }

    fn says(&self, part: &str) -> bool {
        self.server.output().iter().any(|line| line.contains(part))
    }
}

/// What may become of a command, by its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Ok,
    Lost,
    /// Any error but *lost*.
    Refused,
    Closed,
}

fn told(answer: &str) -> Told {
    match answer {
        "OK" => Told::Ok,
        "closed" => Told::Closed,
        _ if answer.starts_with("-LOST ") => Told::Lost,
        _ if answer.starts_with('-') => Told::Refused,
        _ => panic!("{answer}"),
    }
}

/// Where it panics, what a client is told whose SET came there, and what its key holds then.
type Step = (&'static str, Told, &'static str);

/// Steps of a command in the hands of its reactor.
const STEPS: [Step; 10] = [
    ("batch.next@POISON", Told::Lost, "old"),
    ("shard.before_apply@POISON", Told::Lost, "old"),
    ("shard.after_apply@POISON", Told::Lost, "old"),
    ("log.queue@SHARD", Told::Lost, "old"),
    ("log.queued@SHARD", Told::Lost, "new"),
    // Nothing was changed yet: it goes back, and is done the slower way.
    ("shard.borrowed@SHARD", Told::Ok, "new"),
    // Outside of a shard: it costs the connection.
    ("reactor.decode@POISON", Told::Closed, "old"),
    ("reply.deliver@CLIENT", Told::Closed, "new"),
    ("reply.release@CLIENT", Told::Closed, "new"),
    ("owner.tick", Told::Ok, "new"),
];

/// Steps of a command that goes to an owner by mail.
const MAILED_STEPS: [Step; 10] = [
    ("batch.next@POISON", Told::Lost, "old"),
    ("shard.before_apply@POISON", Told::Lost, "old"),
    ("shard.after_apply@POISON", Told::Lost, "old"),
    ("log.queue@SHARD", Told::Lost, "old"),
    ("log.queued@SHARD", Told::Lost, "new"),
    ("mail.claim@SHARD", Told::Refused, "old"),
    // Done, but its reply was on the way.
    ("mail.settle@SHARD", Told::Lost, "new"),
    ("owner.serve@SHARD", Told::Ok, "new"),
    ("mail.post@SHARD", Told::Closed, "old"),
    ("reply.release@CLIENT", Told::Closed, "new"),
];

/// Ends those who look at it, also by a panic.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Clients of a server meanwhile: what those of other shards are told, and how far one of the same came.
fn among_others(bench: &mut Bench, act: impl FnOnce(&mut Bench)) -> (u64, Vec<u64>) {
    let done = AtomicBool::new(false);
    let (elsewhere, last) = (bench.elsewhere.clone(), bench.last.clone());
    let other = |bench: &Bench| bench.server.client().unwrap();
    let (mut far, mut near) = (other(bench), other(bench));
    let address = bench.server.address();
    thread::scope(|scope| {
        let is_done = &done;
        let distant = scope.spawn(move || {
            let mut count = 0_u64;
            while !is_done.load(SeqCst) {
                count += 1;
                let set = far.call(&["SET", &elsewhere, &count.to_string()]).unwrap();
                assert_eq!(shown(&set), "OK");
            }
        });
        let neighbour = scope.spawn(move || {
            // What was acknowledged last, and what may be there instead.
            let (mut acked, mut maybe) = (0, Vec::new());
            for count in 1_u64.. {
                if is_done.load(SeqCst) {
                    break;
                }
                match near.call(&["SET", &last, &count.to_string()]) {
                    Ok(value) => match told(&shown(&value)) {
                        Told::Ok => (acked, maybe) = (count, Vec::new()),
                        Told::Lost => maybe.push(count),
                        Told::Refused | Told::Closed => {}
                    },
                    // It was in the same round.
                    Err(_) => {
                        maybe.push(count);
                        near = Client::connect(address).unwrap();
                    }
                }
            }
            (acked, maybe)
        });
        let until_here = Ended(&done);
        act(bench);
        drop(until_here);
        distant.join().unwrap();
        neighbour.join().unwrap()
    })
}

/// Panics at `step`, and looks what is there then, and after the next start.
fn step(bench: &mut Bench, dir: &Path, flags: &[&str], (place, wanted, left): Step) {
    let before = (threads(bench.server.pid()), open_files(bench.server.pid()));
    let poison = bench.poison.clone();
    assert_eq!(bench.value(&poison), "old", "{place}");
    let (acked, maybe) = among_others(bench, |bench| {
        bench.plant(&format!("{place}=panic"));
        let answer = bench.tell(&format!("SET {poison} new"));
        // The neighbour's write may have come to the same place first.
        let is_shared = place.ends_with("SHARD") || !place.contains('@');
        let is_spared = is_shared && matches!(told(&answer), Told::Ok | Told::Refused);
        assert!(told(&answer) == wanted || is_spared, "{place}: {answer}");
        let value = bench.value(&poison);
        match told(&answer) {
            Told::Ok => assert_eq!(value, "new", "{place}"),
            Told::Refused => assert_eq!(value, "old", "{place}: {answer}"),
            Told::Lost | Told::Closed if is_shared => {}
            Told::Lost | Told::Closed => assert_eq!(value, left, "{place}"),
        }
        bench.server.plant("clear").unwrap();
    });
    let last = bench.last.clone();
    let at_last = bench.value(&last);
    let is_known = std::iter::once(&acked)
        .chain(&maybe)
        .any(|count| count.to_string() == at_last);
    assert!(
        is_known || acked == 0 && at_last == "old",
        "{place}: {at_last}, {acked}, {maybe:?}"
    );
    let keys = ["GET"; KEYS].iter().enumerate();
    let all: Vec<String> = keys.map(|(at, _)| bench.value(&key(at))).collect();
    serves_others(&bench.server);
    eventually("threads and descriptors are back", || {
        let now = (threads(bench.server.pid()), open_files(bench.server.pid()));
        now.0.unwrap() <= *before.0.as_ref().unwrap()
            && now.1.unwrap() <= *before.1.as_ref().unwrap()
    });
    // What the rebuilt shard has is what the log has.
    bench.server.signal(Signal::KILL).unwrap();
    bench.server.wait(PATIENCE).unwrap();
    let (status, said) =
        run_to_end(program(), &["check", &dir.to_string_lossy()], &[], PATIENCE).unwrap();
    assert!(status.success(), "{place}: {said}");
    bench.server = open(flags);
    bench.client = bench.server.client().unwrap();
    for (at, value) in all.iter().enumerate() {
        assert_eq!(&bench.value(&key(at)), value, "{place}: {}", key(at));
    }
    for name in [&poison, &last] {
        assert_eq!(ask(&mut bench.client, &format!("SET {name} old")), "OK");
    }
}

fn steps(more: &[&str], steps: &[Step]) {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let text = dir.to_string_lossy();
    let flags = [&["--dir", &text, "--sync", "always"], more].concat();
    for &it in steps {
        // Another process has other seeds: the keys are looked for again.
        let mut bench = Bench::new(&flags);
        step(&mut bench, &dir, &flags, it);
        bench.server.signal(Signal::KILL).unwrap();
        bench.server.wait(PATIENCE).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn a_panic_at_any_step_of_a_command_is_told_truly_and_takes_nothing_that_the_log_has() {
    steps(&[], &STEPS);
}

#[test]
fn a_panic_at_any_step_of_a_command_is_told_truly_where_a_thread_commits() {
    steps(&["--commit", "thread"], &STEPS[..5]);
}

#[test]
fn a_panic_at_any_step_of_a_mailed_command_is_told_truly_and_takes_nothing_that_the_log_has() {
    steps(&["--handover", "mail"], &MAILED_STEPS);
}

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
fn a_panic_under_the_log_is_told_as_lost_and_reads_go_on() {
    for (place, wanted, left) in [
        ("log.append", Told::Lost, "old"),
        ("log.appended", Told::Lost, "old"),
        ("log.sync", Told::Lost, "new"),
        ("log.synced", Told::Lost, "new"),
        // Whoever waited had been released.
        ("log.released", Told::Ok, "new"),
    ] {
        for commit in ["auto", "thread"] {
            let scratch = Scratch::new().unwrap();
            let dir = scratch.path().join("store");
            let text = dir.to_string_lossy();
            let flags = ["--dir", &text, "--sync", "always", "--commit", commit];
            let mut bench = Bench::new(&flags);
            let (poison, far) = (bench.poison.clone(), bench.elsewhere.clone());
            bench.server.plant(&format!("{place}=panic")).unwrap();
            let answer = bench.tell(&format!("SET {poison} new"));
            assert_eq!(told(&answer), wanted, "{place} {commit}: {answer}");
            // After a failure nothing more is taken, and what is durable is shown.
            eventually("writes are refused", || {
                bench
                    .tell(&format!("SET {far} new"))
                    .starts_with("-MISCONF the log has failed")
            });
            let quiet = bench.first.clone();
            assert_eq!(bench.value(&quiet), "old", "{place} {commit}");
            bench.server.signal(Signal::KILL).unwrap();
            bench.server.wait(PATIENCE).unwrap();
            bench.server = open(&flags);
            bench.client = bench.server.client().unwrap();
            assert_eq!(bench.value(&poison), left, "{place} {commit}");
            assert_eq!(bench.value(&quiet), "old", "{place} {commit}");
        }
    }
}

#[test]
fn a_panic_in_a_sync_that_runs_aside_fails_the_log() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let text = dir.to_string_lossy();
    let flags = [
        "--dir",
        &text,
        "--sync",
        "interval",
        "--sync-interval",
        "50ms",
    ];
    let mut bench = Bench::new(&flags);
    bench.server.plant("syncer.sync=panic").unwrap();
    let far = bench.elsewhere.clone();
    eventually("writes are refused", || {
        bench
            .tell(&format!("SET {far} new"))
            .starts_with("-MISCONF the log has failed")
    });
    assert!(bench.value(&far) != "nil");
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
        let mut bench = Bench::new(&["--handover", "mail", "--deadline", "20s"]);
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
