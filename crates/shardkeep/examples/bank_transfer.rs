//! Money moves between accounts on eight threads; whoever looks sees the same sum.

#![expect(clippy::disallowed_methods, reason = "an example may wait")]

use std::io::Write;

use shardkeep::{KeyNotNamed, Store, TransactionError};

const ACCOUNTS: u64 = 64;
const OPENING_BALANCE: u64 = 1_000;
const THREADS: u64 = 8;
const TRANSFERS_PER_THREAD: u64 = 500;
/// Transfers between two looks at the sum.
const LOOK_EVERY: u64 = 50;

#[derive(Debug, PartialEq)]
enum Declined {
    NoSuchAccount,
    Overdrawn,
    NotNamed,
}

impl From<KeyNotNamed> for Declined {
    fn from(_: KeyNotNamed) -> Self {
        Self::NotNamed
    }
}

type Result<T> = std::result::Result<T, TransactionError<Declined>>;

fn transfer(bank: &Store<u64, u64>, from: u64, to: u64, amount: u64) -> Result<()> {
    bank.transaction([from, to], |tx| {
        let of_from = *tx.get(&from)?.ok_or(Declined::NoSuchAccount)?;
        let left = of_from.checked_sub(amount).ok_or(Declined::Overdrawn)?;
        tx.insert(&from, left)?;
        // Read after the write: from and to may be the same account.
        let of_to = *tx.get(&to)?.ok_or(Declined::NoSuchAccount)?;
        tx.insert(&to, of_to + amount)?;
        Ok(())
    })
}

fn sum(bank: &Store<u64, u64>) -> Result<u64> {
    bank.transaction(0..ACCOUNTS, |tx| {
        let mut sum = 0;
        for account in 0..ACCOUNTS {
            sum += tx.get(&account)?.ok_or(Declined::NoSuchAccount)?;
        }
        Ok(sum)
    })
}

/// Transfers back and forth; returns how many were declined.
fn teller(bank: &Store<u64, u64>, thread: u64) -> Result<u64> {
    let mut state = thread + 1;
    let mut declined = 0;
    for turn in 0..TRANSFERS_PER_THREAD {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let (from, to) = ((state >> 33) % ACCOUNTS, (state >> 43) % ACCOUNTS);
        match transfer(bank, from, to, (state >> 53) % OPENING_BALANCE) {
            Ok(()) => {}
            Err(TransactionError::Aborted(Declined::Overdrawn)) => declined += 1,
            Err(error) => return Err(error),
        }
        if turn % LOOK_EVERY == 0 {
            assert_eq!(sum(bank)?, ACCOUNTS * OPENING_BALANCE);
        }
    }
    Ok(declined)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let bank = Store::open()?;
    for account in 0..ACCOUNTS {
        bank.insert(account, OPENING_BALANCE)?;
    }
    let bank = &bank;
    let tellers: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || teller(bank, thread)))
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    let mut declined = 0;
    for teller in tellers {
        declined += teller
            .map_err(|_| "a teller panicked")?
            .map_err(|error| format!("{error:?}"))?;
    }
    let sum = sum(bank).map_err(|error| format!("{error:?}"))?;
    assert_eq!(sum, ACCOUNTS * OPENING_BALANCE);
    let transfers = THREADS * TRANSFERS_PER_THREAD;
    writeln!(
        std::io::stdout(),
        "{transfers} transfers, {declined} of them declined: still {sum} in the bank"
    )?;
    Ok(())
}
