//! What the tests of walks share.

use std::collections::BTreeSet;
use std::env;
use std::path::Path;
use std::sync::Arc;

use shardkeep::effect;
use shardkeep_log::{Directory, FrameBuffer, Options, Recovery};
use shardkeep_resp::Value;
use shardkeep_tests::harness::{Client, request};

use crate::model::{DATABASES, Entries, Model};

/// The number that the environment has under this name.
pub(crate) fn number_of(name: &str, or: u64) -> u64 {
    env::var(name).map_or(or, |text| text.parse().unwrap())
}

/// A reply as text.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Error(text) => format!("-{}", String::from_utf8_lossy(text)),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(" "))
        }
        other if other.is_null() => "nil".to_owned(),
        other => String::from_utf8_lossy(other.bytes().unwrap_or_default()).into_owned(),
    }
}

/// What a client is answered, as text.
pub(crate) fn ask(client: &mut Client, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    shown(&client.call(&words).unwrap())
}

/// All that a server shows.
pub(crate) fn held_by(client: &mut Client) -> Vec<Entries> {
    (0..DATABASES).map(|at| held_in(client, at)).collect()
}

fn held_in(client: &mut Client, database: usize) -> Entries {
    assert_eq!(ask(client, &format!("SELECT {database}")), "OK");
    let Value::Array(keys) = client.call(&["KEYS", "*"]).unwrap() else {
        panic!("no keys of database {database}");
    };
    let keys: Vec<Vec<u8>> = keys
        .iter()
        .map(|key| key.bytes().unwrap().to_vec())
        .collect();
    let mut entries = Entries::new();
    for some in keys.chunks(64) {
        let asked = some.iter().flat_map(|key| {
            let get = request(&[b"GET", &key[..]]);
            get.into_iter().chain(request(&[b"PEXPIRETIME", &key[..]]))
        });
        client.send(&asked.collect::<Vec<u8>>()).unwrap();
        for key in some {
            let (value, expires) = (client.reply().unwrap(), client.reply().unwrap());
            let Some(value) = value.bytes() else {
                panic!("{} was shown and is not there", key.escape_ascii());
            };
            let expires = shown(&expires).parse::<u64>().ok();
            entries.insert(key.clone(), (value.to_vec(), expires));
        }
    }
    entries
}

/// What the files of a store say, read by other means than its own: the newest snapshot, which has no entry twice,
/// and every record behind it. With the number of entries that the snapshot has, if there is one.
pub(crate) fn held_on_disk(dir: &Path) -> (Vec<Entries>, Option<u64>) {
    let directory = Arc::new(Directory::open(dir).unwrap());
    let mut recovery = Recovery::open(directory, Options::new()).unwrap();
    let (mut model, mut found) = (Model::new(), BTreeSet::new());
    let snapshot = recovery.snapshot();
    let entries = snapshot.map(|snapshot| snapshot.entries());
    if let Some(snapshot) = snapshot {
        let mut buffer = FrameBuffer::default();
        for frame in 0..snapshot.frames() {
            for effect in effect::decode(snapshot.read_frame(frame, &mut buffer).unwrap()) {
                let effect = effect.unwrap();
                assert!(effect.as_set().is_some(), "{effect:?}");
                let key = effect.key.unwrap();
                let is_new = found.insert((effect.database, key.to_vec()));
                assert!(is_new, "{} is there twice", key.escape_ascii());
                model.replay(&effect);
            }
        }
    }
    if let Some(entries) = entries {
        assert_eq!(found.len() as u64, entries, "as many as were counted");
    }
    while let Some(record) = recovery.next_record().unwrap() {
        effect::decode(record.payload).for_each(|effect| model.replay(&effect.unwrap()));
    }
    (model.databases, entries)
}

/// Where two states differ.
pub(crate) fn difference(one: &[Entries], other: &[Entries]) -> Option<String> {
    let brief = |entry: Option<&(Vec<u8>, Option<u64>)>| {
        entry.map(|(value, expires)| {
            let start = value[..value.len().min(20)].escape_ascii().to_string();
            (value.len(), start, *expires)
        })
    };
    (0..DATABASES).find_map(|at| {
        let (one, other) = (&one[at], &other[at]);
        let mut keys = one.keys().chain(other.keys());
        let key = keys.find(|key| one.get(*key) != other.get(*key))?;
        let (one, other) = (brief(one.get(key)), brief(other.get(key)));
        let key = key.escape_ascii();
        Some(format!("{key} of database {at}: {one:?} and {other:?}"))
    })
}
