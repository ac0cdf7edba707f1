//! Named places where a test makes the real code panic or stand still.
//!
//! In builds without debug assertions (release builds) there are none: [`hit`] is empty, and nothing
//! can be planted.
//!
//! 1. Without a plan a place costs one relaxed load, in debug builds alone.

#[cfg(not(debug_assertions))]
mod planned {
    /// Nothing.
    #[inline(always)]
    pub fn hit(_: &str) {}

    /// Nothing.
    #[inline(always)]
    pub fn hit_at(_: &str, _: &[u8]) {}
}

#[cfg(debug_assertions)]
mod planned {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    use parking_lot::Mutex;

    use crate::cancel::CancelToken;
    use crate::deadline::Deadline;

    /// What happens at a place.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Plan {
        /// It panics.
        Panic,
        /// It stands still for so long.
        Stall(Duration),
    }

    struct Planted {
        place: String,
        /// Part of the key that the place must be at; empty for any.
        key: Vec<u8>,
        plan: Plan,
        times: u32,
    }

    static LEFT: AtomicUsize = AtomicUsize::new(0);
    static PLANS: Mutex<Vec<Planted>> = Mutex::new(Vec::new());

    /// Plans what happens the next `times` times that somebody comes to `place`.
    pub fn plant(place: &str, key: &[u8], plan: Plan, times: u32) {
        PLANS.lock().push(Planted {
            place: place.to_owned(),
            key: key.to_vec(),
            plan,
            times,
        });
        LEFT.fetch_add(1, SeqCst);
    }

    /// Plants what `text` says: `place[@key]=panic|stall:MILLIS[*TIMES]`, several with commas between.
    ///
    /// # Errors
    /// The part that was not understood.
    pub fn plant_all(text: &str) -> Result<(), String> {
        for part in text.split(',').filter(|part| !part.is_empty()) {
            plant_one(part).ok_or_else(|| part.to_owned())?;
        }
        Ok(())
    }

    fn plant_one(part: &str) -> Option<()> {
        let (place, what) = part.split_once('=')?;
        let (place, key) = place.split_once('@').unwrap_or((place, ""));
        let (what, times) = what.split_once('*').unwrap_or((what, "1"));
        let plan = match what.split_once(':') {
            None if what == "panic" => Plan::Panic,
            Some(("stall", millis)) => Plan::Stall(Duration::from_millis(millis.parse().ok()?)),
            None | Some(_) => return None,
        };
        plant(place, key.as_bytes(), plan, times.parse().ok()?);
        Some(())
    }

    /// A place that a test may have plans for.
    pub fn hit(place: &str) {
        hit_at(place, b"");
    }

    /// As [`hit`], at a key.
    pub fn hit_at(place: &str, key: &[u8]) {
        if LEFT.load(SeqCst) == 0 {
            return;
        }
        match take(place, key) {
            None => {}
            Some(Plan::Panic) => panic!("planned at {place}"),
            Some(Plan::Stall(time)) => {
                // Nobody cancels it.
                #[expect(
                    clippy::disallowed_methods,
                    reason = "blocking point B23: a planted stall"
                )]
                CancelToken::new().wait_until(Deadline::after(time).instant());
            }
        }
    }

    fn take(place: &str, key: &[u8]) -> Option<Plan> {
        let mut plans = PLANS.lock();
        let at = plans.iter().position(|planted| {
            let in_key =
                planted.key.is_empty() || key.windows(planted.key.len()).any(|w| w == planted.key);
            planted.place == place && in_key
        })?;
        let planted = &mut plans[at];
        let plan = planted.plan;
        planted.times = planted.times.saturating_sub(1);
        if planted.times == 0 {
            plans.swap_remove(at);
            LEFT.fetch_sub(1, SeqCst);
        }
        Some(plan)
    }
}

pub use planned::*;
