//! A store of a few shards in one hand, and checks of dialogues against it.

use shardkeep::table::UnixMillis;
use shardkeep_resp::{Protocol, Reply, Span};

use super::{Action, Args, ConnectionCommand, Hour, ShardSet, database, introspect, resolve};
use crate::keyspace::{DATABASES_DEFAULT, Keyspace, hash_key};

/// Four shards, as the fewest among which a command may have to go several ways.
const SHARD_BITS: u32 = 2;

/// When tests happen (Unix milliseconds).
pub(crate) const NOW: u64 = 1_700_000_000_000;

pub(crate) struct Shards {
    /// What a look at the clock says.
    pub(crate) hour: Hour,
    hasher: ahash::RandomState,
    shards: Vec<Keyspace>,
}

impl Shards {
    fn new() -> Self {
        let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
        let shards = (0..1 << SHARD_BITS)
            .map(|_| Keyspace::new(SHARD_BITS, hasher.clone()).with_databases(DATABASES_DEFAULT))
            .collect();
        Self {
            hour: Hour::Early,
            hasher,
            shards,
        }
    }
}

impl ShardSet for Shards {
    fn of(&mut self, key: &[u8]) -> (u64, &mut Keyspace) {
        let hash = hash_key(&self.hasher, key);
        // Any bits will do that the table leaves alone.
        (hash, &mut self.shards[(hash >> 55 & 3) as usize])
    }

    fn first(&self) -> usize {
        0
    }

    fn last(&self) -> usize {
        self.shards.len() - 1
    }

    fn shard(&mut self, number: usize) -> &mut Keyspace {
        &mut self.shards[number]
    }

    fn shards_total(&self) -> usize {
        self.shards.len()
    }

    fn clock(&self) -> Box<dyn Fn() -> Hour> {
        let hour = self.hour;
        Box::new(move || hour)
    }
}

/// A store and a time.
pub(crate) struct Store {
    pub(crate) shards: Shards,
    protocol: Protocol,
    database: u32,
}

impl Store {
    pub(crate) fn new() -> Self {
        let mut store = Self {
            shards: Shards::new(),
            protocol: Protocol::Resp2,
            database: 0,
        };
        store.set_now(NOW);
        store
    }

    pub(crate) fn resp3() -> Self {
        Self {
            protocol: Protocol::Resp3,
            ..Self::new()
        }
    }

    pub(crate) fn set_now(&mut self, now: u64) {
        for shard in &mut self.shards.shards {
            shard.set_now(UnixMillis::new(now));
        }
    }

    /// The reply to these arguments.
    pub(crate) fn call(&mut self, args: &[&[u8]]) -> Vec<u8> {
        let mut spans = Vec::new();
        let mut start = 0;
        for arg in args {
            let len = arg.len() as u32;
            spans.push(Span { start, len });
            start += len;
        }
        let input = args.concat();
        let args = Args::new(&input, &spans);
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, self.protocol);
        let Some((_, spec)) = resolve(args, &mut reply) else {
            return out;
        };
        for shard in &mut self.shards.shards {
            shard.select(self.database);
        }
        match spec.action {
            Action::Shard(run) => {
                let key = args.get(usize::from(spec.first_key));
                let (hash, keyspace) = self.shards.of(key);
                run(keyspace, hash, args, &mut reply);
            }
            Action::Shards(run) => run(&mut self.shards, args, &mut reply),
            Action::Connection(ConnectionCommand::Command) => introspect(args, &mut reply),
            Action::Connection(ConnectionCommand::Select) => {
                match database(args.get(1), DATABASES_DEFAULT) {
                    Ok(database) => {
                        self.database = database;
                        reply.ok();
                    }
                    Err(error) => reply.error(error.error()),
                }
            }
            Action::Connection(command) => panic!("{command:?} needs a connection"),
            Action::Container => panic!("{} was not resolved", spec.name),
        }
        out
    }

    /// The reply to a line, split at spaces; `''` is an empty argument, `\xHH` any byte.
    pub(crate) fn line(&mut self, line: &str) -> String {
        let args: Vec<Vec<u8>> = line.split(' ').map(unescaped).collect();
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let reply = self.call(&args).escape_ascii().to_string();
        reply.replace("\\'", "'").replace("\\r\\n", "\r\n")
    }

    /// Each line gets its reply, in this order.
    #[track_caller]
    pub(crate) fn check(&mut self, dialogue: &[(&str, &str)]) {
        for (line, reply) in dialogue {
            assert_eq!(&self.line(line), reply, "{line}");
        }
    }
}

fn unescaped(arg: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = if arg == "''" { "" } else { arg };
    while let Some(at) = rest.find("\\x") {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        bytes.push(u8::from_str_radix(&rest[at + 2..at + 4], 16).unwrap());
        rest = &rest[at + 4..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Each line gets its reply from a new store, in this order, in RESP2.
#[track_caller]
pub(crate) fn check(dialogue: &[(&str, &str)]) {
    Store::new().check(dialogue);
}
