//! A Redis that is filled and saves.

use std::fs;
use std::path::Path;

use shardkeep_resp::Value;
use shardkeep_server::rdb::checksum;
use shardkeep_tests::harness::{Client, Launch, Scratch, ServerProcess};

use crate::support::Entries;

/// A running Redis with a directory of its own.
pub(crate) struct Redis {
    client: Client,
    _server: ServerProcess,
    scratch: Scratch,
}

impl Redis {
    pub(crate) fn start(flags: &[&str]) -> Self {
        let scratch = Scratch::new().unwrap();
        let directory = scratch.path().to_str().unwrap();
        let flags = [&["--dir", directory, "--databases", "16"], flags].concat();
        let program = Path::new("redis-server");
        let server = ServerProcess::start(program, Launch::Redis, &flags).unwrap();
        Self {
            client: server.client().unwrap(),
            _server: server,
            scratch,
        }
    }

    /// Runs a command that must succeed.
    pub(crate) fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        let value = self.client.call(args).unwrap();
        assert!(!matches!(value, Value::Error(_)), "{value:?}");
        value
    }

    /// Runs commands without binary arguments.
    pub(crate) fn lines(&mut self, lines: &[&str]) {
        for line in lines {
            self.call(&line.split(' ').collect::<Vec<_>>());
        }
    }

    /// The file that it saves now.
    pub(crate) fn save(&mut self) -> Vec<u8> {
        self.call(&["SAVE"]);
        self.file("dump.rdb")
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.scratch.path().join(name)).unwrap()
    }

    /// All that it has in the first database; only strings.
    pub(crate) fn entries(&mut self) -> Entries {
        let Value::Array(keys) = self.call(&["KEYS", "*"]) else {
            panic!("KEYS answers with an array");
        };
        let keys = keys.iter().map(|key| key.bytes().unwrap().to_vec());
        keys.map(|key| {
            let value = self.call(&[b"GET", key.as_slice()]);
            let expires = match self.call(&[b"PEXPIRETIME", key.as_slice()]) {
                Value::Integer(-1) => None,
                Value::Integer(millis) => Some(millis as u64),
                other => panic!("{other:?}"),
            };
            let value = value.bytes().unwrap().to_vec();
            (key, (value, expires))
        })
        .collect()
    }
}

/// The file with its last eight bytes made right.
pub(crate) fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    let covered = file.len() - 8;
    let sum = checksum(&file[..covered]);
    file[covered..].copy_from_slice(&sum.to_le_bytes());
    file
}
