//! The protocol of the hand-over under a schedule explorer.
//!
//! Each scenario opens a keep, lets a few threads meet in it, and asks a [`world::Oracle`] whether
//! what they saw can be. The explorer runs it under thousands of schedules, half of them chosen by
//! PCT (few preemptions at unlikely places) and half at random, and fails when threads hang.
//!
//! A proof is worth what it would notice: each fault that `fault.rs` can plant in the protocol is
//! planted in turn, and some scenario must fail.
//!
//! `RUSTFLAGS="--cfg shuttle" cargo test --release -p shardkeep-core --test explored -- --nocapture`

#![cfg(shuttle)]
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that says how much it has explored"
)]

mod book;
mod logging;
mod scenarios;
mod walking;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use logging::LOGGING;
use scenarios::{SCENARIOS, Scenario};
use shardkeep_core::{Fault, plant};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{FailurePersistence, MaxSteps, Runner};
use walking::WALKING;

/// What is explored in one run of the suite: half a minute. The least is 100,000.
const SCHEDULES: usize = 300_000;

/// Preemptions that PCT places: faults of such protocols need one to three.
const PCT_DEPTH: usize = 3;

/// A schedule longer than this does not end.
const STEPS_MAX: usize = 50_000;

/// Schedules within which a planted fault must show, for each scenario that could show it.
const PLANTED_SCHEDULES: usize = 100_000;

/// Planted faults are a setting of the whole process.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[derive(Clone, Copy)]
enum Strategy {
    Pct,
    Random,
}

fn runner(strategy: Strategy, seed: u64, schedules: usize) -> Runner<Box<dyn Scheduler + Send>> {
    let scheduler: Box<dyn Scheduler + Send> = match strategy {
        Strategy::Pct => Box::new(PctScheduler::new_from_seed(seed, PCT_DEPTH, schedules)),
        Strategy::Random => Box::new(RandomScheduler::new_from_seed(seed, schedules)),
    };
    let mut config = shuttle::Config::new();
    config.stack_size = 0x4_0000;
    config.max_steps = MaxSteps::FailAfter(STEPS_MAX);
    config.silence_warnings = true;
    config.failure_persistence = FailurePersistence::None;
    config
        .ungraceful_shutdown_config
        .immediately_return_on_panic = false;
    Runner::new(scheduler, config)
}

/// Explores `scenario`; says after how many schedules it failed, and how.
fn explore(
    scenario: &'static Scenario,
    strategy: Strategy,
    seed: u64,
    schedules: usize,
) -> Result<usize, (usize, String)> {
    static COUNTS: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let count = &COUNTS[strategy as usize];
    count.store(0, SeqCst);
    let run = AssertUnwindSafe(|| {
        runner(strategy, seed, schedules).run(|| {
            count.fetch_add(1, SeqCst);
            (scenario.run)();
        })
    });
    catch_unwind(run).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        (count.load(SeqCst), text.unwrap_or_default())
    })
}

fn all_scenarios() -> impl Iterator<Item = &'static Scenario> {
    SCENARIOS.iter().chain(LOGGING).chain(WALKING)
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().expect(name))
}

fn seed() -> u64 {
    setting("SHARDKEEP_SEED", 0x5eed) as u64
}

/// Panics that scenarios cause on purpose are many, and say nothing. The explorer's first run sets a
/// hook of its own, so ours comes after one.
fn silence_panics() {
    runner(Strategy::Random, 0, 1).run(|| {});
    if std::env::var_os("SHARDKEEP_LOUD").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
}

#[test]
fn no_schedule_loses_mail_or_settles_twice_or_hangs() {
    let _alone = ONE_AT_A_TIME.lock();
    silence_panics();
    plant(None);
    let only = std::env::var("SHARDKEEP_SCENARIO").ok();
    let chosen: Vec<_> = all_scenarios()
        .filter(|scenario| only.as_ref().is_none_or(|only| scenario.name == only))
        .collect();
    let schedules = setting("SHARDKEEP_SCHEDULES", SCHEDULES);
    let each = schedules.div_ceil(2 * chosen.len());
    let explore_all = |strategy| {
        chosen
            .iter()
            .map(|scenario| {
                let began = elapsed();
                let explored = explore(scenario, strategy, seed(), each).unwrap_or_else(
                    |(schedule, panic)| {
                        panic!("{}: schedule {schedule} fails: {panic}", scenario.name)
                    },
                );
                let took = elapsed() - began;
                println!(
                    "{:>8} schedules  {took:>6.1} s  {}",
                    explored, scenario.name
                );
                explored
            })
            .sum::<usize>()
    };
    let (pct, random) = std::thread::scope(|scope| {
        let pct = scope.spawn(|| explore_all(Strategy::Pct));
        let random = scope.spawn(|| explore_all(Strategy::Random));
        (pct.join(), random.join())
    });
    let told = |panic: Box<dyn std::any::Any + Send>| -> usize {
        let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        drop(std::panic::take_hook());
        panic!("{text}")
    };
    let (pct, random) = (pct.unwrap_or_else(told), random.unwrap_or_else(told));
    drop(std::panic::take_hook());
    println!(
        "schedules explored: {} ({pct} PCT, {random} random)",
        pct + random
    );
    assert!(only.is_some() || pct + random >= schedules);
}

/// Seconds since the first call: for the figures only.
fn elapsed() -> f64 {
    use std::time::Instant;
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "explored time stands still")]
    let now = Instant::now();
    (now - *BEGAN.get_or_init(|| now)).as_secs_f64()
}

#[test]
fn each_planted_fault_is_noticed() {
    let _alone = ONE_AT_A_TIME.lock();
    silence_panics();
    let planted = [
        (Fault::ClearedAfterEmptying, "a_burst_is_served_in_order"),
        (Fault::StoppedWithFlagCleared, "closing_gives_up_on_a_shard"),
        (Fault::NoSecondLook, "two_callers_meet_at_one_shard"),
        (Fault::OwnWorkFirst, "a_burst_is_served_in_order"),
        (
            Fault::DroppedInTransit,
            "an_owner_gives_up_a_transaction_by_its_deadline",
        ),
        (Fault::LateMailIgnored, "closing_meets_posters"),
        (Fault::LogFlagClearedLate, "a_committer_commits_for_all"),
        (Fault::LogNoSecondLook, "writers_commit_for_themselves"),
        (
            Fault::JournalNotAskedFor,
            "duties_meet_writers_and_the_close",
        ),
        (
            Fault::JournalLaidBack,
            "a_close_meets_a_borrower_of_the_journal",
        ),
        (Fault::ReleasedBeforeSync, "a_committer_commits_for_all"),
        (Fault::WokenBeforeRaised, "a_committer_commits_for_all"),
        (Fault::AwaitedAfterLook, "a_committer_commits_for_all"),
        (Fault::FailedSyncAcknowledged, "a_sync_fails"),
        (Fault::QueuedAfterReturn, "writers_commit_for_themselves"),
        (
            Fault::AnsweredBeforeQueued,
            "a_sync_on_request_covers_what_was_mailed",
        ),
        (
            Fault::SyncWantedOverlooked,
            "a_sync_on_request_covers_what_was_mailed",
        ),
        (Fault::LaterReleasedToo, "writing_goes_on_beside_a_sync"),
        (Fault::SyncEndsUnheard, "writing_goes_on_beside_a_sync"),
        (Fault::PutAwayDuringSync, "a_close_meets_a_sync_beside"),
        (Fault::PlaceKept, "a_full_queue_lets_writers_in_one_by_one"),
        (
            Fault::PlaceTakenAfterFailure,
            "a_full_queue_turns_writers_away_when_the_log_fails",
        ),
        (
            Fault::WaitersLeftAtTheDoor,
            "a_full_queue_turns_writers_away_when_the_log_fails",
        ),
        (
            Fault::BrokenChangeKept,
            "a_shard_is_lost_with_what_it_wrote",
        ),
        (Fault::BrokenMapReused, "a_caller_panics"),
        (Fault::CutQueuedLate, "a_cut_meets_writers"),
        (Fault::EffectsByShard, "transactions_are_one_record"),
        (Fault::ReliefUnheard, "writers_wait_for_a_walk"),
    ];
    let mut missed = vec![];
    for (fault, name) in planted {
        let scenario = all_scenarios().find(|scenario| scenario.name == name);
        let scenario = scenario.expect("a scenario by that name");
        plant(Some(fault));
        // PCT lets whoever yields go last, so what only happens to those who wait long is found at
        // random.
        let found = [Strategy::Pct, Strategy::Random]
            .into_iter()
            .find_map(|strategy| explore(scenario, strategy, seed(), PLANTED_SCHEDULES).err());
        plant(None);
        match found {
            None => missed.push(fault),
            Some((schedule, panic)) => {
                let first = panic.lines().next().unwrap_or_default();
                println!("{fault:?}: noticed by `{name}` in schedule {schedule}: {first}");
            }
        }
    }
    drop(std::panic::take_hook());
    assert!(missed.is_empty(), "not noticed: {missed:?}");
}
