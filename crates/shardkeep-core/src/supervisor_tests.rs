#![expect(clippy::disallowed_methods, reason = "a test may wait")]

use super::*;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

/// Longest that a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

fn soon() -> Deadline {
    Deadline::after(PATIENCE)
}

/// A supervisor that writes down what it says.
fn telling() -> (Supervisor, Arc<Mutex<Vec<ChildEvent>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    (Supervisor::new(move |event| tell.lock().push(event)), told)
}

fn quick() -> Backoff {
    Backoff {
        first: Duration::from_micros(100),
        max: Duration::from_micros(100),
    }
}

fn until_told(life: &Life) -> Result<(), String> {
    life.token().wait_until(soon().instant());
    Ok(())
}

#[test]
fn a_child_that_panics_or_fails_is_started_again_on_its_own_thread() {
    let (supervisor, told) = telling();
    let (well, threads) = (CancelToken::new(), Arc::new(Mutex::new(BTreeSet::new())));
    let (tell, seen) = (well.clone(), Arc::clone(&threads));
    let mut runs = 0;
    let spec = ChildSpec::new("child").backoff(quick());
    let body = move |life: &Life| {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        seen.lock().insert(name);
        assert_eq!(life.restarts(), runs);
        runs += 1;
        match runs {
            1 => panic!("first"),
            2 => Err("second".to_owned()),
            _ => {
                tell.cancel();
                until_told(life)
            }
        }
    };
    supervisor.start(spec, body).unwrap();
    assert!(well.wait_until(soon().instant()));
    let state = &supervisor.states()[0];
    assert_eq!((state.restarts, state.standing), (2, Standing::Running));
    assert_eq!(state.last_reason.as_deref(), Some("second"));
    assert!(supervisor.stop(soon()).left.is_empty());
    assert_eq!(supervisor.states()[0].standing, Standing::Ended);
    assert!(threads.lock().iter().eq(["child"]));
    let told: Vec<String> = told.lock().iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2);
    assert!(told[0].starts_with("thread child has ended (it panicked: first); restart 1"));
}

#[test]
fn a_child_that_fails_too_often_escalates_once_and_stays_so() {
    let well = CancelToken::new();
    let (tell, times) = (well.clone(), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&times);
    let supervisor = Supervisor::new(move |event| {
        if let ChildEvent::Escalated { child, why } = event {
            assert_eq!((child.as_str(), why.as_str()), ("child", "always"));
            tell.cancel();
        }
    });
    let spec = ChildSpec::new("child").backoff(quick());
    let body = move |_: &Life| {
        counted.fetch_add(1, SeqCst);
        Err("always".to_owned())
    };
    supervisor.start(spec, body).unwrap();
    assert!(well.wait_until(soon().instant()));
    assert!(supervisor.stop(soon()).left.is_empty());
    assert_eq!(supervisor.states()[0].standing, Standing::Escalated);
    assert_eq!(times.load(SeqCst), 6);
}

#[test]
fn a_fail_stop_child_escalates_even_when_it_is_done() {
    let well = CancelToken::new();
    let tell = well.clone();
    let supervisor = Supervisor::new(move |event| {
        assert!(matches!(event, ChildEvent::Escalated { .. }));
        tell.cancel();
    });
    let spec = ChildSpec::new("child").policy(Policy::FailStop);
    supervisor.start(spec, |_| Ok(())).unwrap();
    assert!(well.wait_until(soon().instant()));
}

#[test]
fn children_are_stopped_in_their_order() {
    let supervisor = Supervisor::new(|_| ());
    let ended = Arc::new(Mutex::new(Vec::new()));
    for order in [3, 1, 2, 1] {
        let ended = Arc::clone(&ended);
        let spec = ChildSpec::new(format!("child-{order}")).order(order);
        let body = move |life: &Life| {
            until_told(life)?;
            ended.lock().push(order);
            Ok(())
        };
        supervisor.start(spec, body).unwrap();
    }
    assert!(supervisor.stop(soon()).left.is_empty());
    assert_eq!(*ended.lock(), [1, 1, 2, 3]);
}

#[test]
fn a_child_that_does_not_stop_is_named_and_the_others_end() {
    let supervisor = Supervisor::new(|_| ());
    let door = Arc::new(Barrier::new(2));
    let stuck = Arc::clone(&door);
    let spec = ChildSpec::new("stuck").stop_within(Duration::from_millis(1));
    let body = move |_: &Life| {
        stuck.wait();
        Ok(())
    };
    supervisor.start(spec, body).unwrap();
    let spec = ChildSpec::new("good").order(1);
    supervisor.start(spec, until_told).unwrap();
    assert_eq!(supervisor.stop(soon()).left, ["stuck"]);
    door.wait();
    drop(supervisor);
}

#[test]
fn a_drop_does_not_wait_again_for_a_child_that_a_stop_has_left() {
    let (supervisor, _told) = telling();
    let release = CancelToken::new();
    let (wait, dropped) = (release.clone(), release.clone());
    let spec = ChildSpec::new("deaf").stop_within(PATIENCE * 1_000);
    let body = move |_: &Life| {
        wait.wait_until(soon().instant());
        Ok(())
    };
    supervisor.start(spec, body).unwrap();
    let now = Deadline::after(Duration::ZERO);
    assert_eq!(supervisor.stop(now).left, ["deaf"]);
    let is_running = |states: Vec<ChildState>| states[0].standing == Standing::Running;
    let waited = Arc::clone(&supervisor.children.lock()[0].state);
    assert!(is_running(supervisor.states()));
    drop(supervisor);
    assert_eq!(waited.lock().standing, Standing::Running, "the drop waited");
    dropped.cancel();
}

#[test]
fn a_child_that_blocks_elsewhere_is_woken_out_of_it() {
    let supervisor = Supervisor::new(|_| ());
    let waiter = Arc::new(Waiter::new());
    let wakes = Arc::clone(&waiter);
    let spec = ChildSpec::new("child").on_stop(move || wakes.wake());
    let body = move |_: &Life| {
        waiter.wait_until(None);
        Ok(())
    };
    supervisor.start(spec, body).unwrap();
    assert!(supervisor.stop(soon()).left.is_empty());
}

#[test]
fn a_child_waiting_for_its_restart_is_stopped_at_once() {
    let well = CancelToken::new();
    let tell = well.clone();
    let supervisor = Supervisor::new(move |_| tell.cancel());
    let late = Backoff {
        first: Duration::from_secs(3_600),
        max: Duration::from_secs(3_600),
    };
    let spec = ChildSpec::new("child").backoff(late);
    supervisor.start(spec, |_| Err("oh".to_owned())).unwrap();
    assert!(well.wait_until(soon().instant()));
    let report = supervisor.stop(soon());
    assert!(report.left.is_empty() && report.took < PATIENCE);
}

#[test]
fn a_child_may_stop_its_supervisor() {
    let supervisor = Arc::new(Supervisor::new(|_| ()));
    let (well, all) = (CancelToken::new(), Arc::clone(&supervisor));
    let tell = well.clone();
    let body = move |_: &Life| {
        assert!(all.stop(soon()).left.is_empty());
        tell.cancel();
        Ok(())
    };
    supervisor.start(ChildSpec::new("child"), body).unwrap();
    supervisor
        .start(ChildSpec::new("other"), until_told)
        .unwrap();
    assert!(well.wait_until(soon().instant()));
    assert!(supervisor.stop(soon()).left.is_empty());
}

#[test]
fn each_of_two_stops_is_woken_by_a_child_that_ends() {
    // Which of them sleeps, and first, is chance: either must be woken, in every round.
    for _ in 0..50 {
        let supervisor = Arc::new(Supervisor::new(|_| ()));
        let (all, told, release) = (
            Arc::clone(&supervisor),
            CancelToken::new(),
            CancelToken::new(),
        );
        let (tell, held) = (told.clone(), release.clone());
        let body = move |life: &Life| {
            until_told(life)?;
            tell.cancel();
            match all.stop(soon()).took < PATIENCE / 2 {
                true => Ok(()),
                false => Err("it was not woken".to_owned()),
            }
        };
        let spec = |name| ChildSpec::new(name).stop_within(PATIENCE);
        supervisor.start(spec("stops"), body).unwrap();
        let body = move |_: &Life| {
            held.wait_until(soon().instant());
            Ok(())
        };
        supervisor.start(spec("waits"), body).unwrap();
        let report = std::thread::scope(|scope| {
            let stop = scope.spawn(|| supervisor.stop(soon()));
            assert!(told.wait_until(soon().instant()));
            (0..1_000).for_each(|_| std::thread::yield_now());
            release.cancel();
            stop.join().unwrap()
        });
        assert!(report.left.is_empty());
        assert_eq!(supervisor.states()[0].last_reason, None);
    }
}

#[test]
fn a_drop_allows_each_child_all_the_time_that_there_is() {
    let supervisor = Supervisor::new(|_| ());
    for number in 0..2 {
        let spec = ChildSpec::new(format!("child-{number}")).stop_within(Duration::MAX);
        supervisor.start(spec, until_told).unwrap();
    }
    drop(supervisor);
}

#[test]
fn a_wake_up_that_panics_keeps_no_child_from_its_end() {
    let supervisor = Supervisor::new(|_| ());
    for order in 0..3 {
        let spec = ChildSpec::new(format!("child-{order}")).order(order);
        let spec = spec.on_stop(|| panic!("in the wake-up"));
        supervisor.start(spec, until_told).unwrap();
    }
    assert!(supervisor.stop(soon()).left.is_empty());
}

#[test]
fn a_panic_in_the_callback_harms_nobody() {
    let supervisor = Supervisor::new(|_| panic!("in the callback"));
    let well = CancelToken::new();
    let tell = well.clone();
    let body = move |life: &Life| {
        if life.restarts() == 0 {
            return Err("once".to_owned());
        }
        tell.cancel();
        until_told(life)
    };
    let spec = ChildSpec::new("child").backoff(quick());
    supervisor.start(spec, body).unwrap();
    assert!(well.wait_until(soon().instant()));
    assert!(supervisor.stop(soon()).left.is_empty());
}
