//! The piece: a shard borrowed from its desk and put back, with nothing but a counter in it.
//!
//! Beside it a `parking_lot` mutex over the same counter. One thread, nobody else about: what the
//! hand-over costs, not what it saves. With several threads see `shardkeep-bench embedded`.

use std::hint::black_box;

use anyhow::Result;
use criterion::{BenchmarkId, Criterion};
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use shardkeep::engine::{
    Borrowed, Config, Deadline, Keep, NoJournal, NoTransaction, Outcome, Refused, State, Work,
};

mod setup;

/// The default on two cores.
const SHARDS: usize = 64;

fn main() -> Result<()> {
    setup::measure(&[one, several])
}

/// A map so small that only the hand-over remains.
#[derive(Default)]
struct Count(u64);

/// Nothing is mailed here.
enum NoWork {}

impl State for Count {
    type Work = NoWork;
    type Transaction = NoTransaction;
    type Journal = NoJournal;
}

impl Work<Count> for NoWork {
    fn deadline(&self) -> Deadline {
        match *self {}
    }

    fn begin(&mut self) -> bool {
        match *self {}
    }

    fn run(&mut self, _: &mut Count) {
        match *self {}
    }

    fn settle(self, _: Outcome) {
        match self {}
    }

    fn is_write(&self) -> bool {
        match *self {}
    }
}

fn keep() -> Result<Keep<Count>> {
    let config = Config {
        shards: SHARDS,
        ..Config::default()
    };
    Ok(Keep::open(config, |_| Count::default(), |_| {})?)
}

fn mutexes() -> Box<[CachePadded<Mutex<u64>>]> {
    (0..SHARDS).map(|_| CachePadded::default()).collect()
}

#[cold]
fn away() -> ! {
    panic!("a shard is away, and there is nobody who could have it")
}

/// One shard borrowed, its counter raised (or read), and put back; always the same one, or 64 in
/// turn.
///
/// `borrow` makes a loan, a value that may be kept for a while; `change_idle` and `look_idle` do the
/// same in passing, as single operations of the store do. All of them cost two locked instructions,
/// and so does the mutex: what they differ by is what stands around those.
fn one(criterion: &mut Criterion) -> Result<()> {
    let (keep, mutexes) = (keep()?, mutexes());
    let mut group = criterion.benchmark_group("desk");
    for shards in [1, SHARDS] {
        let mut turn = 0;
        let mut next = || {
            turn = (turn + 1) % black_box(shards);
            turn
        };
        group.bench_function(BenchmarkId::new("borrow", shards), |bencher| {
            bencher.iter(|| match keep.borrow(next()) {
                Borrowed::Loan(mut loan) => loan.change(add_one),
                Borrowed::Away | Borrowed::Closed => away(),
            });
        });
        group.bench_function(BenchmarkId::new("change_idle", shards), |bencher| {
            bencher.iter(|| match keep.change_idle(next(), add_one) {
                Ok(count) => count,
                Err(_) => away(),
            });
        });
        group.bench_function(BenchmarkId::new("look_idle", shards), |bencher| {
            bencher.iter(|| match keep.look_idle(next(), |count| count.0) {
                Ok(count) => count,
                Err(_) => away(),
            });
        });
        group.bench_function(BenchmarkId::new("mutex", shards), |bencher| {
            bencher.iter(|| {
                let mut count = mutexes[next()].lock();
                *count += 1;
                *count
            });
        });
    }
    group.finish();
    Ok(())
}

#[inline]
fn add_one(count: &mut Count) -> u64 {
    count.0 += 1;
    count.0
}

/// Several shards borrowed together, each counter raised, all put back: what a transaction pays
/// before its own work begins. `mutexes` locks as many in the same order. Both allocate the list of
/// what they hold; each loan of ours may go to another thread, which costs a counted reference: two
/// locked instructions more.
fn several(criterion: &mut Criterion) -> Result<()> {
    let (keep, mutexes) = (keep()?, mutexes());
    let mut group = criterion.benchmark_group("desks at once");
    for count in [2, 8] {
        let shards: Vec<usize> = (0..count).map(|at| at * SHARDS / count).collect();
        group.bench_function(BenchmarkId::new("try_acquire", count), |bencher| {
            bencher.iter(|| match keep.try_acquire(black_box(&shards)) {
                Ok(mut loans) => loans.iter_mut().map(|loan| loan.change(add_one)).sum(),
                Err(refused) => taken(&refused),
            });
        });
        group.bench_function(BenchmarkId::new("mutexes", count), |bencher| {
            bencher.iter(|| {
                let mut guards: Vec<_> = black_box(&shards)
                    .iter()
                    .map(|&shard| mutexes[shard].lock())
                    .collect();
                let raise = |count: &mut u64| {
                    *count += 1;
                    *count
                };
                guards.iter_mut().map(|guard| raise(guard)).sum::<u64>()
            });
        });
    }
    group.finish();
    Ok(())
}

#[cold]
fn taken(refused: &Refused) -> u64 {
    panic!("nobody else borrows here: {refused}")
}
