//! A store that was made, read from its files.

use std::collections::BTreeMap;
use std::path::Path;

use shardkeep::CancelToken;
use shardkeep::effect;
use shardkeep::table::UnixMillis;
use shardkeep_log::{Directory, FrameBuffer, Options, Recovery};
use shardkeep_server::rdb::{ImportError, Imported, import};

/// Values with when they expire (milliseconds since 1970), by key.
pub(crate) type Entries = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

/// The same, by database and key.
pub(crate) type InDatabases = BTreeMap<(u32, Vec<u8>), (Vec<u8>, Option<u64>)>;

/// Imports `file` into a store at `place`.
pub(crate) fn run(file: &[u8], place: &Path) -> Result<Imported, ImportError> {
    let now = UnixMillis::new(shardkeep_tests::clock::unix_seconds() * 1_000);
    import(file, place, now, &CancelToken::new(), &mut drop)
}

/// All that the store at `place` has in its first database, which is all, expired or not.
pub(crate) fn entries(place: &Path) -> Entries {
    let all = in_databases(place).into_iter();
    all.map(|((database, key), entry)| {
        assert_eq!(database, 0, "{}", key.escape_ascii());
        (key, entry)
    })
    .collect()
}

/// All that the store at `place` has, by database and key.
pub(crate) fn in_databases(place: &Path) -> InDatabases {
    let mut entries = InDatabases::new();
    let mut apply = |bytes: &[u8]| {
        for effect in effect::decode(bytes) {
            let effect = effect.unwrap();
            let (Some(key), Some((value, expires))) = (effect.key, effect.as_set()) else {
                panic!("{effect:?} is no entry");
            };
            let expires = expires.map(UnixMillis::get);
            let at = (effect.database, key.to_vec());
            let before = entries.insert(at, (value.to_vec(), expires));
            assert_eq!(before, None, "{} is there twice", key.escape_ascii());
        }
    };
    let directory = Directory::inspect(place).unwrap();
    let mut recovery = Recovery::open(std::sync::Arc::new(directory), Options::new()).unwrap();
    let snapshot = recovery.snapshot().unwrap();
    let mut buffer = FrameBuffer::default();
    for index in 0..snapshot.frames() {
        apply(snapshot.read_frame(index, &mut buffer).unwrap());
    }
    let counted = snapshot.entries();
    assert_eq!(recovery.next_record().unwrap(), None);
    assert_eq!(counted, entries.len() as u64);
    entries
}
