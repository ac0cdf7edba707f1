//! `embedded`: maps in this process, called by threads of this process.
//!
//! Either what the command line asks for, or one of three programs made in advance.

use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{ArgGroup, Args};

use self::entrant::{Mention, MentionParser, entrants};
use self::plan::{Pace, Plan, Stage};
use self::point::{Axis, Point};
use self::value::KEYS_MAX;
use self::workload::Workload;
use crate::environment::{Common, cores};
use crate::keys::Distribution;
use crate::table::show;

mod bars;
mod course;
pub(crate) mod engines;
mod entrant;
mod field;
pub(crate) mod measure;
mod outcome;
mod plan;
mod play;
mod point;
mod run;
mod suite;
mod summary;
mod value;
mod workload;

/// Longest window for gathering writes, in microseconds: a caller waits that long for each write.
const WINDOW_US_MAX: u64 = 1_000_000;

/// Rounds over all engines, unless the command line says otherwise: enough for a median and two
/// values on each side of it.
const ROUNDS: u32 = 5;
/// Of single points, and of the bars: long enough that a second of another process's work shows in
/// one round only.
const POINT_PACE: Pace = Pace {
    warm_up: Duration::from_millis(100),
    window: Duration::from_millis(1_000),
};
/// Of the whole program: what fits into a quarter of an hour or so.
const SUITE_PACE: Pace = Pace {
    warm_up: Duration::from_millis(50),
    window: Duration::from_millis(400),
};
/// Of the short program.
const QUICK_PACE: Pace = SUITE_PACE;

/// Compare maps inside one process.
///
/// All engines get the same keys (u64) in the same order, the same values of the same size in
/// place, and the same hash function, and every read copies the whole value out. The figures:
///
///   rank    1 is the fastest. Below the table stands which neighbours in rank are not different.
///   Mop/s   million operations per second, all threads together: the median of the rounds, with
///           the slowest and the fastest round beside it. Two engines whose ranges overlap are
///           not different.
///   p50 ..  how long one call took, from one histogram over all rounds. With --batch 1 every
///           64th call is timed; with larger batches the time is that of a whole batch.
///           Each includes about 20 ns for reading the clock.
///   x ..    operations relative to DashMap, and to the best of striped, dashmap and papaya (what
///           people use), of those that were measured in this run: the median over the rounds of
///           the ratio within a round
///   atomic  of the workload transfer: whether nobody can see the moment when one key has given
///           and the other has not yet got. NO is an engine that offers nothing for two keys: its
///           transfer is two changes, which is less work for less
///   wrong   sampled operations that did not find their key's value, and changes that were lost:
///           after each round of counter, transfer and ycsb-f all amounts are added up. Must be 0.
///
/// Batches: ours are pipelines. papaya holds one guard over a batch. The other maps run a batch as a
/// loop of single operations: that is all their interface offers. striped-grouped is nobody's map,
/// it shows what grouping alone gains on locks written with care.
///
/// Changes (counter, transfer, ycsb-f): a lock changes the value in place; papaya and ours put a new
/// value in place of the old one, since that is what they offer. Ours are closures, which do not
/// travel: owners-mail and single-owner lend them the shard, so these changes show borrowing there,
/// not mail.
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment, group = ArgGroup::new("asked").multiple(true))]
pub(crate) struct Embedded {
    /// Run the whole program, a quarter of an hour or so (it says how long before it begins): the
    /// base point (1,000,000 keys, 64-byte values, 95 % reads, uniform, 2 threads, single
    /// operations), then one change at a time: batches of 16, 64, 512; 100, 50, 0 % reads; zipf,
    /// hot-key; 1, 4, 8, 16 threads; the other workloads; 1,000 and 10,000,000 keys; values of 16,
    /// 256, 4096 bytes; ours with 8 to 256 shards and with windows of 50 to 1000 us. At the end
    /// each of these axes stands on a table of its own. What does not fit into memory is skipped by
    /// name; what fits only one map at a time is loaded anew in each round
    #[arg(long, group = "program", conflicts_with = "asked")]
    suite: bool,
    /// Run the base point of the suite only, for every engine, with single operations and with
    /// batches of 512, and owners-mail also with windows of 50 and 1000 us; less than 2 minutes
    #[arg(long, group = "program", conflicts_with = "asked")]
    quick: bool,
    /// Run the points this project judges itself by, and print what is asked beside what was
    /// reached: 1,000,000 keys with single operations and batches of 64 and 512, 1,000 keys with
    /// single operations; 2 threads, 95 % reads; ours with its default shards and with 8 to 128
    #[arg(long, group = "program", conflicts_with_all = ["asked", "engines"])]
    bars: bool,
    /// Engines to compare. ENGINE=NAME enters one under another name; one that is entered twice
    /// shows what chance alone makes of equal things [default: all, but without --suite and --quick
    /// those that messages reach (owners-mail, single-owner) only if named]
    #[arg(long, value_parser = MentionParser, value_delimiter = ',')]
    engines: Vec<Mention>,
    /// What the threads do
    #[arg(long, group = "asked", value_enum, default_value_t)]
    workload: Workload,
    /// Keys loaded, and asked for
    #[arg(
        long,
        group = "asked",
        default_value_t = Point::BASE.keys,
        value_parser = clap::value_parser!(u64).range(1..=KEYS_MAX),
    )]
    keys: u64,
    /// How requests spread over the keys [default: uniform; YCSB has its own]
    #[arg(long, group = "asked", value_enum)]
    distribution: Option<Distribution>,
    /// Bytes of every value
    #[arg(
        long,
        group = "asked",
        default_value = "64",
        value_parser = PossibleValuesParser::new(["16", "64", "256", "4096"])
            .try_map(|text| text.parse::<usize>()),
    )]
    value_bytes: usize,
    /// Threads that call at the same time [default: the cores of this machine]
    #[arg(long, group = "asked")]
    threads: Option<NonZeroUsize>,
    /// Share of reads; the rest overwrites [default: 95; the other workloads have their own]
    #[arg(long, group = "asked", value_parser = clap::value_parser!(u8).range(0..=100))]
    read_percent: Option<u8>,
    /// Operations per call, one table for each of the list
    #[arg(long, group = "asked", value_delimiter = ',', default_value = "1")]
    batch: Vec<NonZeroUsize>,
    /// Parts of the divided maps, each of the list measured: a power of two, or 0 for the
    /// engine's own choice. Engines that are not divided ignore it
    #[arg(long, group = "asked", value_delimiter = ',', default_value = "0")]
    shards: Vec<usize>,
    /// Microseconds for which owners-mail and single-owner gather writes before applying them, at
    /// most: with an empty mailbox no window is waited for, so callers that wait for each single
    /// operation see little of it. Each of the list is measured; the other engines ignore it
    #[arg(
        long,
        group = "asked",
        value_name = "MICROS",
        value_delimiter = ',',
        default_value = "0",
        value_parser = clap::value_parser!(u64).range(..=WINDOW_US_MAX),
    )]
    window: Vec<u64>,
    /// Rounds over all engines (of the suite's base point, three times as many)
    #[arg(long, default_value_t = ROUNDS, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Milliseconds measured per line and round [default: 1000; of --suite and --quick 400]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    millis: Option<u64>,
    /// Milliseconds of the same work before each measurement [default: 100; of --suite and
    /// --quick 50]
    #[arg(long)]
    warm_up_millis: Option<u64>,
    #[command(flatten)]
    common: Common,
}

impl Embedded {
    /// Runs the comparison and prints it.
    ///
    /// # Errors
    /// An option that an engine cannot take, a thread that did not start, an unwritable file.
    pub(crate) fn run(&self) -> Result<()> {
        let results = run::run(&self.plan()?, &self.common)?;
        if self.suite {
            show(&summary::text(&results.outcomes))?;
        }
        if self.bars {
            show(&bars::text(&results.outcomes))?;
        }
        self.common
            .save("embedded", &results.outcomes, &results.skipped)
    }

    fn plan(&self) -> Result<Plan> {
        let rounds = self.rounds;
        if self.suite {
            suite::suite(&self.mentions(), rounds, self.pace(SUITE_PACE))
        } else if self.quick {
            suite::quick(&self.mentions(), rounds, self.pace(QUICK_PACE))
        } else if self.bars {
            Ok(bars::plan(rounds, self.pace(POINT_PACE)))
        } else {
            self.asked(self.pace(POINT_PACE))
        }
    }

    /// One stage for each size of batches.
    fn asked(&self, pace: Pace) -> Result<Plan> {
        let point = self.point()?;
        let entrants = entrants(&self.mentions(), &self.shards, &self.window)?;
        let mut stages = Vec::new();
        for batch in &self.batch {
            let point = Point {
                batch: batch.get(),
                ..point
            };
            point.check()?;
            stages.push(Stage {
                axis: Axis::Point,
                point,
                entrants: entrants.clone(),
                rounds: self.rounds,
                rounds_anew: self.rounds,
            });
        }
        Ok(Plan { pace, stages })
    }

    fn point(&self) -> Result<Point> {
        let workload = self.workload;
        let decided = Point::of(workload);
        ensure!(
            self.read_percent.is_none() || workload.read_percent().is_none(),
            "--read-percent: {} has its own share of reads",
            workload.label()
        );
        ensure!(
            self.distribution.is_none() || workload.distribution().is_none(),
            "--distribution: {} has its own",
            workload.label()
        );
        Ok(Point {
            keys: self.keys,
            value_bytes: self.value_bytes,
            threads: self.threads.map_or_else(cores, NonZeroUsize::get),
            read_percent: self.read_percent.unwrap_or(decided.read_percent),
            distribution: self.distribution.unwrap_or(decided.distribution),
            ..decided
        })
    }

    /// The engines that were named, or the usual ones.
    fn mentions(&self) -> Vec<Mention> {
        if !self.engines.is_empty() {
            return self.engines.clone();
        }
        let everybody = self.suite || self.quick;
        let usual = suite::ENGINES
            .into_iter()
            .filter(|engine| everybody || !engine.has_window());
        usual.map(Mention::from).collect()
    }

    fn pace(&self, usual: Pace) -> Pace {
        let given = |millis: Option<u64>, usual| millis.map_or(usual, Duration::from_millis);
        Pace {
            warm_up: given(self.warm_up_millis, usual.warm_up),
            window: given(self.millis, usual.window),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        embedded: Embedded,
    }

    fn plan(line: &str) -> Result<Plan> {
        let words = std::iter::once("embedded").chain(line.split_whitespace());
        Cli::try_parse_from(words)?.embedded.plan()
    }

    #[test]
    fn the_options_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_line_asks_for_the_point_that_it_names() {
        let asked = "--workload counter --distribution hot-key --keys 1000 --value-bytes 256 \
                     --threads 3";
        let expected = Point {
            distribution: Distribution::HotKey,
            keys: 1_000,
            value_bytes: 256,
            threads: 3,
            ..Point::of(Workload::Counter)
        };
        assert_eq!(plan(asked).unwrap().stages[0].point, expected);
        let batches = plan("--threads 2 --batch 1,64 --read-percent 0").unwrap();
        let found: Vec<Point> = batches.stages.iter().map(|stage| stage.point).collect();
        let writes = Point {
            read_percent: 0,
            ..Point::BASE
        };
        assert_eq!(
            found,
            [
                writes,
                Point {
                    batch: 64,
                    ..writes
                }
            ]
        );
    }

    #[test]
    fn each_program_has_its_pace_and_takes_another() {
        for (line, window) in [
            ("", 1_000),
            ("--suite", 400),
            ("--quick", 400),
            ("--bars", 1_000),
            ("--suite --millis 20", 20),
        ] {
            let pace = plan(line).unwrap().pace;
            assert_eq!(pace.window, Duration::from_millis(window), "{line}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for line in [
            "--suite --quick",
            "--suite --keys 5",
            "--bars --engines mutex",
            "--workload ycsb-a --read-percent 5",
            "--workload ycsb-c --distribution uniform",
            "--workload transfer --batch 16",
            "--value-bytes 65",
            "--engines mutex=a,papaya=a",
        ] {
            assert!(plan(line).is_err(), "{line}");
        }
    }

    #[test]
    fn messages_take_part_where_everybody_does() {
        let count = |line: &str| plan(line).unwrap().stages[0].entrants.len();
        assert_eq!((count(""), count("--suite")), (8, 10));
        assert_eq!(count("--engines dashmap,dashmap,papaya=p"), 3);
    }
}
