//! A panic under the log: it has failed for good, and says so truly.

use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::{Scratch, Signal};

use super::bench::{Bench, Told, open, told};
use crate::support::eventually;

#[test]
fn a_panic_under_the_log_is_told_as_lost_and_reads_go_on() {
    for (place, wanted, left) in [
        ("log.append", Told::Lost, "old"),
        ("log.appended", Told::Lost, "old"),
        ("log.sync", Told::Lost, "new"),
        ("log.synced", Told::Lost, "new"),
        // Whoever waited had been released.
        ("log.released", Told::Ok, "new"),
    ] {
        for commit in ["auto", "thread"] {
            let scratch = Scratch::new().unwrap();
            let dir = scratch.path().join("store");
            let text = dir.to_string_lossy();
            let flags = ["--dir", &text, "--sync", "always", "--commit", commit];
            let mut bench = Bench::new(&flags);
            let (poison, far) = (bench.poison.clone(), bench.elsewhere.clone());
            bench.server.plant(&format!("{place}=panic")).unwrap();
            let answer = bench.tell(&format!("SET {poison} new"));
            // A commit of what was written before may have come there first.
            let is_early = match told(&answer) {
                Told::Refused => true,
                Told::Lost => place == "log.released",
                Told::Ok | Told::Closed => false,
            };
            assert!(
                told(&answer) == wanted || is_early,
                "{place} {commit}: {answer}"
            );
            // After a failure nothing more is taken, and what is durable is shown.
            eventually("writes are refused", || {
                bench
                    .tell(&format!("SET {far} new"))
                    .starts_with("-MISCONF the log has failed")
            });
            let quiet = bench.first.clone();
            assert_eq!(bench.value(&quiet), "old", "{place} {commit}");
            bench.server.signal(Signal::KILL).unwrap();
            bench.server.wait(PATIENCE).unwrap();
            bench.server = open(&flags);
            bench.client = bench.server.client().unwrap();
            let value = bench.value(&poison);
            match told(&answer) {
                Told::Refused => assert_eq!(value, "old", "{place} {commit}"),
                Told::Lost if is_early => {}
                _ => assert_eq!(value, left, "{place} {commit}"),
            }
            assert_eq!(bench.value(&quiet), "old", "{place} {commit}");
        }
    }
}

#[test]
fn a_panic_in_a_sync_that_runs_aside_fails_the_log() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    let text = dir.to_string_lossy();
    let flags = [
        "--dir",
        &text,
        "--sync",
        "interval",
        "--sync-interval",
        "50ms",
    ];
    let mut bench = Bench::new(&flags);
    bench.server.plant("syncer.sync=panic").unwrap();
    let far = bench.elsewhere.clone();
    eventually("writes are refused", || {
        bench
            .tell(&format!("SET {far} new"))
            .starts_with("-MISCONF the log has failed")
    });
    assert!(bench.value(&far) != "nil");
}
