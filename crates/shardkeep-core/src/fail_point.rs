//! Named places where a test makes the real code panic, stand still, or be refused what it asks for.
//!
//! In builds without debug assertions (release builds) there are none: [`hit`] is empty, and nothing
//! can be planted. `tests/README.md` has a table of all places; a test holds it against the code.
//!
//! 1. Without a plan a place costs one load, in debug builds alone.
//! 2. A place stands where a panic has an answer: nothing is held that unwinding would not give back
//!    or report lost.

#[cfg(not(debug_assertions))]
mod planned {
    use std::io;

    /// Nothing.
    #[inline(always)]
    pub fn hit(_: &str) {}

    /// Nothing.
    #[inline(always)]
    pub fn hit_at<K: AsRef<[u8]>>(_: &str, _: impl FnOnce() -> K) {}

    /// Nothing.
    ///
    /// # Errors
    /// None.
    #[inline(always)]
    pub fn refused_at<K: AsRef<[u8]>>(_: &str, _: impl FnOnce() -> K) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(debug_assertions)]
mod planned {
    use std::io;
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
        /// The system gives it nothing, where it asks for something.
        Refuse,
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

    /// Plants what `text` says: `place[@key]=panic|stall:MILLIS|refuse[*TIMES]`, several with commas
    /// between. `clear` forgets all that was planted and has not happened.
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
        if part == "clear" {
            let mut plans = PLANS.lock();
            LEFT.fetch_sub(plans.len(), SeqCst);
            plans.clear();
            return Some(());
        }
        let (place, what) = part.rsplit_once('=')?;
        let (place, key) = place.split_once('@').unwrap_or((place, ""));
        let (what, times) = what.split_once('*').unwrap_or((what, "1"));
        let plan = match what.split_once(':') {
            None if what == "panic" => Plan::Panic,
            None if what == "refuse" => Plan::Refuse,
            Some(("stall", millis)) => Plan::Stall(Duration::from_millis(millis.parse().ok()?)),
            None | Some(_) => return None,
        };
        plant(place, key.as_bytes(), plan, times.parse().ok()?);
        Some(())
    }

    /// A place that a test may have plans for.
    pub fn hit(place: &str) {
        hit_at(place, || b"");
    }

    /// As [`hit`], at a key, which is asked for only where something is planted.
    pub fn hit_at<K: AsRef<[u8]>>(place: &str, key: impl FnOnce() -> K) {
        if LEFT.load(SeqCst) == 0 {
            return;
        }
        match take(place, key().as_ref(), |plan| plan != Plan::Refuse) {
            None | Some(Plan::Refuse) => {}
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

    /// A place that asks the system for something, at a key.
    ///
    /// # Errors
    /// That it is planned to get nothing.
    pub fn refused_at<K: AsRef<[u8]>>(place: &str, key: impl FnOnce() -> K) -> io::Result<()> {
        if LEFT.load(SeqCst) > 0
            && take(place, key().as_ref(), |plan| plan == Plan::Refuse).is_some()
        {
            let why = format!("planned at {place}");
            return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
        }
        Ok(())
    }

    fn take(place: &str, key: &[u8], is_wanted: impl Fn(Plan) -> bool) -> Option<Plan> {
        let mut plans = PLANS.lock();
        let at = plans.iter().position(|planted| {
            let in_key =
                planted.key.is_empty() || key.windows(planted.key.len()).any(|w| w == planted.key);
            planted.place == place && in_key && is_wanted(planted.plan)
        })?;
        let planted = &mut plans[at];
        let plan = planted.plan;
        planted.times = planted.times.saturating_sub(1);
        if planted.times == 0 {
            plans.remove(at);
            LEFT.fetch_sub(1, SeqCst);
        }
        Some(plan)
    }
}

pub use planned::*;

#[cfg(all(test, debug_assertions, not(loom), not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_from_text_and_happen_so_often_at_their_key() {
        plant_all("in.a.test@k=1.=refuse*2,,in.a.test@far=stall:0").expect("plans");
        let refused = |key: &str| refused_at("in.a.test", || key.to_owned()).is_err();
        assert!(!refused("far"));
        hit_at("in.a.test", || "far");
        assert!(refused("name k=1.") && refused("k=1.") && !refused("k=1."));
    }

    #[test]
    fn what_is_no_plan_is_named() {
        for text in ["place", "place=dance", "place=stall", "place=panic*often"] {
            assert_eq!(plant_all(text), Err(text.to_owned()));
        }
    }
}
