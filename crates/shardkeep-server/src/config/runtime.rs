//! The settings that can change while the server runs: by CONFIG SET, or by reading the configuration again.
//!
//! 1. A setting is read where it is used, each time; nothing keeps a copy, but for what [`Runtime::draft`]
//!    returns.
//! 2. What is refused changes nothing, also when other changes come with it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::field::Named as _;
use super::settings::{Overload, Settings};
use super::table::{Draft, SETTINGS, position};

/// The present values, by the rows of the table; those that cannot change stay at 0.
pub(crate) struct Runtime([AtomicU64; SETTINGS.len()]);

/// Defines how one of the values is read where it is used.
macro_rules! present {
    ($($name:ident: $type:ty = $row:literal, $read:expr;)+) => {
        impl Runtime {
            $(
                #[inline]
                pub(crate) fn $name(&self) -> $type {
                    const AT: usize = position($row);
                    const { assert!(SETTINGS[AT].can_change) };
                    ($read)(self.0[AT].load(Relaxed))
                }
            )+
        }
    };
}

present! {
    deadline: Duration = "deadline", Duration::from_micros;
    frame_timeout: Duration = "frame_timeout", Duration::from_micros;
    output_timeout: Duration = "output_timeout", Duration::from_micros;
    idle_timeout: Option<Duration> = "idle_timeout", timeout;
    login_timeout: Option<Duration> = "login_timeout", timeout;
    max_memory: Option<u64> = "max_memory", |bytes| (bytes > 0).then_some(bytes);
    max_clients: usize = "max_clients", |clients| clients as usize;
    slowlog_threshold_us: u64 = "slowlog_slower_than", |us| us;
    slowlog_max_len: usize = "slowlog_max_len", |entries| entries as usize;
    overload: Overload = "overload", |position| Overload::WORDS[position as usize].1;
}

fn timeout(micros: u64) -> Option<Duration> {
    (micros > 0).then(|| Duration::from_micros(micros))
}

impl Runtime {
    pub(crate) fn new(settings: &Settings) -> Self {
        let runtime = Self([const { AtomicU64::new(0) }; SETTINGS.len()]);
        runtime.take(&mut Draft::of(settings));
        runtime
    }

    /// Takes over what can change of `draft`.
    pub(crate) fn take(&self, draft: &mut Draft) {
        for (setting, present) in SETTINGS.iter().zip(&self.0) {
            if setting.can_change
                && let Some(number) = (setting.field)(draft).number()
            {
                present.store(number, Relaxed);
            }
        }
    }

    /// The settings that the server was started with, as they are now.
    pub(crate) fn draft(&self, settings: &Settings) -> Draft {
        let mut draft = Draft::of(settings);
        for (setting, present) in SETTINGS.iter().zip(&self.0) {
            if setting.can_change {
                (setting.field)(&mut draft).set_number(present.load(Relaxed));
            }
        }
        draft
    }
}
