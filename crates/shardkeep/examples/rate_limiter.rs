//! A limit for each client and second: one update decides, and old windows expire by themselves.

#![expect(clippy::disallowed_methods, reason = "an example may wait")]

use std::io::Write;
use std::time::Duration;

use shardkeep::{Error, Store, Ttl, Update};

/// Requests that a client may make in one window.
const REQUESTS_MAX: u32 = 100;
const WINDOW: Duration = Duration::from_secs(60);
const THREADS: u32 = 4;
const REQUESTS_PER_THREAD: u32 = 50;

/// Whether `client` may make one more request now.
fn admit(windows: &Store<String, u32>, client: &str) -> Result<bool, Error> {
    let mut admitted = false;
    windows.update(client, |used| match used {
        // The first request opens the window; the others keep its end.
        None => {
            admitted = true;
            Update::PutWithTtl(1, WINDOW)
        }
        Some(used) if *used < REQUESTS_MAX => {
            admitted = true;
            Update::Put(used + 1)
        }
        Some(_) => Update::Keep,
    })?;
    Ok(admitted)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let windows = Store::open()?;
    let count = || {
        (0..REQUESTS_PER_THREAD).try_fold(0, |admitted, _| {
            Ok::<u32, Error>(admitted + u32::from(admit(&windows, "alice")?))
        })
    };
    let admitted = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(count)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join())
            .collect::<Vec<_>>()
    });
    let mut sum = 0;
    for thread in admitted {
        sum += thread.map_err(|_| "a thread panicked")??;
    }
    assert_eq!(sum, REQUESTS_MAX);
    assert!(admit(&windows, "bob")?);
    assert!(matches!(windows.ttl("alice")?, Some(Ttl::Left(_))));

    let asked = THREADS * REQUESTS_PER_THREAD;
    writeln!(std::io::stdout(), "{sum} of {asked} requests admitted")?;
    Ok(())
}
