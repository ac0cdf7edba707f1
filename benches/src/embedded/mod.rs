//! `embedded`: maps in this process, called by threads of this process.
//!
//! Either what the command line asks for, or the fixed points of the suite.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use self::engines::{EngineName, Settings};
use self::field::{Field, Pace, Workload};
use self::outcome::Outcome;
use self::workload::{KEYS_MAX, SEQUENCE_OPS};
use crate::environment::{Common, cores};
use crate::table::show;

pub(crate) mod engines;
mod field;
pub(crate) mod measure;
mod outcome;
mod suite;
mod workload;

/// Most operations in a batch: a prepared sequence holds hundreds of such batches.
const BATCH_MAX: usize = 4_096;
const _: () = assert!(BATCH_MAX < SEQUENCE_OPS);
/// Most threads: far beyond the cores of any machine this is meant for.
const THREADS_MAX: usize = 256;

/// Longest window for gathering writes, in microseconds: a caller waits that long for each write.
const WINDOW_US_MAX: u64 = 1_000_000;

/// Compare maps inside one process.
///
/// All engines get the same keys (u64) in the same order, the same 64-byte values and the same
/// hash function, and every read copies the whole value out. The figures:
///
///   Mop/s   million operations per second, all threads together: the median of the rounds, with
///           the slowest and the fastest round beside it. Two engines whose ranges overlap are
///           not different.
///   p50 ..  how long one call took, from one histogram over all rounds. With --batch 1 every
///           64th call is timed; with larger batches the time is that of a whole batch.
///           Each includes about 20 ns for reading the clock.
///   x ..    operations relative to DashMap, and to the best of striped, dashmap and papaya (what
///           people use), of those that were measured in this run: the median over the rounds of
///           the ratio within a round
///   wrong   sampled reads that did not return their key's value. Must be 0.
///
/// Batches: ours are pipelines. papaya holds one guard over a batch. The other maps run a batch as a
/// loop of single operations: that is all their interface offers. striped-grouped is nobody's map,
/// it shows what grouping alone gains on locks written with care.
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub(crate) struct Embedded {
    /// Run the points this project judges itself by, and print what is asked beside what was
    /// reached: 1,000,000 keys with single operations and batches of 64 and 512, 1,000 keys with
    /// single operations; 2 threads, 95 % reads; ours with its default shards and with 8 to 128
    #[arg(
        long,
        conflicts_with_all = ["engines", "keys", "threads", "read_percent", "batch", "shards", "window"],
    )]
    suite: bool,
    /// Engines to compare
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values = [
            "mutex", "striped", "striped-tuned", "striped-grouped", "dashmap", "papaya",
            "owners-lend",
        ]
    )]
    engines: Vec<EngineName>,
    /// Keys loaded, and asked for with equal probability
    #[arg(
        long,
        default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX),
    )]
    keys: u64,
    /// Threads that call at the same time [default: the cores of this machine]
    #[arg(long)]
    threads: Option<NonZeroUsize>,
    /// Share of reads; the rest overwrites
    #[arg(long, default_value_t = 95, value_parser = clap::value_parser!(u8).range(0..=100))]
    read_percent: u8,
    /// Operations per call, one table for each of the list
    #[arg(long, value_delimiter = ',', default_value = "1")]
    batch: Vec<NonZeroUsize>,
    /// Parts of the divided maps, each of the list measured: a power of two, or 0 for the
    /// engine's own choice. Engines that are not divided ignore it
    #[arg(long, value_delimiter = ',', default_value = "0")]
    shards: Vec<usize>,
    /// Microseconds for which owners-mail and single-owner gather writes before applying them
    #[arg(long, value_name = "MICROS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=WINDOW_US_MAX))]
    window: u64,
    /// Rounds over all engines
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Milliseconds measured per engine, batch size and round
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    millis: u64,
    /// Milliseconds of the same work before each measurement
    #[arg(long, default_value_t = 100)]
    warm_up_millis: u64,
    #[command(flatten)]
    common: Common,
}

impl Embedded {
    /// Runs the comparison and prints it.
    ///
    /// # Errors
    /// An option that an engine cannot take, a thread that did not start, an unwritable file.
    pub(crate) fn run(&self) -> Result<()> {
        let pace = Pace {
            rounds: self.rounds,
            warm_up: Duration::from_millis(self.warm_up_millis),
            window: Duration::from_millis(self.millis),
        };
        let outcomes = if self.suite {
            suite::run(self.common.seed, pace)?
        } else {
            self.compare(pace)?
        };
        self.common.save("embedded", &outcomes, &[])
    }

    fn compare(&self, pace: Pace) -> Result<Vec<Outcome>> {
        let threads = self.threads.map_or_else(cores, NonZeroUsize::get);
        ensure!(
            threads <= THREADS_MAX,
            "--threads {threads}: at most {THREADS_MAX}"
        );
        for batch in &self.batch {
            ensure!(
                batch.get() <= BATCH_MAX,
                "--batch {batch}: at most {BATCH_MAX}"
            );
        }
        let workload = Workload {
            keys: self.keys,
            threads,
            read_percent: self.read_percent,
            seed: self.common.seed,
        };
        let mut field = Field::load(workload, self.entrants())?;
        let mut outcomes = Vec::new();
        for batch in &self.batch {
            let point = field.measure(batch.get(), pace)?;
            show(&outcome::text(&point, pace))?;
            outcomes.extend(point);
        }
        Ok(outcomes)
    }

    /// Every engine, with every division that means something to it.
    fn entrants(&self) -> Vec<(EngineName, Settings)> {
        let mut entrants = Vec::new();
        for &name in &self.engines {
            let divisions = if name.has_shards() {
                self.shards.as_slice()
            } else {
                &[0]
            };
            entrants.extend(divisions.iter().map(|&shards| {
                let settings = Settings {
                    write_window: Duration::from_micros(self.window),
                    ..Settings::with_shards(shards)
                };
                (name, settings)
            }));
        }
        entrants
    }
}
