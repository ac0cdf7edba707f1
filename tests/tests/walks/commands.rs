//! A server under random commands in sixteen databases and snapshots one after the other, which is killed and
//! started again with another number of shards.
//!
//! One client asks, many commands at a time, and every answer is looked at. When the server is killed one more
//! command is under way, which is done or not.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use shardkeep_tests::clock::{self, PATIENCE};
use shardkeep_tests::harness::{Client, Launch, Scratch, ServerProcess, Signal, request};
use shardkeep_tests::random::Random;

use crate::model::{DATABASES, Entries, Model, Words};
use crate::support::{ask, difference, held_by, held_on_disk, number_of, shown};

const ROUNDS: u64 = 4;

/// Bursts of a round at least; it ends when two snapshots were taken, too.
const BURSTS: u64 = 30;

/// Commands of a burst.
const BURST: usize = 60;

/// Longest life of a key that expires while the test runs.
const LIFE: Duration = Duration::from_millis(30);

/// Keys of such lives, beside those of the model.
const MORTALS: usize = 30;

fn serve(dir: &Path, shards: usize) -> ServerProcess {
    let (dir, shards) = (dir.to_str().unwrap(), shards.to_string());
    let flags = ["--dir", dir, "--sync", "always", "--shards", &shards];
    let program = Path::new(env!("CARGO_BIN_EXE_shardkeep-under-test"));
    ServerProcess::start(program, Launch::Shardkeep, &flags).unwrap()
}

/// Commands, and what each is answered; `None` where that depends on the moment.
type Burst = Vec<(Words, Option<String>)>;

fn burst(model: &mut Model, random: &mut Random) -> Burst {
    let mut all = Burst::new();
    while all.len() < BURST {
        match random.below(20) {
            0 | 1 => all.push((mortal(random), None)),
            _ => {
                let words = model.next(random);
                let answer = model.apply(&words);
                all.push((words, Some(answer)));
            }
        }
    }
    all
}

/// A command of a key that the clock removes.
fn mortal(random: &mut Random) -> Words {
    let (key, life) = (random.below(MORTALS), random.between(1, 20));
    let line = match random.below(9) {
        0..3 => format!("SET m{key} v PX {life}"),
        3 | 4 => format!("APPEND m{key} w"),
        5 => format!("PEXPIRE m{key} {life}"),
        6 => format!("GET m{key}"),
        7 => format!("PERSIST m{key}"),
        _ => format!("MOVE m{key} {}", random.below(DATABASES)),
    };
    let words = line.split(' ');
    words.map(|word| word.as_bytes().to_vec()).collect()
}

fn play(client: &mut Client, burst: &Burst, seed: u64) {
    let asked: Vec<u8> = burst.iter().flat_map(|(words, _)| request(words)).collect();
    client.send(&asked).unwrap();
    for (words, answer) in burst {
        let told = shown(&client.reply().unwrap());
        let command = words.join(&b' ').escape_ascii().to_string();
        let command = &command[..command.len().min(100)];
        if let Some(answer) = answer {
            assert!(
                told == *answer,
                "seed {seed}: {command}: {told:.100}, not {answer:.100}"
            );
        }
    }
}

/// The saver ends with the one who kills the server, by a panic too.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Takes one snapshot after the other until the server is gone.
fn save_on(mut client: Client, saves: &AtomicU64, is_over: &AtomicBool) {
    while !is_over.load(SeqCst) {
        match client.call(&["SAVE"]) {
            Ok(told) => assert_eq!(shown(&told), "OK"),
            Err(error) => assert!(is_over.load(SeqCst), "the server has left: {error}"),
        }
        saves.fetch_add(1, SeqCst);
    }
}

/// Takes out the keys of which the model knows nothing.
fn mortals_of(databases: &mut [Entries]) -> Vec<Entries> {
    let of_one = |entries: &mut Entries| {
        let mortals = entries.extract_if(.., |key, _| key.starts_with(b"m"));
        mortals.collect()
    };
    databases.iter_mut().map(of_one).collect()
}

/// Adds them, when they change no more.
fn add_mortals(databases: &mut [Entries], mortals: Vec<Entries>) {
    let both = databases.iter_mut().zip(mortals);
    both.for_each(|(entries, mortals)| entries.extend(mortals));
}

/// One life of the server, at whose end a command is under way that nothing has answered. Gives the state without it; the
/// model has the one with it.
fn round(server: &mut ServerProcess, model: &mut Model, random: &mut Random, seed: u64) -> Model {
    let mut client = server.client().unwrap();
    let (saver, saves, is_over) = (
        server.client().unwrap(),
        AtomicU64::new(0),
        AtomicBool::new(false),
    );
    model.reconnect();
    thread::scope(|scope| {
        scope.spawn(|| save_on(saver, &saves, &is_over));
        let over = Over(&is_over);
        let (end, mut bursts) = (clock::now() + PATIENCE, 0);
        while bursts < BURSTS || saves.load(SeqCst) < 2 {
            assert!(clock::left(end).is_some(), "seed {seed}: no two snapshots");
            play(&mut client, &burst(model, random), seed);
            bursts += 1;
        }
        // What the clock has removed by now nothing brings back.
        clock::pass(LIFE);
        let mut shown = held_by(&mut client);
        let mortals = mortals_of(&mut shown);
        let wrong = difference(&shown, &model.databases);
        assert_eq!(wrong, None, "seed {seed}, before it is killed");
        assert_eq!(ask(&mut client, "SELECT 0"), "OK");
        model.reconnect();
        add_mortals(&mut model.databases, mortals);
        let last = model.next(random);
        let before = model.clone();
        model.apply(&last);
        client.send(&request(&last)).unwrap();
        drop(over);
        server.signal(Signal::KILL).unwrap();
        server.wait(PATIENCE).unwrap();
        before
    })
}

#[test]
fn whatever_is_asked_while_snapshots_are_taken_a_killed_server_holds_it_with_any_number_of_shards()
{
    let seed = number_of("WALK_SEED", 1);
    let mut random = Random::new(seed);
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let mut model = Model::new();
    let mut server = serve(&dir, 4);
    for round_number in 0..number_of("WALK_ROUNDS", ROUNDS) {
        let what = format!("seed {seed}, round {round_number}");
        let before = round(&mut server, &mut model, &mut random, seed);
        let (mut on_disk, entries) = held_on_disk(&dir);
        assert!(entries.is_some(), "{what}: no snapshot");
        server = serve(&dir, random.one(&[1, 2, 4, 8, 32]));
        let held = held_by(&mut server.client().unwrap());
        let is_over = |(_, expires): &(Vec<u8>, Option<u64>)| expires.is_some();
        for entries in &mut on_disk {
            entries.retain(|key, entry| !key.starts_with(b"m") || !is_over(entry));
        }
        assert_eq!(difference(&held, &on_disk), None, "{what}: by its files");
        if held == before.databases {
            model = before;
        }
        assert_eq!(difference(&held, &model.databases), None, "{what}");
        mortals_of(&mut model.databases);
    }
}
