//! What the benches of all pieces have in common: how long each measures, and how it starts.
//!
//! Not the laboratory's statistics: criterion has its own.
//!
//! 1. Every piece is measured with the same settings, so that one figure may stand beside another.
//! 2. All of them together end within five minutes on two cores, a first build included.

use std::time::Duration;

use anyhow::Result;
use criterion::Criterion;

/// Enough to fill the caches and to wake a sleeping core.
const WARM_UP: Duration = Duration::from_millis(200);

/// For each figure: some 120 of them then take little more than two minutes, where criterion's own
/// five seconds would take a quarter of an hour.
const MEASUREMENT: Duration = Duration::from_millis(800);

/// Samples of each figure: a median of fifty barely moves for a few that were disturbed.
const SAMPLES: usize = 50;

/// Resamples behind each printed interval: far finer than the machine is steady, and done in a
/// fraction of the measurement.
const RESAMPLES: usize = 10_000;

/// Measures some pieces, as the command line asks: all of them, those whose name contains a word, or
/// (as a test) each just once.
pub(crate) fn measure(pieces: &[fn(&mut Criterion) -> Result<()>]) -> Result<()> {
    let mut criterion = Criterion::default()
        .warm_up_time(WARM_UP)
        .measurement_time(MEASUREMENT)
        .sample_size(SAMPLES)
        .nresamples(RESAMPLES)
        .without_plots()
        .configure_from_args();
    for piece in pieces {
        piece(&mut criterion)?;
    }
    criterion.final_summary();
    Ok(())
}
