//! Reading options, numbers and times from arguments, with the strictness of Redis.

use shardkeep::table::UnixMillis;
use shardkeep_resp::{Reply, parse_i64};

use super::error;

/// Whether an argument is this option (given in lower case), in any case of letters. Like C's
/// string functions, which Redis uses, it takes a zero byte for the end of the argument.
#[inline]
pub(crate) fn is(arg: &[u8], option: &str) -> bool {
    match arg.get(..option.len()) {
        Some(start) => {
            start.eq_ignore_ascii_case(option.as_bytes())
                && matches!(arg.get(option.len()), None | Some(0))
        }
        None => false,
    }
}

/// The integer an argument is; otherwise the error is answered.
#[inline]
pub(crate) fn integer(arg: &[u8], reply: &mut Reply<'_>) -> Option<i64> {
    let number = parse_i64(arg);
    if number.is_none() {
        reply.error(error::NOT_AN_INTEGER);
    }
    number
}

/// Why an argument is no number of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDatabase {
    /// It is no integer.
    NotAnInteger,
    /// It is no integer of 32 bits.
    NotACInt,
    /// There is no database of this number.
    OutOfRange,
}

impl NoDatabase {
    /// The error of a command that names no other.
    pub const fn error(self) -> &'static str {
        match self {
            Self::NotAnInteger => error::NOT_AN_INTEGER,
            Self::NotACInt => error::NOT_A_C_INT,
            Self::OutOfRange => error::DB_OUT_OF_RANGE,
        }
    }
}

/// The number of a database that an argument is, one of `databases`.
///
/// # Errors
/// It is none.
///
/// ```
/// use shardkeep_data::commands::{NoDatabase, database};
///
/// assert_eq!(database(b"15", 16), Ok(15));
/// assert_eq!(database(b"16", 16), Err(NoDatabase::OutOfRange));
/// ```
pub fn database(arg: &[u8], databases: u32) -> Result<u32, NoDatabase> {
    let number = parse_i64(arg).ok_or(NoDatabase::NotAnInteger)?;
    let number = i32::try_from(number).map_err(|_| NoDatabase::NotACInt)?;
    let known = u32::try_from(number)
        .ok()
        .filter(|number| *number < databases);
    known.ok_or(NoDatabase::OutOfRange)
}

/// The cursor an argument is, as C's `strtoul` reads it.
pub(crate) fn cursor(arg: &[u8]) -> Option<u64> {
    let (negative, digits) = match arg {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        [] => return Some(0),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let mut number: u64 = 0;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(if negative {
        number.wrapping_neg()
    } else {
        number
    })
}

/// In what an expiry is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeUnit {
    Seconds,
    Millis,
}

/// From when an expiry counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeBase {
    Now,
    Epoch,
}

/// The unit and the base of an expiry option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeKind {
    pub(crate) unit: TimeUnit,
    pub(crate) base: TimeBase,
}

impl TimeKind {
    pub(crate) const EX: Self = Self::new(TimeUnit::Seconds, TimeBase::Now);
    pub(crate) const PX: Self = Self::new(TimeUnit::Millis, TimeBase::Now);
    pub(crate) const EXAT: Self = Self::new(TimeUnit::Seconds, TimeBase::Epoch);
    pub(crate) const PXAT: Self = Self::new(TimeUnit::Millis, TimeBase::Epoch);

    const fn new(unit: TimeUnit, base: TimeBase) -> Self {
        Self { unit, base }
    }

    /// The moment `number` says, in milliseconds since 1970; `None` if it overflows.
    #[inline]
    pub(crate) fn moment(self, number: i64, now: UnixMillis) -> Option<i64> {
        let millis = match self.unit {
            TimeUnit::Seconds => number.checked_mul(1_000)?,
            TimeUnit::Millis => number,
        };
        match self.base {
            TimeBase::Now => millis.checked_add(i64::try_from(now.get()).ok()?),
            TimeBase::Epoch => Some(millis),
        }
    }
}

/// The moment an expiry option of `command` says, which must not be negative or nothing;
/// otherwise the error is answered.
#[inline]
pub(crate) fn expiry(
    arg: &[u8],
    kind: TimeKind,
    now: UnixMillis,
    command: &str,
    reply: &mut Reply<'_>,
) -> Option<UnixMillis> {
    let number = integer(arg, reply)?;
    let moment = kind.moment(number, now).filter(|_| number > 0);
    match moment.map(u64::try_from) {
        Some(Ok(moment)) => Some(UnixMillis::new(moment)),
        Some(Err(_)) | None => {
            error::invalid_expire_time(command, reply);
            None
        }
    }
}

/// The kind of expiry that an option of SET or GETEX announces.
pub(crate) fn time_kind(option: &[u8]) -> Option<TimeKind> {
    let kinds = [
        ("ex", TimeKind::EX),
        ("px", TimeKind::PX),
        ("exat", TimeKind::EXAT),
        ("pxat", TimeKind::PXAT),
    ];
    kinds
        .into_iter()
        .find(|(name, _)| is(option, name))
        .map(|(_, kind)| kind)
}
