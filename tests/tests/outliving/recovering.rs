//! Recoveries that are looked at, or given up, while they run.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use shardkeep::codec::{DecodeError, EncodeError, Plain};
use shardkeep::{CancelToken, Codec, Durable, OpenError, RecoverError, Store, SyncMode};
use shardkeep_tests::harness::Scratch;

/// Keys of a store whose directory has a snapshot, several segments behind it, and a torn tail.
const KEYS: u64 = 3_000;

/// The names and bytes of what is in a directory.
type Files = BTreeMap<PathBuf, Vec<u8>>;

fn files(directory: &Path) -> Files {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect()
}

fn durable() -> Durable {
    Durable::new()
        .sync(SyncMode::Never)
        .segment_bytes(64 * 1_024)
}

/// Keys, which tell `look` each time that one is decoded: many times in a recovery.
struct Looking<F>(F);

impl<F: Fn() + Send + Sync + 'static> Codec<u64> for Looking<F> {
    fn encode(&self, key: &u64, into: &mut Vec<u8>) -> Result<(), EncodeError> {
        Plain.encode(key, into)
    }

    fn decode(&self, bytes: &[u8]) -> Result<u64, DecodeError> {
        (self.0)();
        Plain.decode(bytes)
    }
}

fn open(
    directory: &Path,
    cancel: CancelToken,
    look: impl Fn() + Send + Sync + 'static,
) -> Result<Store<u64, String>, OpenError> {
    Store::builder()
        .shards(4)
        .durable_with(directory, durable(), Looking(look), Plain)
        .cancel_recovery(cancel)
        .open()
}

fn value(key: u64) -> String {
    format!("{key:0100}")
}

fn has_all(directory: &Path) {
    let store = open(directory, CancelToken::new(), || {}).unwrap();
    for key in 0..KEYS {
        assert_eq!(store.get(&key).unwrap(), Some(value(key)), "{key}");
    }
}

/// A store as a crash leaves it.
fn left_behind() -> Scratch {
    let scratch = Scratch::new().unwrap();
    let store = open(scratch.path(), CancelToken::new(), || {}).unwrap();
    for key in 0..KEYS {
        store.insert(key, value(key)).unwrap();
        if key == KEYS / 3 {
            store.snapshot().unwrap();
        }
    }
    drop(store);
    let segments = files(scratch.path()).into_keys().filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.ends_with(".skl")
    });
    let segments: Vec<_> = segments.collect();
    assert!(segments.len() > 2, "{:?}", files(scratch.path()).keys());
    let mut last = fs::OpenOptions::new()
        .append(true)
        .open(segments.last().unwrap())
        .unwrap();
    last.write_all(&[0xA5; 7]).unwrap();
    scratch
}

#[test]
fn nothing_of_a_directory_changes_before_its_recovery_has_read_the_last_of_it() {
    let scratch = left_behind();
    let before = files(scratch.path());
    let (looks, wrong) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let look = {
        let (looks, wrong) = (Arc::clone(&looks), Arc::clone(&wrong));
        let (path, before) = (scratch.path().to_owned(), before.clone());
        move || {
            // Whoever is killed now leaves what is there now.
            if looks.fetch_add(1, SeqCst).is_multiple_of(97) && files(&path) != before {
                wrong.fetch_add(1, SeqCst);
            }
        }
    };
    drop(open(scratch.path(), CancelToken::new(), look).unwrap());
    assert!(looks.load(SeqCst) >= KEYS as usize);
    assert_eq!(wrong.load(SeqCst), 0);
    // So the look would have noticed: the tail is gone.
    assert_ne!(files(scratch.path()), before);
    has_all(scratch.path());
}

#[test]
fn a_recovery_that_is_cancelled_at_any_point_ends_and_leaves_the_directory_as_it_was() {
    let scratch = left_behind();
    let before = files(scratch.path());
    for at in [0, 1, 500, 1_500, KEYS as usize - 1] {
        let token = CancelToken::new();
        let (looks, cancel) = (AtomicUsize::new(0), token.clone());
        let opened = open(scratch.path(), token, move || {
            if looks.fetch_add(1, SeqCst) == at {
                cancel.cancel();
            }
        });
        let error = match opened {
            Err(OpenError::Recovery(error)) => error,
            other => panic!("{at}: {other:?}"),
        };
        let error = error.downcast_ref::<RecoverError>();
        assert!(
            matches!(error, Some(RecoverError::Cancelled)),
            "{at}: {error:?}"
        );
        assert_eq!(files(scratch.path()), before, "{at}");
    }
    has_all(scratch.path());
}
