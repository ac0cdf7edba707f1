//! What operations ask for and what they answer: plain values.

use std::time::Duration;

use shardkeep_core::{Error, Refused};

/// How an entry is to be inserted.
///
/// ```
/// use std::time::Duration;
/// use shardkeep::{Insert, Inserted, Store};
///
/// let store = Store::open()?;
/// let once = Insert::new().if_absent().ttl(Duration::from_secs(30));
/// assert_eq!(store.insert_with("lock", 1, once)?, Inserted::Stored(None));
/// assert_eq!(store.insert_with("lock", 2, once)?, Inserted::Kept);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Insert {
    pub(crate) ttl: NewTtl,
    pub(crate) when: When,
}

/// How long a new entry is to live.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum NewTtl {
    #[default]
    Never,
    After(Duration),
    Keep,
}

/// The condition of an insert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum When {
    #[default]
    Always,
    IfAbsent,
    IfPresent,
}

impl Insert {
    /// Inserts in any case; the entry never expires.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ttl: NewTtl::Never,
            when: When::Always,
        }
    }

    /// The entry expires `ttl` after it was inserted, to the millisecond.
    #[must_use]
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = NewTtl::After(ttl);
        self
    }

    /// The entry expires when the one it replaces would have.
    #[must_use]
    pub const fn keep_ttl(mut self) -> Self {
        self.ttl = NewTtl::Keep;
        self
    }

    /// Only if the key is absent.
    #[must_use]
    pub const fn if_absent(mut self) -> Self {
        self.when = When::IfAbsent;
        self
    }

    /// Only if the key is there.
    #[must_use]
    pub const fn if_present(mut self) -> Self {
        self.when = When::IfPresent;
        self
    }
}

/// One insert on its way. Its time to live begins when it is carried out. What of it does not go into the map
/// stays here, to be dropped when the shard is back.
pub(crate) struct Insertion<K, V> {
    /// `None` when it lies in the map.
    pub(crate) key: Option<K>,
    /// Before it is carried out the new value, afterwards one that nobody gets.
    pub(crate) value: Option<V>,
    pub(crate) how: Insert,
}

impl<K, V> Insertion<K, V> {
    /// The insertion, to travel; nothing of it stays.
    pub(crate) fn take_out(&mut self) -> Self {
        Self {
            key: self.key.take(),
            value: self.value.take(),
            ..*self
        }
    }
}

/// What became of a write, with the value that is in nobody's hands now: looked at, and dropped, when
/// the shard is back.
pub(crate) enum Put<V> {
    /// Nothing was there before, or nothing was done.
    New,
    /// This was there before.
    Over(V),
    /// This was there before, and had expired.
    OverExpired(V),
    /// The condition did not hold: this is what was brought.
    Kept(V),
    /// It was refused, and why. Behind a pointer: what is not refused travels lighter.
    Refused(Box<(V, Refused)>),
}

impl<V> Put<V> {
    /// The value that was replaced.
    #[inline]
    pub(crate) fn into_old(self) -> Result<Option<V>, Error> {
        match self {
            Self::Over(old) => Ok(Some(old)),
            Self::New | Self::OverExpired(_) | Self::Kept(_) => Ok(None),
            Self::Refused(refused) => Err(refused.1.into()),
        }
    }

    pub(crate) fn into_inserted(self) -> Result<Inserted<V>, Error> {
        match self {
            Self::Kept(_) => Ok(Inserted::Kept),
            put @ (Self::New | Self::Over(_) | Self::OverExpired(_) | Self::Refused(_)) => {
                put.into_old().map(Inserted::Stored)
            }
        }
    }
}

/// A result of a change.
pub(crate) trait Changed {
    /// Whether it shows anything of what is in the map: then it waits until that is durable.
    #[inline]
    fn shows(&self) -> bool {
        true
    }
}

impl<V> Changed for Put<V> {
    #[inline]
    fn shows(&self) -> bool {
        !matches!(self, Self::Refused(_))
    }
}

impl<T> Changed for Result<T, Refused> {
    #[inline]
    fn shows(&self) -> bool {
        self.is_ok()
    }
}

/// What became of an insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted<V> {
    /// The new value is in the store; it replaced this one.
    Stored(Option<V>),
    /// The condition did not hold: nothing was changed.
    Kept,
}

/// The answer to one operation of a [`Pipeline`](crate::Pipeline).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply<V> {
    /// The value that was read, replaced or removed, if there was one.
    Value(Option<V>),
    /// The answer to a question.
    Flag(bool),
    /// An insert whose condition did not hold: nothing was changed.
    Kept,
    /// The operation has no result; the error says whether it may have been applied.
    Failed(Error),
}

impl<V> Reply<V> {
    /// The value, if any; [`Reply::Kept`] and a flag have none.
    ///
    /// # Errors
    /// What the operation failed with.
    pub fn into_value(self) -> Result<Option<V>, Error> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Flag(_) | Self::Kept => Ok(None),
            Self::Failed(error) => Err(error),
        }
    }

    pub(crate) fn into_flag(self) -> Result<bool, Error> {
        match self {
            Self::Value(value) => Ok(value.is_some()),
            Self::Flag(flag) => Ok(flag),
            Self::Kept => Ok(false),
            Self::Failed(error) => Err(error),
        }
    }

    pub(crate) fn into_inserted(self) -> Result<Inserted<V>, Error> {
        match self {
            Self::Value(old) => Ok(Inserted::Stored(old)),
            Self::Flag(_) | Self::Kept => Ok(Inserted::Kept),
            Self::Failed(error) => Err(error),
        }
    }
}

/// What [`Store::update`](crate::Store::update) does with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update<V> {
    /// Nothing.
    Keep,
    /// Puts this value in its place; its expiry stays as it is, a new entry gets none.
    Put(V),
    /// Puts this value in its place; it expires so long after that.
    PutWithTtl(V, Duration),
    /// Removes it.
    Remove,
}

/// How long an entry has to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// It does not expire.
    Forever,
    /// It expires so long from now, to the millisecond.
    Left(Duration),
}
