//! A sync that fails once, and one that hangs.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::clock::{self, PATIENCE};
use crate::harness::{Client, Scratch, ServerProcess, Signal};
use crate::writers::{Crew, Met};

use super::Setting;
use super::bench::{ask, ensure, eventually, expect, info, kill, open, say};
use super::trace::Trace;

/// How the log is committed.
const COMMITS: [&str; 2] = ["auto", "thread"];

/// How long all goes well before.
const SOUND: Duration = Duration::from_millis(200);

/// What a loaded machine may add to a deadline.
const SLACK: Duration = Duration::from_secs(1);

/// The server's `--deadline`.
const DEADLINE: Duration = Duration::from_secs(1);

/// The server's `--drain-timeout`.
const CAP: Duration = Duration::from_secs(3);

/// Connections that only read. They are spread over the reactors.
const READERS: usize = 8;

/// Exit code of a drain that was cut short.
const CUT_SHORT: i32 = 3;

pub(super) fn error(setting: &Setting) -> io::Result<()> {
    for commit in COMMITS {
        let scratch = Scratch::new()?;
        let mut crew = Crew::new(setting.seed);
        let mut server = synced(setting, scratch.path(), commit)?;
        let (trace, met) = crew.write(&mut server, |server| {
            clock::pass(SOUND);
            Trace::attach(server, "fdatasync", "error=EIO:when=1")
        })?;
        let lost = met.iter().filter(|met| matches!(met, Met::Lost(_))).count();
        ensure(lost > 0, format!("nobody was told *lost*: {met:?}"))?;
        ensure(!met.contains(&Met::Gone), "the server has gone")?;
        let mut client = server.client()?;
        expect(&mut client, "SET later v", "-MISCONF the log has failed")?;
        expect(&mut client, "GET synced", "before")?;
        ensure(
            info(&mut client, "log_state")? == "failed",
            "the log is not failed",
        )?;
        let syncs = trace.calls()?.len();
        ensure(
            syncs == 1,
            format!("{syncs} syncs after one that failed: {:?}", trace.calls()?),
        )?;
        drop(trace);
        server.signal(Signal::TERM)?;
        let code = server.wait(PATIENCE)?.code();
        let mut server = synced(setting, scratch.path(), commit)?;
        let tally = crew.verify(&mut server.client()?, None)?;
        expect(&mut server.client()?, "GET later", "nil")?;
        kill(&mut server)?;
        say(format_args!(
            "--commit {commit}: {lost} writers were told *lost*, {} refused, no sync was asked for again, \
             the end had code {code:?}; after the next start all {} acknowledged changes are there, {} \
             more of the lost ones",
            met.len() - lost,
            tally.acked,
            tally.unacked
        ))?;
    }
    Ok(())
}

/// The server that syncs before it acknowledges, with one key.
fn synced(setting: &Setting, dir: &Path, commit: &str) -> io::Result<ServerProcess> {
    let flags = [
        "--sync",
        "always",
        "--commit",
        commit,
        "--drain-timeout",
        "3s",
    ];
    let server = open(setting, &dir.join("store"), &flags)?;
    expect(&mut server.client()?, "SET synced before", "OK")?;
    Ok(server)
}

pub(super) fn stuck(setting: &Setting) -> io::Result<()> {
    let stuck = Duration::from_secs(setting.stuck_seconds);
    for commit in COMMITS {
        let scratch = Scratch::new()?;
        let mut crew = Crew::new(setting.seed).with_patience(stuck + PATIENCE);
        let mut server = synced(setting, scratch.path(), commit)?;
        let readers: io::Result<Vec<Client>> = (0..READERS).map(|_| server.client()).collect();
        let readers = readers?
            .into_iter()
            .map(|it| it.with_patience(stuck + PATIENCE));
        let ended = AtomicBool::new(false);
        let (waits, told) = thread::scope(|scope| -> io::Result<_> {
            let reading: Vec<_> = readers
                .map(|reader| scope.spawn(|| longest_wait(reader, &ended)))
                .collect();
            let told = tell_writers(&mut crew, &mut server, stuck);
            ended.store(true, Relaxed);
            let mut waits = Vec::new();
            for reading in reading {
                let wait = reading
                    .join()
                    .map_err(|_| io::Error::other("a reader panicked"))?;
                waits.push(wait?);
            }
            Ok((waits, told?))
        })?;
        let live = waits.iter().filter(|wait| **wait < SLACK).count();
        let live_least = if commit == "thread" { READERS } else { 1 };
        ensure(
            live >= live_least,
            format!("only {live} readers lived: {waits:?}"),
        )?;
        let (trace, met, took) = told;
        ensure(!met.contains(&Met::Gone), "the server has gone")?;
        if commit == "thread" {
            ensure(took <= DEADLINE + SLACK, format!("writers waited {took:?}"))?;
        }
        // The sync still hangs: another one ends by the cap.
        eventually("service", stuck + PATIENCE, || {
            Ok(ask(
                &mut server.client()?.with_patience(stuck + PATIENCE),
                "SET again v",
            )? == "OK")
        })?;
        drop(trace);
        let tally = crew.verify(&mut server.client()?, None)?;
        say(format_args!(
            "--commit {commit}: while a sync hung for {stuck:?}, {live} of {READERS} readers were served \
             (longest wait of those {:?}), all writers were told after {took:?} at most; then it went on",
            waits.iter().filter(|wait| **wait < SLACK).max()
        ))?;
        ensure(tally.missing == 0, "an acknowledged change is missing")?;
        let ended = end_while_stuck(setting, commit, &mut server, &mut crew, scratch.path())?;
        say(format_args!(
            "--commit {commit}: told to end while a sync hung, it did after {ended:?} (cap 3 s), code 3; \
             nothing acknowledged is missing after the next start"
        ))?;
    }
    Ok(())
}

/// The longest that a reader of a synced key waits until `ended`.
fn longest_wait(mut reader: Client, ended: &AtomicBool) -> io::Result<Duration> {
    let mut longest = Duration::ZERO;
    while !ended.load(Relaxed) {
        let asked = clock::now();
        expect(&mut reader, "GET synced", "before")?;
        longest = longest.max(clock::now() - asked);
        clock::pass(Duration::from_millis(1));
    }
    Ok(longest)
}

/// Lets a sync hang under the writers; how long they waited until all were told, at most.
fn tell_writers(
    crew: &mut Crew,
    server: &mut ServerProcess,
    stuck: Duration,
) -> io::Result<(Trace, Vec<Met>, Duration)> {
    let delay = format!("delay_enter={}:when=1", stuck.as_micros());
    let ((trace, since), met) = crew.write(server, |server| {
        clock::pass(SOUND);
        let trace = Trace::attach(server, "fdatasync", &delay)?;
        Ok((trace, clock::now()))
    })?;
    Ok((trace, met, clock::now() - since))
}

/// Ends a server whose sync hangs; how long that took.
fn end_while_stuck(
    setting: &Setting,
    commit: &str,
    server: &mut ServerProcess,
    crew: &mut Crew,
    dir: &Path,
) -> io::Result<Duration> {
    let stuck = format!(
        "delay_enter={}:when=1",
        Duration::from_secs(600).as_micros()
    );
    let (took, _) = crew.write(server, |server| {
        clock::pass(SOUND);
        let trace = Trace::attach(server, "fdatasync", &stuck)?;
        eventually("a sync", PATIENCE, || Ok(!trace.calls()?.is_empty()))?;
        let told = clock::now();
        server.signal(Signal::TERM)?;
        // A process whose thread is held by a tracer has ended, and cannot be waited for.
        let status = format!("/proc/{}/status", server.pid());
        eventually("the end", CAP + SLACK, || {
            Ok(fs::read_to_string(&status)?.contains("State:\tZ"))
        })?;
        let took = clock::now() - told;
        drop(trace);
        let status = server.wait(PATIENCE)?;
        ensure(
            status.code() == Some(CUT_SHORT),
            format!("the end was {status}"),
        )?;
        Ok(took)
    })?;
    let mut server = synced(setting, dir, commit)?;
    crew.verify(&mut server.client()?, None)?;
    kill(&mut server)?;
    Ok(took)
}
