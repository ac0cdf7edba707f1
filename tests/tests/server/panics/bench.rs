//! A server that plants what it is told, and keys of one shard of it and of another.

use std::collections::BTreeMap;

use shardkeep_tests::harness::{Client, ServerProcess};

use crate::support::{ask, eventually, program, shown};

/// Keys among which three of one shard are looked for.
pub(super) const KEYS: usize = 40;

/// Names of keys, none of which is part of another.
pub(super) fn key(number: usize) -> String {
    format!("key-{number:02}")
}

/// A server that plants what it is told, and keys of it.
pub(super) struct Bench {
    pub(super) server: ServerProcess,
    pub(super) client: Client,
    /// Three keys of one shard.
    pub(super) first: String,
    pub(super) poison: String,
    pub(super) last: String,
    /// A key of another shard.
    pub(super) elsewhere: String,
    pub(super) shard: usize,
}

pub(super) fn open(flags: &[&str]) -> ServerProcess {
    let environment = [("FAIL_POINTS", "")];
    // What is told here is not told for want of time, however crowded the machine is.
    let fixed = [
        "--shards",
        "4",
        "--owners",
        "2",
        "--reactors",
        "2",
        "--deadline",
        "20s",
    ];
    ServerProcess::shardkeep(program(), &[&fixed, flags].concat(), &environment).unwrap()
}

/// How many keys each shard has.
pub(super) fn counts(client: &mut Client) -> Vec<usize> {
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
    pub(super) fn new(flags: &[&str]) -> Self {
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
    pub(super) fn plant(&mut self, plan: &str) {
        let id = ask(&mut self.client, "CLIENT ID");
        let plan = plan
            .replace("SHARD", &format!("#{}.", self.shard))
            .replace("POISON", &self.poison)
            .replace("ELSEWHERE", &self.elsewhere)
            .replace("CLIENT", &format!("client={id}."));
        self.server.plant(&plan).unwrap();
    }

    /// What `client` is told of `line`; it has another connection if that was closed.
    pub(super) fn tell(&mut self, line: &str) -> String {
        let args: Vec<&str> = line.split(' ').collect();
        match self.client.call(&args) {
            Ok(value) => shown(&value),
            Err(_) => {
                self.client = self.server.client().unwrap();
                "closed".to_owned()
            }
        }
    }

    pub(super) fn value(&mut self, key: &str) -> String {
        let mut value = String::new();
        let (client, get) = (&mut self.client, format!("GET {key}"));
        eventually("its shard is there again", || {
            value = ask(client, &get);
            !value.starts_with("-TRYAGAIN")
        });
        value
    }

    pub(super) fn says(&self, part: &str) -> bool {
        self.server.output().iter().any(|line| line.contains(part))
    }
}

/// What may become of a command, by its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Ok,
    Lost,
    /// Any error but *lost*.
    Refused,
    Closed,
}

pub(super) fn told(answer: &str) -> Told {
    match answer {
        "OK" => Told::Ok,
        "closed" => Told::Closed,
        _ if answer.starts_with("-LOST ") => Told::Lost,
        _ if answer.starts_with('-') => Told::Refused,
        _ => panic!("{answer}"),
    }
}
