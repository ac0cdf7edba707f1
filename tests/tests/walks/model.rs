//! A server as a client sees it: what each command answers, and what is there then.

use std::collections::BTreeMap;
use std::ops::Bound;

use shardkeep::effect::{self, Effect};
use shardkeep_tests::random::Random;

/// Databases of the server.
pub(crate) const DATABASES: usize = 16;

/// Keys of one database.
const KEYS: usize = 1_500;

/// Below this number of entries commands put in more than they remove.
const FEW: usize = 1_000;

/// A moment that no test sees.
const FAR: u64 = 4_000_000_000_000;

/// Bytes of a value that is shared, and not copied, where a walk needs it.
const LARGE_BYTES: usize = 100_000;

/// Value and expiry.
pub(crate) type Entry = (Vec<u8>, Option<u64>);

/// The entries of one database.
pub(crate) type Entries = BTreeMap<Vec<u8>, Entry>;

/// A command and its arguments.
pub(crate) type Words = Vec<Vec<u8>>;

/// What a server holds, and the database that its client has selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) databases: Vec<Entries>,
    selected: usize,
}

fn words(line: &str) -> Words {
    let words = line.split(' ');
    words.map(|word| word.as_bytes().to_vec()).collect()
}

fn number(word: &[u8]) -> u64 {
    str::from_utf8(word).unwrap().parse().unwrap()
}

fn key(random: &mut Random) -> String {
    format!("k{}", random.below(KEYS))
}

fn value(random: &mut Random) -> String {
    let letter = char::from(b'a' + random.below(26) as u8);
    let bytes = match random.below(200) {
        0 => LARGE_BYTES,
        _ => random.between(1, 120),
    };
    letter.to_string().repeat(bytes)
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            databases: vec![Entries::new(); DATABASES],
            selected: 0,
        }
    }

    /// A connection begins with the first database.
    pub(crate) fn reconnect(&mut self) {
        self.selected = 0;
    }

    /// A command that may come next.
    pub(crate) fn next(&self, random: &mut Random) -> Words {
        let entries: usize = self.databases.iter().map(Entries::len).sum();
        if entries < FEW && random.percent(60) {
            return many(random, 100);
        }
        match random.below(1_000) {
            0 => words("FLUSHALL"),
            1..4 => words("FLUSHDB"),
            4..14 => words(&format!(
                "SWAPDB {} {}",
                random.below(DATABASES),
                random.below(4)
            )),
            14..64 => words(&format!("SELECT {}", random.below(3) * random.below(6))),
            64..100 => many(random, 6),
            _ => self.of_key(random),
        }
    }

    /// A command of one key or two.
    fn of_key(&self, random: &mut Random) -> Words {
        let there = self.known(random);
        let (one, other) = (key(random), key(random));
        let text = value(random);
        let line = match random.below(16) {
            0 => format!("SET {one} {text}"),
            1 => format!("SET {one} {text} PXAT {}", FAR + random.number() % 1_000),
            2..5 => format!("APPEND {there} {text}"),
            5 => format!("SETRANGE {there} {} {text}", random.below(200)),
            6 => format!("INCR n{}", random.below(50)),
            7 | 8 => format!("PEXPIREAT {there} {}", FAR + random.number() % 1_000),
            9 => format!("PERSIST {there}"),
            10 => format!("GETDEL {there}"),
            11 => format!("DEL {there} {one}x {other}"),
            12 => format!("RENAME {there} {one}r"),
            13 => format!("COPY {there} {one}c REPLACE"),
            14 => format!("COPY {there} {there} DB {}", self.other(random)),
            _ => format!("MOVE {there} {}", self.other(random)),
        };
        words(&line)
    }

    /// A key that is probably there.
    fn known(&self, random: &mut Random) -> String {
        let from = (Bound::Included(key(random).into_bytes()), Bound::Unbounded);
        let mut behind = self.databases[self.selected].range::<Vec<u8>, _>(from);
        // Not a number, which nothing else changes.
        let found = behind.find(|(key, _)| key.starts_with(b"k"));
        found.map_or_else(
            || key(random),
            |(key, _)| String::from_utf8(key.clone()).unwrap(),
        )
    }

    /// A database that is not selected.
    fn other(&self, random: &mut Random) -> usize {
        (self.selected + random.between(1, DATABASES - 1)) % DATABASES
    }

    fn here(&mut self) -> &mut Entries {
        &mut self.databases[self.selected]
    }

    /// Does what a server does; what it answers, as text.
    pub(crate) fn apply(&mut self, words: &Words) -> String {
        let verb = str::from_utf8(&words[0]).unwrap();
        match verb {
            "SELECT" => self.selected = number(&words[1]) as usize,
            "SWAPDB" => {
                let (one, other) = (number(&words[1]), number(&words[2]));
                self.databases.swap(one as usize, other as usize);
            }
            "FLUSHDB" => self.here().clear(),
            "FLUSHALL" => self.databases.iter_mut().for_each(Entries::clear),
            "MSET" => {
                for pair in words[1..].chunks(2) {
                    let entry = (pair[1].clone(), None);
                    self.here().insert(pair[0].clone(), entry);
                }
            }
            "DEL" => {
                let here = self.here();
                let keys = words[1..].iter();
                let gone = keys.filter(|key| here.remove(*key).is_some());
                return gone.count().to_string();
            }
            "COPY" | "MOVE" | "RENAME" => return self.carry(verb, words),
            _ => return self.change(verb, &words[1], &words[2..]),
        }
        "OK".to_owned()
    }

    fn carry(&mut self, verb: &str, words: &Words) -> String {
        let (to, key) = match (verb, words.len()) {
            ("MOVE", _) => (number(&words[2]) as usize, &words[1]),
            ("COPY", 5) => (number(&words[4]) as usize, &words[2]),
            (_, _) => (self.selected, &words[2]),
        };
        let has_place = to == self.selected || !self.databases[to].contains_key(key);
        let found = self.here().get(&words[1]).cloned();
        if to == self.selected && *key == words[1] && found.is_some() {
            let refused = "-ERR source and destination objects are the same";
            return if verb == "RENAME" { "OK" } else { refused }.to_owned();
        }
        match found {
            Some(entry) if has_place => drop(self.databases[to].insert(key.clone(), entry)),
            _ if verb == "RENAME" => return "-ERR no such key".to_owned(),
            _ => return "0".to_owned(),
        }
        if verb != "COPY" {
            self.here().remove(&words[1]);
        }
        match verb {
            "RENAME" => "OK".to_owned(),
            _ => "1".to_owned(),
        }
    }

    /// A command of one key that is never empty.
    fn change(&mut self, verb: &str, key: &[u8], args: &[Vec<u8>]) -> String {
        let here = self.here();
        match verb {
            "SET" => {
                let expires = args.get(2).map(|at| number(at));
                here.insert(key.to_vec(), (args[0].clone(), expires));
                "OK".to_owned()
            }
            "APPEND" => {
                let (value, _) = here.entry(key.to_vec()).or_default();
                value.extend_from_slice(&args[0]);
                value.len().to_string()
            }
            "SETRANGE" => {
                let (value, _) = here.entry(key.to_vec()).or_default();
                let (from, to) = (number(&args[0]) as usize, &args[1]);
                let length = value.len().max(from + to.len());
                value.resize(length, 0);
                value[from..from + to.len()].copy_from_slice(to);
                length.to_string()
            }
            "INCR" => {
                let (value, _) = here.entry(key.to_vec()).or_default();
                let next = if value.is_empty() {
                    1
                } else {
                    number(value) + 1
                };
                *value = next.to_string().into_bytes();
                next.to_string()
            }
            "PEXPIREAT" => match here.get_mut(key) {
                Some((_, expires)) => {
                    *expires = Some(number(&args[0]));
                    "1".to_owned()
                }
                None => "0".to_owned(),
            },
            "PERSIST" => {
                let taken = here.get_mut(key).and_then(|(_, expires)| expires.take());
                usize::from(taken.is_some()).to_string()
            }
            "GETDEL" => match here.remove(key) {
                Some((value, _)) => String::from_utf8(value).unwrap(),
                None => "nil".to_owned(),
            },
            other => panic!("no model of {other}"),
        }
    }

    /// Does what an effect of the log says.
    pub(crate) fn replay(&mut self, effect: &Effect<'_>) {
        self.selected = effect.database as usize;
        let key = effect.key.unwrap_or_default();
        if let Some((value, expires)) = effect.as_set() {
            let expires = expires.map(|at| at.get());
            self.here().insert(key.to_vec(), (value.to_vec(), expires));
        } else if let Some(expires) = effect.as_expiry() {
            let (_, was) = self.here().get_mut(key).expect("the key is there");
            *was = expires.map(|at| at.get());
        } else if effect.verb == effect::DEL {
            self.here().remove(key);
        } else {
            let mut all = vec![effect.verb.to_vec()];
            all.extend(effect.key.map(<[u8]>::to_vec));
            all.extend(effect.args().map(<[u8]>::to_vec));
            let told = self.apply(&all);
            assert!(!told.starts_with('-'), "{told}");
        }
    }
}

fn many(random: &mut Random, keys: usize) -> Words {
    let mut all = vec![b"MSET".to_vec()];
    for _ in 0..keys {
        all.push(key(random).into_bytes());
        all.push(value(random).into_bytes());
    }
    all
}
