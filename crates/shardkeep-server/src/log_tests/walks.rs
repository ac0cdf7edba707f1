//! Shards that are lost while a snapshot goes through them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use shardkeep::durable::{Compression, SnapshotError, SnapshotReport, snapshot};
use shardkeep::engine::fail_point::{Plan, plant};

use super::*;

const SHARDS: usize = 4;

/// A server with one key in each shard, and what each must hold.
struct Watched {
    server: Server,
    client: RefCell<Client>,
    keys: Vec<String>,
    values: RefCell<BTreeMap<String, String>>,
}

impl Watched {
    /// Its keys have `name` in theirs, so that what is planted happens here.
    fn new(place: &Place, name: &str) -> Self {
        let server = start(settings(place, Sync::Always), &Hand::new());
        let routes = &server.context.routes;
        let key_of = |shard| {
            let mut keys = (0..).map(|number| format!("{name}:{number}:"));
            keys.find(|key| routes.shard(routes.hash(key.as_bytes())) == shard)
        };
        let keys = (0..SHARDS).filter_map(key_of).collect();
        let client = RefCell::new(Client::of(&server));
        let values = RefCell::default();
        Self {
            server,
            client,
            keys,
            values,
        }
    }

    /// Appends to a key of a shard.
    fn append(&self, shard: usize, bytes: &str) {
        let (key, mut values) = (&self.keys[shard], self.values.borrow_mut());
        let value = values.entry(key.clone()).or_default();
        value.push_str(bytes);
        let reply = format!(":{}\r\n", value.len());
        let mut client = self.client.borrow_mut();
        client.ask(&format!("APPEND {key} {bytes}"), &reply);
    }

    /// Loses a shard in the middle of a command, and waits until it is there again.
    fn lose(&self, shard: usize) {
        let key = &self.keys[shard];
        plant("shard.after_apply", key.as_bytes(), Plan::Panic, 1);
        let mut client = self.client.borrow_mut();
        client.send(&format!("APPEND {key} lost\r\n"));
        let told = client.line();
        assert!(told.starts_with("-LOST"), "{told}");
        let is_back = |client: &mut Client| {
            client.send(&format!("STRLEN {key}\r\n"));
            !client.line().starts_with("-TRYAGAIN")
        };
        while !is_back(&mut client) {}
    }

    /// A snapshot, in the middle of which `during` happens, when the walk is about to come to shard `at`.
    fn snapshot(&self, at: usize, during: impl Fn()) -> Result<SnapshotReport, SnapshotError> {
        let asked = Cell::new(0);
        let is_cancelled = || {
            if asked.replace(asked.get() + 1) == at {
                during();
            }
            false
        };
        snapshot(&self.server.context.keep, Compression::None, &is_cancelled)
    }
}

#[track_caller]
fn check(values: &BTreeMap<String, String>, client: &mut Client) {
    for (key, value) in values {
        let reply = format!("${}\r\n{value}\r\n", value.len());
        client.ask(&format!("GET {key}"), &reply);
    }
}

#[test]
fn a_shard_that_is_lost_beside_a_snapshot_comes_back_with_every_change_done_once() {
    for (at, lost) in (0..SHARDS).flat_map(|at| (0..SHARDS).map(move |lost| (at, lost))) {
        let place = Place::new();
        let watched = Watched::new(&place, &format!("lost-beside-{at}-{lost}"));
        let append_to_all = |bytes| (0..SHARDS).for_each(|shard| watched.append(shard, bytes));
        append_to_all("old,");
        let taken = watched.snapshot(at, || {
            append_to_all("new,");
            watched.lose(lost);
            append_to_all("newer,");
        });
        check(&watched.values.borrow(), &mut watched.client.borrow_mut());
        match taken {
            // All of that shard was in the snapshot by then.
            Ok(report) => assert_eq!((report.entries, lost < at), (SHARDS as u64, true)),
            Err(error) => {
                let named = SnapshotError::ShardLost { shard: lost };
                assert_eq!(error.to_string(), named.to_string());
                assert!(lost >= at, "{at} {lost}");
                let next = watched.snapshot(at, || append_to_all("newest,"));
                assert_eq!(next.unwrap().entries, SHARDS as u64);
            }
        }
        append_to_all("last");
        let Watched {
            server,
            client,
            values,
            ..
        } = watched;
        // The drain waits for no client.
        drop(client);
        assert!(server.drain(PATIENCE).is_clean());
        let again = Settings {
            shards: Some(2),
            ..settings(&place, Sync::Always)
        };
        let server = start(again, &Hand::new());
        check(&values.borrow(), &mut Client::of(&server));
    }
}
