//! Crashes at every operation.

use shardkeep_tests::disk::{Tally, explore};

/// Different crash points of the short form.
const POINTS: u64 = 20_000;

#[test]
fn no_crash_loses_or_invents_a_record() {
    let mut tally = Tally::default();
    for seed in 0.. {
        if tally.points() >= POINTS {
            break;
        }
        match explore(seed) {
            Ok(more) => tally.add(more),
            Err(failure) => panic!("{failure}"),
        }
    }
    println!("{tally}");
}
