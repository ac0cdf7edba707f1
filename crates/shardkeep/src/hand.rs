//! Getting one shard in hand, wherever it is.
//!
//! 1. In `Handover::Lend` an idle shard is borrowed from its desk; one that is away is asked for.
//! 2. In `Handover::Mail` it is always asked for.

use shardkeep_core::{Borrowed, Call, Error, Keep, Loan, Loans, Refused, Reservation, Shared};

use crate::state::ShardState;
use crate::{Key, Value};

/// One shard in this thread's hands.
pub(crate) enum Hand<'k, K: Key, V: Value> {
    /// From its desk.
    Borrowed(Loan<ShardState<K, V>, &'k Shared<ShardState<K, V>>>),
    /// Handed over by somebody else: exactly one.
    Given(Loans<ShardState<K, V>>, usize),
}

impl<K: Key, V: Value> Hand<'_, K, V> {
    /// Looks at the map; a panic harms nobody.
    #[inline]
    pub(crate) fn look<T>(&mut self, look: impl FnOnce(&ShardState<K, V>) -> T) -> T {
        match self {
            Self::Borrowed(loan) => loan.look(look),
            Self::Given(loans, shard) => loans.shard(*shard).look(look),
        }
    }

    /// Puts a place in the log's queue into the shard, for the changes that follow.
    pub(crate) fn deposit(&mut self, reserved: &mut Reservation<'_, ShardState<K, V>>) {
        match self {
            Self::Borrowed(loan) => reserved.deposit(loan),
            Self::Given(loans, shard) => reserved.deposit(loans.shard(*shard)),
        }
    }

    /// Changes the map; a panic loses the shard.
    #[inline]
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut ShardState<K, V>) -> T) -> T {
        match self {
            Self::Borrowed(loan) => loan.change(change),
            Self::Given(loans, shard) => loans.shard(*shard).change(change),
        }
    }
}

/// Gets a shard, waiting for it until the call ends.
#[inline]
pub(crate) fn get<'k, K: Key, V: Value>(
    keep: &'k Keep<ShardState<K, V>>,
    shard: usize,
    call: impl FnOnce() -> Call,
) -> Result<Hand<'k, K, V>, Error> {
    match keep.borrow(shard) {
        Borrowed::Loan(loan) => Ok(Hand::Borrowed(loan)),
        Borrowed::Away => {
            let loans = keep.acquire(&[shard], call())?;
            Ok(Hand::Given(loans, shard))
        }
        Borrowed::Closed => Err(Refused::Closed.into()),
    }
}

/// Gets a shard if nobody else has it.
#[inline]
pub(crate) fn try_get<K: Key, V: Value>(
    keep: &Keep<ShardState<K, V>>,
    shard: usize,
) -> Result<Hand<'_, K, V>, Refused> {
    match keep.borrow(shard) {
        Borrowed::Loan(loan) => Ok(Hand::Borrowed(loan)),
        Borrowed::Away => Ok(Hand::Given(keep.try_acquire(&[shard])?, shard)),
        Borrowed::Closed => Err(Refused::Closed),
    }
}
