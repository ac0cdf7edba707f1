//! A panic at each step of one command, among clients of the same shard and of others.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::{Client, Scratch, Signal, open_files, run_to_end, threads};

use super::bench::{Bench, KEYS, Told, key, open, told};
use crate::support::{ask, eventually, frees_a_large_value, program, serves_others, shown};

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
    frees_a_large_value(&mut bench.client);
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
