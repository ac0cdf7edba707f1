//! Owners that panic outside of a work, shards that cannot be made again, and who makes no progress.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use shardkeep_core::restart::Intensity;
use shardkeep_core::supervisor::{ChildEvent, Standing};
use shardkeep_core::watch::Watch;
use shardkeep_core::{Config, Event, Handover, Keep, Outcome, Refused, clock};

use crate::pot::{Pot, add, call, config, hear, hold, job, later};

fn named(name: &str, handover: Handover) -> (Keep<Pot>, Receiver<Event>) {
    let config = Config {
        owners: 1,
        name: name.to_owned(),
        ..config(handover)
    };
    let (sender, events) = bounded(64);
    let tell = move |event| sender.try_send(event).expect("room for an event");
    let keep = Keep::open(config, |_| Pot::default(), tell).expect("a keep");
    (keep, events)
}

/// Fail points are in builds with debug assertions alone.
#[cfg(debug_assertions)]
mod planned {
    use super::*;
    use shardkeep_core::fail_point::{Plan, plant};

    fn panics(name: &str, times: u32) {
        plant("owner.tick", name.as_bytes(), Plan::Panic, times);
    }

    #[test]
    fn an_owner_that_panics_goes_on_and_what_was_mailed_is_served() {
        let name = "panics-twice";
        let (keep, events) = named(name, Handover::Mail);
        panics(name, 2);
        let (work, outcome) = add(3);
        assert!(keep.post(0, work, &call()).is_ok());
        assert_eq!(hear(&outcome), Outcome::Done);
        for expected in 1..=2 {
            let Event::Thread(ChildEvent::Restarting {
                child, restarts, ..
            }) = hear(&events)
            else {
                panic!("another event");
            };
            assert_eq!(
                (child.as_str(), restarts),
                ("panics-twice-owner-0", expected)
            );
        }
        let state = &keep.threads()[0];
        assert_eq!((state.restarts, state.standing), (2, Standing::Running));
        assert!(keep.close(later()).is_clean());
    }

    #[test]
    fn a_shard_that_was_to_be_handed_over_in_a_panic_is_there_and_its_asker_is_refused() {
        let name = "hands-over";
        let (keep, events) = named(name, Handover::Mail);
        let holder = hold(&keep, 0);
        plant("mail.hand", format!("{name}#0.").as_bytes(), Plan::Panic, 1);
        std::thread::scope(|scope| {
            let asker = scope.spawn(|| keep.acquire(&[0], call()).map(drop));
            while keep.depth(0) == 0 {
                std::thread::yield_now();
            }
            drop(holder);
            let refused = asker.join().expect("an answer");
            assert_eq!(refused, Err(Refused::Closed.into()));
        });
        assert!(matches!(hear(&events), Event::Thread(_)));
        let (work, outcome) = add(3);
        assert!(keep.post(0, work, &call()).is_ok());
        assert_eq!(hear(&outcome), Outcome::Done);
        assert!(keep.close(later()).is_clean());
    }

    #[test]
    fn an_owner_that_panics_too_often_ends_the_admission_and_the_keep_still_closes() {
        let name = "panics-always";
        let (keep, events) = named(name, Handover::Lend);
        let allowed = Intensity::default().restarts;
        panics(name, allowed + 1);
        // Rings the owner; a shard that wants to be made again would do it too.
        let holder = hold(&keep, 0);
        let (work, outcome) = job(|_| panic!("on purpose"));
        assert!(keep.post(0, work, &call()).is_ok());
        drop(holder);
        assert!(matches!(hear(&outcome), Outcome::Lost(_)));
        let mut restarts = 0;
        let why = loop {
            match hear(&events) {
                Event::Thread(ChildEvent::Restarting { .. }) => restarts += 1,
                Event::Thread(ChildEvent::Escalated { why, .. }) => break why,
                Event::ShardLost { .. } => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(restarts, allowed);
        assert!(why.contains("planned"), "{why}");
        let (work, _) = add(1);
        let refused = keep.post(1, work, &call()).map_err(|(_, why)| why);
        assert_eq!(refused, Err(Refused::Draining));
        assert!(keep.close(later()).is_clean());
    }
}

#[test]
fn a_shard_that_can_never_be_made_again_is_given_up_and_the_others_serve() {
    let (sender, events) = bounded(64);
    let made = AtomicUsize::new(0);
    let config = config(Handover::Lend);
    let shards = config.shards;
    let make = move |_| {
        assert!(
            made.fetch_add(1, SeqCst) < shards,
            "record 77 cannot be read"
        );
        Pot::default()
    };
    let tell = move |event| sender.try_send(event).expect("room for an event");
    let keep = Keep::open(config, make, tell).expect("a keep");
    let (panics, _) = job(|_| panic!("on purpose"));
    assert!(keep.post(0, panics, &call()).is_ok());
    let mut failed = 0;
    let why = loop {
        match hear(&events) {
            Event::RebuildFailed { shard: 0, .. } => failed += 1,
            Event::ShardGivenUp { shard: 0, why } => break why,
            Event::ShardLost { shard: 0 } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(failed, Intensity::default().restarts);
    assert!(why.contains("record 77"), "{why}");
    let (work, outcome) = add(1);
    if keep.post(0, work, &call()).is_ok() {
        let refused = Outcome::Refused(Refused::ShardLost { shard: 0 });
        assert_eq!(hear(&outcome), refused);
    }
    let (work, outcome) = add(1);
    assert!(keep.post(1, work, &call()).is_ok());
    assert_eq!(hear(&outcome), Outcome::Done);
    let report = keep.close(later());
    assert_eq!((report.shards_away, report.owners_left), (1, 0));
    assert!(report.took < crate::pot::PATIENCE / 2, "{:?}", report.took);
}

#[test]
fn a_shard_that_one_holder_keeps_for_long_is_reported_until_it_is_back() {
    let (keep, _events) = named("watched", Handover::Lend);
    let watch = Watch::new(Duration::from_secs(1));
    keep.watch(&watch);
    let begin = clock::now();
    let look = |quarter: u32| {
        let events = watch.look(begin + quarter * watch.interval());
        events.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let holder = hold(&keep, 1);
    let told: Vec<_> = (0..8).flat_map(look).collect();
    assert_eq!(
        told,
        ["the holder of shard 1 has made no progress for 1.0 s"]
    );
    assert_eq!(watch.stalls().len(), 1);
    drop(holder);
    let told = look(8);
    assert_eq!(told, ["the holder of shard 1 moves again after 1.8 s"]);
    assert!(watch.stalls().is_empty());
}
