//! The piece: a work mailed to a shard, and its answer.
//!
//! What an operation costs when its shard is away, or when nothing is ever lent
//! (`Handover::Mail`): the textbook way, and the reason for desks.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use crossbeam_channel::{Receiver, Sender, bounded};
use shardkeep::engine::{
    Borrowed, Call, Config, Deadline, Handover, Keep, NoJournal, NoTransaction, Outcome, State,
    Ticket, Work, limits,
};

mod setup;

/// Works under way at once.
const PIPELINED: [usize; 2] = [1, 64];
const _: () = assert!(PIPELINED[1] <= limits::MAILBOX_WORKS_DEFAULT);

/// Works that wait for whoever returns the shard.
const WAITING: [usize; 2] = [1, 16];
const _: () = assert!(WAITING[1] <= limits::SERVICE_WORKS_MAX);

/// No bench runs this long: what waits for it hangs.
const CALL_MAX: Duration = Duration::from_secs(600);

fn main() -> Result<()> {
    setup::measure(&[round_trip, served_at_return])
}

#[derive(Default)]
struct Count(u64);

/// Raises the counter and tells what it is now.
struct Raise {
    ticket: Arc<Ticket<u64>>,
    deadline: Deadline,
    count: u64,
}

impl State for Count {
    type Work = Raise;
    type Transaction = NoTransaction;
    type Journal = NoJournal;
}

impl Work<Count> for Raise {
    fn deadline(&self) -> Deadline {
        self.deadline
    }

    fn begin(&mut self) -> bool {
        self.ticket.begin()
    }

    fn run(&mut self, count: &mut Count) {
        count.0 += 1;
        self.count = count.0;
    }

    fn settle(self, outcome: Outcome) {
        let result = match outcome {
            Outcome::Done => Ok(self.count),
            Outcome::Refused(refused) => Err(refused.into()),
            Outcome::Lost(lost) => Err(lost.into()),
        };
        // Nobody gives up here, so it is always taken.
        drop(self.ticket.settle(result));
    }

    fn is_write(&self) -> bool {
        true
    }
}

/// One shard with one owner.
fn keep(handover: Handover) -> Result<Keep<Count>> {
    let config = Config {
        shards: 1,
        owners: 1,
        handover,
        ..Config::default()
    };
    Ok(Keep::open(config, |_| Count::default(), |_| {})?)
}

fn post(keep: &Keep<Count>, call: &Call) -> Arc<Ticket<u64>> {
    let ticket = Ticket::new(0);
    let work = Raise {
        ticket: Arc::clone(&ticket),
        deadline: call.deadline,
        count: 0,
    };
    match keep.post(0, work, call) {
        Ok(()) => ticket,
        Err((_, refused)) => panic!("a work was refused: {refused}"),
    }
}

fn answer(keep: &Keep<Count>, call: &Call, ticket: &Arc<Ticket<u64>>) -> u64 {
    match ticket.wait(call, || keep.depth(0)) {
        Ok(count) => count,
        Err(error) => panic!("a work failed: {error}"),
    }
}

/// Works posted to the owner's thread, then all their answers awaited; the rate counts works.
///
/// An owner without work sleeps, and so does, after a moment, whoever waits for an answer: with one
/// work under way the figure is two threads woken, which is the machine's doing, whatever the work.
/// `socket pair` shows how long that takes without any of this: one byte sent to a sleeping thread
/// that sends it back. `channels` does the same over two bounded crossbeam channels, whose receivers
/// spin before they sleep: with two idle cores nobody is ever woken, and both are busy all the time.
fn round_trip(criterion: &mut Criterion) -> Result<()> {
    let keep = keep(Handover::Mail)?;
    let call = Call::by(Deadline::after(CALL_MAX));
    let mut group = criterion.benchmark_group("mailbox round trip");
    for works in PIPELINED {
        group.throughput(Throughput::Elements(works as u64));
        group.bench_function(BenchmarkId::new("shardkeep", works), |bencher| {
            let mut tickets = Vec::with_capacity(works);
            bencher.iter(|| {
                tickets.extend((0..works).map(|_| post(&keep, &call)));
                let answers = tickets.drain(..);
                answers
                    .map(|ticket| answer(&keep, &call, &ticket))
                    .sum::<u64>()
            });
        });
        channels(&mut group, works)?;
    }
    group.throughput(Throughput::Elements(1));
    socket_pair(&mut group)?;
    group.finish();
    Ok(())
}

fn channels(group: &mut BenchmarkGroup<'_, WallTime>, works: usize) -> Result<()> {
    thread::scope(|scope| {
        let (to_echo, sent) = bounded(limits::MAILBOX_WORKS_DEFAULT);
        let (send_back, from_echo) = bounded(limits::MAILBOX_WORKS_DEFAULT);
        thread::Builder::new()
            .name("echo".to_owned())
            .spawn_scoped(scope, move || echo(&sent, &send_back))?;
        group.bench_function(BenchmarkId::new("channels", works), |bencher| {
            bencher.iter(|| there_and_back(works, &to_echo, &from_echo));
        });
        // The near ends go with this closure, which ends the thread; the scope joins it.
        Ok(())
    })
}

fn socket_pair(group: &mut BenchmarkGroup<'_, WallTime>) -> Result<()> {
    let (mut near, far) = UnixStream::pair()?;
    let far = &far;
    thread::scope(move |scope| {
        thread::Builder::new()
            .name("echo".to_owned())
            .spawn_scoped(scope, || echo_bytes(far))?;
        group.bench_function(BenchmarkId::new("socket pair", 1), |bencher| {
            bencher.iter(|| {
                let mut byte = [0];
                let there = near.write_all(&byte);
                match there.and_then(|()| near.read_exact(&mut byte)) {
                    Ok(()) => byte,
                    Err(error) => panic!("the echo has gone: {error}"),
                }
            });
        });
        // The near end goes with this closure, which ends the thread; the scope joins it.
        Ok(())
    })
}

/// Sends every byte back until no more can come.
fn echo_bytes(mut stream: &UnixStream) {
    let mut byte = [0];
    while stream
        .read_exact(&mut byte)
        .and_then(|()| stream.write_all(&byte))
        .is_ok()
    {}
}

/// Sends everything back until nothing more can come.
fn echo(sent: &Receiver<u64>, send_back: &Sender<u64>) {
    for number in sent {
        if send_back.send(number).is_err() {
            return;
        }
    }
}

fn there_and_back(works: usize, to_echo: &Sender<u64>, from_echo: &Receiver<u64>) -> u64 {
    for number in 0..works as u64 {
        if to_echo.send(number).is_err() {
            panic!("the echo has gone")
        }
    }
    from_echo.iter().take(works).sum()
}

/// A shard borrowed, works mailed to it meanwhile, and the shard put back, which serves them: no
/// second thread. So this is a mailed work without its thread switches: the ticket's allocation, the
/// queue, the flag and the settling. The rate counts works; the borrowing is shared by all of them.
fn served_at_return(criterion: &mut Criterion) -> Result<()> {
    let keep = keep(Handover::Lend)?;
    let call = Call::by(Deadline::after(CALL_MAX));
    let mut group = criterion.benchmark_group("mail served at return");
    for works in WAITING {
        group.throughput(Throughput::Elements(works as u64));
        group.bench_function(BenchmarkId::from_parameter(works), |bencher| {
            let mut tickets = Vec::with_capacity(works);
            bencher.iter(|| {
                let Borrowed::Loan(loan) = keep.borrow(0) else {
                    panic!("the shard is away, and there is nobody who could have it")
                };
                tickets.extend((0..works).map(|_| post(&keep, &call)));
                drop(loan);
                let answers = tickets.drain(..);
                answers.map(|ticket| answered(&ticket)).sum::<u64>()
            });
        });
    }
    group.finish();
    Ok(())
}

fn answered(ticket: &Ticket<u64>) -> u64 {
    match ticket.take() {
        Some(Ok(count)) => count,
        Some(Err(error)) => panic!("a work failed: {error}"),
        None => panic!("a work still waits although its shard was returned"),
    }
}
