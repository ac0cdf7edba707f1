//! Whether a reactor that needs a sync carries it out itself.
//!
//! Pure. A reactor that syncs saves two thread switches, and keeps its other connections waiting
//! meanwhile; so it does while syncs are short.

use std::time::Duration;

/// Syncs that take longer on average are left to the committer. The thread switches that are saved take
/// 20 to 50 us, so beyond this there is little to gain, and every read of the reactor waits.
pub(crate) const SYNC_SHORT_MAX: Duration = Duration::from_millis(1);

/// The latest sync counts as one part in so many of the average: one that was long is forgotten after
/// some tens of short ones.
const WEIGHT: u32 = 8;

#[derive(Default)]
pub(crate) struct Lending {
    syncs: u64,
    time: Duration,
    average: Duration,
}

impl Lending {
    /// Takes in the number of all syncs up to now, and their time.
    pub(crate) fn note(&mut self, syncs: u64, time: Duration) {
        // The two are read a moment apart.
        let more = syncs.saturating_sub(self.syncs);
        if more == 0 {
            return;
        }
        let took = time.saturating_sub(self.time);
        let each = took / u32::try_from(more).unwrap_or(u32::MAX);
        (self.syncs, self.time) = (syncs, time);
        self.average = (self.average * (WEIGHT - 1) + each) / WEIGHT;
    }

    /// Whether to sync here.
    pub(crate) fn is_short(&self) -> bool {
        self.average <= SYNC_SHORT_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_sync_ends_lending_and_many_short_ones_bring_it_back() {
        let mut lending = Lending::default();
        let (mut syncs, mut time) = (0, Duration::ZERO);
        let mut sync = |lending: &mut Lending, took| {
            syncs += 1;
            time += took;
            lending.note(syncs, time);
            lending.is_short()
        };
        for _ in 0..100 {
            assert!(sync(&mut lending, Duration::from_micros(200)));
        }
        assert!(!sync(&mut lending, Duration::from_secs(30)));
        let short = (0..1_000).find(|_| sync(&mut lending, Duration::from_micros(200)));
        assert!((10..200).contains(&short.unwrap()), "{short:?}");
    }

    #[test]
    fn nothing_new_changes_nothing() {
        let mut lending = Lending::default();
        lending.note(1, Duration::from_secs(1));
        for _ in 0..100 {
            lending.note(1, Duration::from_secs(1));
        }
        assert!(!lending.is_short());
    }
}
