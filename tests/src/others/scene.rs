//! A server with a shard that is to suffer, and clients of all the others.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use shardkeep_resp::Value;

use super::load::connected;
use crate::clock::{self, PATIENCE};
use crate::harness::{Client, Scratch, ServerProcess, request};
use crate::planting::FAIL_POINTS;

/// Clients whose latency is measured.
const OTHERS: usize = 8;

/// Keys that they ask for.
const KEYS: usize = 64;

/// Keys that lie in the store beside: a shard is made again from a log that has something to read.
const FILLING: usize = 200_000;

/// Requests sent at once while it is filled.
const PIPELINE: usize = 1_000;

/// Who waits longer than this waits for the reactor of another.
const BESIDE: Duration = Duration::from_millis(50);

/// The key whose shard suffers.
pub(super) const POISON: &str = "poison";

/// Everything that a fault is played with.
pub(super) struct Scene {
    pub(super) server: ServerProcess,
    /// On the shard that suffers.
    pub(super) victim: Client,
    /// The shard that suffers, as fail points name it.
    pub(super) shard: String,
    pub(super) others: Vec<Client>,
    /// Of each, whether the victim's reactor serves it.
    pub(super) beside_victim: Vec<bool>,
    /// Keys that lie in other shards.
    pub(super) keys: Vec<String>,
    _scratch: Scratch,
}

impl Scene {
    /// A server on a directory, with two reactors.
    pub(super) fn new(program: &Path, flags: &[&str]) -> io::Result<Self> {
        let scratch = Scratch::new()?;
        let dir = scratch.path().join("store");
        let dir = dir.to_string_lossy();
        let fixed = ["--dir", &dir, "--sync", "interval", "--reactors", "2"];
        let flags = [&fixed, flags].concat();
        // Finding names for a backtrace takes a thread longer than anything that is measured here.
        let environment = [(FAIL_POINTS, ""), ("RUST_BACKTRACE", "0")];
        let mut server = ServerProcess::shardkeep(program, &flags, &environment)?;
        let address = server.address();
        fill(&mut connected(address)?)?;
        let mut victim = connected(address)?;
        let (shard, keys) = keys_of_others(&mut victim)?;
        let others: io::Result<Vec<Client>> = (0..OTHERS).map(|_| connected(address)).collect();
        let mut others = others?;
        let beside_victim = who_is_beside(&mut server, &mut victim, &mut others)?;
        Ok(Self {
            others,
            beside_victim,
            victim,
            shard,
            keys,
            server,
            _scratch: scratch,
        })
    }

    /// Plants `plan`, where `SHARD` is the one that suffers.
    pub(super) fn plant(&mut self, plan: &str) -> io::Result<()> {
        self.server.plant(&plan.replace("SHARD", &self.shard))
    }

    /// What the victim is told of `line`.
    pub(super) fn tell(&mut self, line: &str) -> io::Result<Value> {
        let args: Vec<&str> = line.split(' ').collect();
        self.victim.call(&args)
    }

    /// Waits until the shard that suffers is served.
    pub(super) fn recovers(&mut self) -> io::Result<()> {
        let deadline = clock::now() + PATIENCE;
        while matches!(self.tell("GET poison")?, Value::Error(_)) {
            if clock::left(deadline).is_none() {
                return Err(io::Error::other("the shard does not come back"));
            }
            clock::pass(Duration::from_millis(1));
        }
        Ok(())
    }
}

fn fill(client: &mut Client) -> io::Result<()> {
    let value = "f".repeat(100);
    for first in (0..FILLING).step_by(PIPELINE) {
        let numbers = first..first + PIPELINE;
        let sets = numbers.flat_map(|number| request(&["SET", &format!("f:{number}"), &value]));
        client.send(&sets.collect::<Vec<u8>>())?;
        for _ in 0..PIPELINE {
            client.reply_bytes()?;
        }
    }
    Ok(())
}

/// Which of `others` the reactor serves that serves `victim`: those that wait when it stands still.
fn who_is_beside(
    server: &mut ServerProcess,
    victim: &mut Client,
    others: &mut [Client],
) -> io::Result<Vec<bool>> {
    let mut beside = Vec::new();
    for other in others {
        server.plant(&format!(
            "shard.before_apply@{POISON}=stall:{}",
            2 * BESIDE.as_millis()
        ))?;
        victim.send(&request(&["GET", POISON]))?;
        // It has arrived, and is being served.
        clock::pass(BESIDE / 2);
        let asked = clock::now();
        other.call(&["PING"])?;
        beside.push(clock::now() - asked >= BESIDE);
        victim.reply()?;
    }
    Ok(beside)
}

/// How many keys each shard has.
fn counts(client: &mut Client) -> io::Result<Vec<u64>> {
    let info = client.call(&["INFO", "shards"])?;
    let info = String::from_utf8_lossy(info.bytes().unwrap_or_default()).into_owned();
    info.lines()
        .filter_map(|line| line.split_once(":keys=")?.1.split(',').next()?.parse().ok())
        .map(Ok)
        .collect()
}

/// The shard that the next key of `client` lies in.
fn shard_of(client: &mut Client, key: &str) -> io::Result<usize> {
    let before = counts(client)?;
    client.call(&["SET", key, "v"])?;
    let after = counts(client)?;
    (0..after.len())
        .find(|&shard| after[shard] > before[shard])
        .ok_or_else(|| io::Error::other("a new key is in no shard"))
}

/// The shard of the poison, and keys of others.
fn keys_of_others(client: &mut Client) -> io::Result<(String, Vec<String>)> {
    let (shard, mut keys) = (shard_of(client, POISON)?, Vec::new());
    let mut shards = BTreeSet::new();
    for number in 0.. {
        if keys.len() == KEYS {
            break;
        }
        let key = format!("other:{number}");
        let of_key = shard_of(client, &key)?;
        if of_key != shard {
            shards.insert(of_key);
            keys.push(key);
        }
    }
    Ok((format!("#{shard}."), keys))
}
