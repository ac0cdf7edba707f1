//! Get or load, once at a time.

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use shardkeep::{Error, Handover, LoadError, Refused};

use crate::{BOTH, channel, small};

#[test]
fn many_callers_of_an_absent_key_run_one_loader() {
    for handover in BOTH {
        let store = small(handover).open().unwrap();
        let loads = AtomicUsize::new(0);
        let (entered, is_entered) = channel();
        let (go, may_go): (Sender<()>, Receiver<()>) = channel();
        std::thread::scope(|scope| {
            let leader = scope.spawn(|| {
                store.get_or_insert_with(&"key", || {
                    entered.send(()).unwrap();
                    let _ = may_go.recv();
                    // The loader may use the store: it holds no shard.
                    store.insert("other", 1).unwrap();
                    loads.fetch_add(1, SeqCst);
                    7
                })
            });
            is_entered.recv().unwrap();
            let followers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        store.get_or_insert_with(&"key", || {
                            loads.fetch_add(1, SeqCst);
                            8
                        })
                    })
                })
                .collect();
            drop(go);
            assert_eq!(leader.join().unwrap(), Ok(7));
            for follower in followers {
                assert_eq!(follower.join().unwrap(), Ok(7));
            }
        });
        assert_eq!(loads.load(SeqCst), 1);
        assert_eq!(store.get(&"key").unwrap(), Some(7));
    }
}

#[test]
fn a_loader_that_fails_or_panics_wakes_the_others_and_one_of_them_loads() {
    for panics in [false, true] {
        let store = small(Handover::Lend).open().unwrap();
        let (entered, is_entered) = channel();
        let (go, may_go): (Sender<()>, Receiver<()>) = channel();
        std::thread::scope(|scope| {
            let leader = scope.spawn(|| {
                catch_unwind(AssertUnwindSafe(|| {
                    store.get_or_try_insert_with(&"key", || {
                        entered.send(()).unwrap();
                        let _ = may_go.recv();
                        assert!(!panics, "as planned");
                        Err("failed")
                    })
                }))
            });
            is_entered.recv().unwrap();
            let follower = scope.spawn(|| store.get_or_insert_with(&"key", || 8));
            drop(go);
            let led = leader.join().unwrap();
            assert_eq!(led.is_err(), panics);
            if let Ok(result) = led {
                assert_eq!(result, Err(LoadError::Loader("failed")));
            }
            assert_eq!(follower.join().unwrap(), Ok(8));
        });
    }
}

#[test]
fn a_follower_waits_no_longer_than_its_deadline_and_a_loader_cannot_follow_itself() {
    let store = small(Handover::Lend).open().unwrap();
    let (entered, is_entered) = channel();
    let (go, may_go): (Sender<()>, Receiver<()>) = channel();
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| {
            store.get_or_insert_with(&"key", || {
                let own = store.get_or_insert_with(&"key", || unreachable!());
                assert_eq!(own, Err(Refused::Reentrant.into()));
                entered.send(()).unwrap();
                let _ = may_go.recv();
                1
            })
        });
        is_entered.recv().unwrap();
        let hasty = store.with_deadline(Duration::from_millis(1));
        let error = hasty.get_or_insert_with(&"key", || 2).unwrap_err();
        assert!(matches!(
            error,
            Error::Refused(Refused::DeadlinePassed { .. })
        ));
        drop(go);
        assert_eq!(leader.join().unwrap(), Ok(1));
    });
}
