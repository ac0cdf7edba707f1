//! Jobs: accepted, run, tried again, parked, cancelled, and never lost.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use serde_json::Value;
use shardkeep_tests::clock::{self, PATIENCE};
use shardkeep_tests::harness::Scratch;

use crate::support::{Program, Unheard, ask, send};

fn start(scratch: &Scratch, flags: &[&str]) -> Program {
    let dir = scratch.path().join("jobs");
    let dir = dir.to_string_lossy().into_owned();
    let mut args = vec![dir.as_str(), "--bind", "127.0.0.1:0"];
    args.extend(flags);
    Program::start(env!("CARGO_BIN_EXE_jobs-under-test"), &args)
}

fn submit(to: SocketAddr, task: &str) -> u64 {
    let answer = ask(to, "POST", "/jobs", task).unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.body["id"].as_u64().unwrap()
}

fn query(to: SocketAddr, id: u64) -> Value {
    let answer = ask(to, "GET", &format!("/jobs/{id}"), "").unwrap();
    assert_eq!(answer.status, 200, "job {id}: {answer:?}");
    answer.body
}

/// The job when it is in `state`.
fn await_state(to: SocketAddr, id: u64, state: &str) -> Value {
    let deadline = clock::now() + PATIENCE;
    loop {
        let job = query(to, id);
        if job["state"] == state {
            return job;
        }
        assert!(clock::left(deadline).is_some(), "not {state}: {job}");
        std::thread::yield_now();
    }
}

/// Ends the program by a signal that drains it; returns what it said at the end.
fn drain(program: Program) -> String {
    program.signal(Signal::TERM);
    let (code, said) = program.end();
    assert_eq!(code, Some(0), "{said:#?}");
    said.last().unwrap().clone()
}

#[test]
fn a_job_that_was_accepted_is_run_and_can_be_asked_for() {
    let scratch = Scratch::new().unwrap();
    let mut program = start(&scratch, &[]);
    let to = program.address();
    let (upper, sum) = (submit(to, "upper hello"), submit(to, "sum 1000"));
    assert_eq!(await_state(to, upper, "done")["says"], "HELLO");
    assert_eq!(await_state(to, sum, "done")["says"], "500500");
    assert!(drain(program).contains("drained: 0 jobs left"));
}

#[test]
fn what_is_no_request_of_ours_is_refused_by_its_status() {
    let scratch = Scratch::new().unwrap();
    let mut program = start(&scratch, &[]);
    let to = program.address();
    let long = "x".repeat(9_000);
    let cases = [
        (
            400,
            "POST /jobs HTTP/1.1\r\nContent-Length: 6\r\n\r\nfly me".to_owned(),
        ),
        (
            400,
            "POST /jobs HTTP/1.1\r\nContent-Length: -1\r\n\r\n".to_owned(),
        ),
        (400, "what is this\r\n\r\n".to_owned()),
        (404, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (404, "GET /jobs/1 HTTP/1.1\r\n\r\n".to_owned()),
        (404, "DELETE /jobs/1 HTTP/1.1\r\n\r\n".to_owned()),
        (405, "PUT /jobs HTTP/1.1\r\n\r\n".to_owned()),
        (
            411,
            "POST /jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        ),
        (
            413,
            "POST /jobs HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n".to_owned(),
        ),
        (431, format!("GET /stats HTTP/1.1\r\nLong: {long}\r\n\r\n")),
    ];
    for (status, request) in cases {
        let answer = send(to, request.as_bytes()).unwrap();
        assert_eq!(answer.status, status, "{request:?}: {answer:?}");
    }
    drain(program);
}

#[test]
fn a_job_that_panics_is_tried_again_by_a_restarted_worker_and_parked_in_the_end() {
    let scratch = Scratch::new().unwrap();
    let mut program = start(&scratch, &["--workers", "1"]);
    let to = program.address();
    let (twice, always) = (submit(to, "fail 2"), submit(to, "fail 99"));
    assert_eq!(await_state(to, twice, "done")["attempts"], 3);
    let parked = await_state(to, always, "parked");
    assert_eq!(parked["attempts"], 4);
    assert_eq!(
        parked["says"],
        "it panicked: attempt 4 fails as it was told"
    );
    let after = submit(to, "upper still here");
    await_state(to, after, "done");
    let stats = ask(to, "GET", "/stats", "").unwrap().body;
    let worker = stats["tree"].as_array().unwrap().iter();
    let worker = worker
        .clone()
        .find(|child| child["name"] == "worker-0")
        .unwrap();
    assert_eq!(worker["restarts"], 6, "{stats}");
    assert_eq!(
        (&stats["parked"], &stats["retried"]),
        (&1.into(), &5.into())
    );
    assert!(stats["threads"].as_u64().unwrap() > 9, "{stats}");
    drain(program);
}

#[test]
fn a_submitter_is_told_when_there_is_no_place_and_a_cancellation_makes_one() {
    let scratch = Scratch::new().unwrap();
    let mut program = start(&scratch, &["--workers", "1", "--queue", "2"]);
    let to = program.address();
    let running = submit(to, "wait 3600000");
    await_state(to, running, "running");
    let waiting = submit(to, "wait 3600000");
    let refused = ask(to, "POST", "/jobs", "upper no").unwrap();
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("\r\nRetry-After: "), "{refused:?}");
    let cancel = |id: u64| {
        ask(to, "DELETE", &format!("/jobs/{id}"), "")
            .unwrap()
            .status
    };
    assert_eq!((cancel(waiting), cancel(running)), (200, 202));
    await_state(to, running, "cancelled");
    await_state(to, waiting, "cancelled");
    assert_eq!((cancel(waiting), cancel(running)), (409, 409));
    let deadline = clock::now() + PATIENCE;
    while ask(to, "POST", "/jobs", "upper yes").unwrap().status != 202 {
        assert!(clock::left(deadline).is_some(), "no place came back");
        std::thread::yield_now();
    }
    drain(program);
}

#[test]
fn a_job_that_a_drain_interrupts_is_put_back_and_its_attempt_does_not_count() {
    let scratch = Scratch::new().unwrap();
    let mut program = start(&scratch, &[]);
    let to = program.address();
    let id = submit(to, "wait 3600000");
    await_state(to, id, "running");
    assert!(drain(program).contains("drained: 1 jobs left"));
    let mut program = start(&scratch, &[]);
    let to = program.address();
    assert_eq!(await_state(to, id, "running")["attempts"], 1);
    assert_eq!(
        ask(to, "DELETE", &format!("/jobs/{id}"), "")
            .unwrap()
            .status,
        202
    );
    await_state(to, id, "cancelled");
    drain(program);
}

#[test]
fn a_job_under_which_the_process_dies_again_and_again_is_parked() {
    let scratch = Scratch::new().unwrap();
    let mut program = start(&scratch, &[]);
    let mut to = program.address();
    let id = submit(to, "wait 3600000");
    for attempt in 1..=4 {
        assert_eq!(await_state(to, id, "running")["attempts"], attempt);
        program.signal(Signal::KILL);
        assert_eq!(program.end().0, None);
        program = start(&scratch, &[]);
        to = program.address();
        if attempt < 4 {
            // From before the kill it may still say so: the attempt tells.
            let deadline = clock::now() + PATIENCE;
            while query(to, id)["attempts"] == attempt {
                assert!(clock::left(deadline).is_some(), "it is not tried again");
                std::thread::yield_now();
            }
        }
    }
    assert_eq!(
        await_state(to, id, "parked")["says"],
        "the process died of it"
    );
    drain(program);
}

#[test]
fn a_job_that_panics_stops_no_worker_whose_standard_error_nobody_reads() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("jobs").to_string_lossy().into_owned();
    let args = [dir.as_str(), "--bind", "127.0.0.1:0", "--workers", "1"];
    let program = Unheard::start(env!("CARGO_BIN_EXE_jobs-under-test"), &args);
    let to = program.address();
    for id in [submit(to, "fail 2"), submit(to, "upper hello")] {
        await_state(to, id, "done");
    }
    assert_eq!(program.drain(), Some(0));
}

#[test]
fn clients_that_say_nothing_do_not_hold_up_a_drain() {
    let scratch = Scratch::new().unwrap();
    let mut program = start(&scratch, &[]);
    let to = program.address();
    let connect = || TcpStream::connect_timeout(&to, PATIENCE).unwrap();
    let silent: Vec<TcpStream> = (0..4).map(|_| connect()).collect();
    (&silent[0])
        .write_all(b"POST /jobs HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf")
        .unwrap();
    // Connections are taken in their order: those are in somebody's hands now.
    submit(to, "upper hello");
    assert!(drain(program).ends_with("threads left: [], clean: true"));
}

#[test]
fn a_second_program_on_the_directory_is_refused_with_the_reason() {
    let scratch = Scratch::new().unwrap();
    let mut program = start(&scratch, &[]);
    program.address();
    let (code, said) = start(&scratch, &[]).end();
    assert_eq!(code, Some(1));
    assert!(said.last().unwrap().contains("in use"), "{said:#?}");
    drain(program);
}

/// Submits from some clients at once, ends the program by `signal` in the middle, starts it again: every
/// job that was accepted is done in the end.
fn what_was_accepted_is_done_after(signal: Signal) {
    const ENOUGH: usize = 150;
    let scratch = Scratch::new().unwrap();
    let mut program = start(&scratch, &["--workers", "2"]);
    let to = program.address();
    let (accepted, count) = (Mutex::new(Vec::new()), AtomicUsize::new(0));
    let code = std::thread::scope(|scope| {
        for client in 0..4 {
            let (accepted, count) = (&accepted, &count);
            scope.spawn(move || {
                for number in 0.. {
                    let task = match number % 10 {
                        9 => "fail 1".to_owned(),
                        _ => format!("upper c{client}n{number}"),
                    };
                    let Ok(answer) = ask(to, "POST", "/jobs", &task) else {
                        return;
                    };
                    match answer.status {
                        202 => {
                            let id = answer.body["id"].as_u64().unwrap();
                            accepted.lock().unwrap().push((id, task));
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                        503 => std::thread::yield_now(),
                        _ => panic!("{answer:?}"),
                    }
                }
            });
        }
        let deadline = clock::now() + PATIENCE;
        while count.load(Ordering::SeqCst) < ENOUGH {
            assert!(clock::left(deadline).is_some(), "too few were accepted");
            std::thread::yield_now();
        }
        program.signal(signal);
        program.end().0
    });
    assert_eq!(code, (signal == Signal::TERM).then_some(0));
    let mut program = start(&scratch, &["--workers", "2"]);
    let to = program.address();
    for (id, task) in accepted.into_inner().unwrap() {
        let job = await_state(to, id, "done");
        assert_eq!(job["task"], task.as_str());
        if let Some(text) = task.strip_prefix("upper ") {
            assert_eq!(job["says"], text.to_uppercase());
        }
    }
    drain(program);
}

#[test]
fn a_drain_in_mid_load_loses_no_job_that_was_accepted() {
    what_was_accepted_is_done_after(Signal::TERM);
}

#[test]
fn a_kill_in_mid_load_loses_no_job_that_was_accepted() {
    what_was_accepted_is_done_after(Signal::KILL);
}
