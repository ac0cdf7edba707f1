//! The store in a page: open, write, read, expire, update, close.

#![expect(clippy::disallowed_methods, reason = "an example may wait")]

use std::io::Write;
use std::time::Duration;

use shardkeep::{Store, Ttl, Update};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store: Store<String, u64> = Store::builder().name("quickstart").open()?;

    store.insert("answers".to_owned(), 41)?;
    store.update("answers", |count| {
        Update::Put(count.copied().unwrap_or(0) + 1)
    })?;
    assert_eq!(store.get("answers")?, Some(42));

    // Handles are cheap; every clone is the same store.
    let clone = store.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| clone.insert_with_ttl("session".to_owned(), 7, Duration::from_secs(60)));
    });
    assert!(matches!(store.ttl("session")?, Some(Ttl::Left(_))));

    // Several keys at one moment, or not at all.
    let keys = ["answers".to_owned(), "archive".to_owned()];
    store.transaction(keys, |tx| {
        let answers = tx.get("answers")?.copied().unwrap_or(0);
        tx.remove("answers")?;
        tx.insert("archive", answers)
    })?;
    assert_eq!(store.get("archive")?, Some(42));

    let entries = store.iter().collect::<Result<Vec<_>, _>>()?;
    let report = store.close(Duration::from_secs(5));
    let (left, clean) = (entries.len(), report.is_clean());
    writeln!(std::io::stdout(), "{left} entries; closed cleanly: {clean}")?;
    Ok(())
}
