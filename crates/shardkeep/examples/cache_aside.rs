//! A cache in front of something slow: however many threads miss at once, one of them asks.

#![expect(clippy::disallowed_methods, reason = "an example may wait")]

use std::io::Write;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use shardkeep::{LoadError, Store};

const THREADS: usize = 8;

/// Stands for a database.
struct Slow {
    questions: AtomicUsize,
}

impl Slow {
    fn page(&self, id: u32) -> Result<String, std::num::TryFromIntError> {
        self.questions.fetch_add(1, Relaxed);
        Ok(format!("page {}", u16::try_from(id)?))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache: Store<u32, String> = Store::open()?;
    let slow = Slow {
        questions: AtomicUsize::new(0),
    };
    let all_here = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                all_here.wait();
                let page = cache.get_or_try_insert_with(&7, || slow.page(7));
                assert_eq!(page.as_deref(), Ok("page 7"));
            });
        }
    });
    assert_eq!(slow.questions.load(Relaxed), 1);

    // What fails is not cached: the next one asks again.
    let failed = cache.get_or_try_insert_with(&100_000, || slow.page(100_000));
    assert!(matches!(failed, Err(LoadError::Loader(_))));
    assert!(!cache.contains(&100_000)?);

    writeln!(std::io::stdout(), "{THREADS} threads, one question")?;
    Ok(())
}
