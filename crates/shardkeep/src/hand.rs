//! Getting one shard in hand, wherever it is.
//!
//! 1. In `Handover::Lend` an idle shard is borrowed from its desk; one that is away is asked for.
//! 2. In `Handover::Mail` it is always asked for.
//! 3. A loan from the desk is used where it was made: moving it costs more than all else (see `store`).

use shardkeep_core::{Borrowed, Call, Error, Keep, Loan, Refused, Reservation, Shared};

use crate::state::ShardState;
use crate::{Key, Value};

/// One shard in this thread's hands.
pub(crate) enum Hand<'h, 'k, K: Key, V: Value> {
    /// From its desk.
    Borrowed(&'h mut Loan<ShardState<K, V>, &'k Shared<ShardState<K, V>>>),
    /// Handed over by somebody else.
    Given(&'h mut Loan<ShardState<K, V>>),
}

impl<K: Key, V: Value> Hand<'_, '_, K, V> {
    /// Looks at the map; a panic harms nobody.
    #[inline(always)]
    pub(crate) fn look<T>(&self, look: impl FnOnce(&ShardState<K, V>) -> T) -> T {
        match self {
            Self::Borrowed(loan) => loan.look(look),
            Self::Given(loan) => loan.look(look),
        }
    }

    /// Puts a place in the log's queue into the shard, for the changes that follow.
    #[inline(always)]
    pub(crate) fn deposit(&mut self, reserved: &mut Reservation<'_, ShardState<K, V>>) {
        match self {
            Self::Borrowed(loan) => reserved.deposit(loan),
            Self::Given(loan) => reserved.deposit(loan),
        }
    }

    /// Changes the map; a panic loses the shard.
    #[inline(always)]
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut ShardState<K, V>) -> T) -> T {
        match self {
            Self::Borrowed(loan) => loan.change(change),
            Self::Given(loan) => loan.change(change),
        }
    }
}

/// Does something with a shard in hand, waiting for it until the call ends.
#[inline(always)]
pub(crate) fn with<K: Key, V: Value, R>(
    keep: &Keep<ShardState<K, V>>,
    shard: usize,
    call: impl FnOnce() -> Call,
    run: impl FnOnce(Hand<'_, '_, K, V>) -> R,
) -> Result<R, Error> {
    match &mut keep.borrow(shard) {
        Borrowed::Loan(loan) => Ok(run(Hand::Borrowed(loan))),
        Borrowed::Away => with_asked_for(keep, shard, &call(), run),
        Borrowed::Closed => Err(Refused::Closed.into()),
    }
}

#[cold]
#[inline(never)]
fn with_asked_for<K: Key, V: Value, R>(
    keep: &Keep<ShardState<K, V>>,
    shard: usize,
    call: &Call,
    run: impl FnOnce(Hand<'_, '_, K, V>) -> R,
) -> Result<R, Error> {
    let mut loans = keep.acquire(&[shard], call.clone())?;
    Ok(run(Hand::Given(loans.shard(shard))))
}

/// As [`with`], if nobody else has the shard.
#[inline(always)]
pub(crate) fn try_with<K: Key, V: Value, R>(
    keep: &Keep<ShardState<K, V>>,
    shard: usize,
    run: impl FnOnce(Hand<'_, '_, K, V>) -> R,
) -> Result<R, Refused> {
    match &mut keep.borrow(shard) {
        Borrowed::Loan(loan) => Ok(run(Hand::Borrowed(loan))),
        Borrowed::Away => {
            let mut loans = keep.try_acquire(&[shard])?;
            Ok(run(Hand::Given(loans.shard(shard))))
        }
        Borrowed::Closed => Err(Refused::Closed),
    }
}
