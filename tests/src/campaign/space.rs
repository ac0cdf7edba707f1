//! A disk that is full, and then has space again.
//!
//! 1. A snapshot that finds no space leaves nothing behind, and writes go on.
//! 2. A log that finds none: writes are refused, reads and removals are served, a snapshot that does not fit
//!    is refused by both sizes, and service resumes by itself.
//! 3. Where the log is full of what was overwritten or removed, service resumes without anybody's help.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::clock::{self, PATIENCE};
use crate::harness::{Client, ServerProcess};
use crate::writers::{Crew, Met};

use super::Setting;
use super::bench::{ask, ensure, eventually, expect, info, kill, names, open, say};
use super::volume::Volume;

/// MiB of the file system.
const VOLUME_MIB: u64 = 32;

/// Values of one MiB each that a snapshot must hold.
const LARGE: usize = 8;

/// Bytes of each of those values that fill the disk: some of them fit into the reserve.
const SMALL_BYTES: usize = 64 << 10;

/// What is left free for the snapshot, and then for the log, in bytes.
const FREE_BYTES: [u64; 2] = [4 << 20, 1 << 20];

/// Within what service resumes: it is tried every 100 ms.
const RESUMED: Duration = Duration::from_secs(5);

/// Within what a snapshot is taken by itself, and what it has replaced is given back: it is looked for once a
/// second.
const RESUMED_BY_SNAPSHOT: Duration = Duration::from_secs(15);

/// How long all goes on afterwards, until a kill.
const GOES_ON: Duration = Duration::from_millis(500);

pub(super) fn space(setting: &Setting) -> io::Result<()> {
    let modes: [&[&str]; 3] = [
        &["--sync", "always", "--commit", "auto"],
        &["--sync", "always", "--commit", "thread"],
        &["--sync", "interval"],
    ];
    for flags in modes {
        let volume = Volume::new(VOLUME_MIB)?;
        let dir = volume.path().join("store");
        let ballast = volume.path().join("ballast");
        let mut server = open(setting, &dir, flags)?;
        let mut client = server.client()?;
        let value = "v".repeat(1 << 20);
        for number in 0..LARGE {
            expect(&mut client, &format!("SET large:{number} {value}"), "OK")?;
        }
        expect(&mut client, "SET small before", "OK")?;
        // What is written and not synced has no place on the disk yet.
        expect(&mut client, "SAVE", "OK")?;
        leave_free(volume.path().as_path(), &ballast, FREE_BYTES[0])?;

        let reply = ask(&mut client, "SAVE")?;
        let is_named = reply.contains("it takes ") && reply.contains(" are free for it");
        ensure(
            reply.starts_with("-ERR") && is_named,
            format!("SAVE without space: {reply}"),
        )?;
        let left = names(&dir)?;
        ensure(
            left.iter().all(|(name, _)| !name.ends_with(".tmp")),
            format!("a snapshot without space has left {left:?}"),
        )?;
        expect(&mut client, "SET small after", "OK")?;
        let state = info(&mut client, "log_state")?;
        ensure(
            state == "open",
            format!("the log is {state} after a snapshot"),
        )?;

        leave_free(volume.path().as_path(), &ballast, FREE_BYTES[1])?;
        let mut crew = Crew::new(setting.seed);
        let ((), met) = crew.write(&mut server, |_| Ok(()))?;
        let refused = met.iter().filter(|met| is_no_space(met)).count();
        let lost = met.iter().filter(|met| matches!(met, Met::Lost(_))).count();
        ensure(
            refused + lost == met.len(),
            format!("without space: {met:?}"),
        )?;
        expect(&mut client, "GET small", "after")?;
        expect(&mut client, "GET large:0", &value)?;
        let state = info(&mut client, "log_state")?;
        ensure(
            state == "no_space",
            format!("the log is {state} without space"),
        )?;
        expect(
            &mut client,
            "SET other v",
            "-MISCONF there is no space for the log",
        )?;

        expect(&mut client, &format!("DEL large:{}", LARGE - 1), "1")?;
        let reserve = info(&mut client, "disk_reserve")?;
        ensure(
            reserve == "given_up",
            format!("the reserve is {reserve} without space"),
        )?;
        // One that nobody asked for may be under way.
        eventually("a SAVE that says both sizes", RESUMED_BY_SNAPSHOT, || {
            Ok(ask(&mut client, "SAVE")?.contains("it takes "))
        })?;

        fs::remove_file(&ballast)?;
        eventually("service", RESUMED, || {
            Ok(ask(&mut client, "SET other w")? == "OK")
        })?;
        let reserve = info(&mut client, "disk_reserve")?;
        ensure(
            reserve == "whole",
            format!("the reserve is {reserve} with space"),
        )?;
        let first = crew.verify(&mut client, None)?;
        let (killed_at, _) = crew.write(&mut server, |server| {
            clock::pass(GOES_ON);
            let killed_at = clock::now();
            kill(server)?;
            Ok(killed_at)
        })?;
        let mut server = open(setting, &dir, flags)?;
        let mut client = server.client()?.with_patience(PATIENCE);
        // With `interval` a kill may take what was not written yet.
        let promised_until = match flags[1] {
            "always" => None,
            _ => killed_at.checked_sub(GOES_ON),
        };
        let second = crew.verify(&mut client, promised_until)?;
        expect(&mut client, "GET small", "after")?;
        overwrite(setting, &mut server, &mut client, &dir, flags)?;
        kill(&mut server)?;
        say(format_args!(
            "{}: the snapshot was refused by both sizes and left nothing; without space {refused} \
             of {} writers were refused, {} told *lost*, reads went on; with space it resumed; full of what was overwritten or \
             removed it resumed by itself; all {} \
             changes acknowledged before are there, and of {} since {} are missing as promised",
            flags.join(" "),
            met.len(),
            lost,
            first.acked,
            second.acked,
            second.missing
        ))?;
    }
    Ok(())
}

/// Fills the disk with what is overwritten, and then with what FLUSHALL removes there; all else is left to the
/// server.
fn overwrite(
    setting: &Setting,
    server: &mut ServerProcess,
    client: &mut Client,
    dir: &Path,
    flags: &[&str],
) -> io::Result<()> {
    for number in 1..LARGE {
        ask(client, &format!("DEL large:{number}"))?;
    }
    fill(client, |_| "large:0".to_owned())?;
    eventually("service after overwriting", RESUMED_BY_SNAPSHOT, || {
        Ok(ask(client, "SET other x")? == "OK")
    })?;
    fill(client, |number| format!("large:{number}"))?;
    expect(client, "FLUSHALL", "OK")?;
    eventually("service after FLUSHALL", RESUMED_BY_SNAPSHOT, || {
        Ok(ask(client, "SET small after")? == "OK")
    })?;
    // One that nobody asked for may be under way.
    eventually("SAVE", RESUMED_BY_SNAPSHOT, || {
        Ok(ask(client, "SAVE")? == "OK")
    })?;
    kill(server)?;
    *server = open(setting, dir, flags)?;
    *client = server.client()?;
    expect(client, "GET small", "after")?;
    expect(client, "EXISTS large:0", "0")
}

/// Writes values until one is refused.
fn fill(client: &mut Client, key: impl Fn(u64) -> String) -> io::Result<()> {
    let value = "w".repeat(SMALL_BYTES);
    for number in 0..2 * (VOLUME_MIB << 20) / SMALL_BYTES as u64 {
        let reply = ask(client, &format!("SET {} {value}", key(number)))?;
        if reply != "OK" {
            return ensure(reply.starts_with("-MISCONF there is no space"), reply);
        }
    }
    ensure(false, "the disk has never been full")
}

fn is_no_space(met: &Met) -> bool {
    matches!(met, Met::Refused(text) if text.starts_with("MISCONF there is no space"))
}

/// Fills the file system at `volume` with `ballast` until so many bytes are left.
fn leave_free(volume: &Path, ballast: &Path, bytes: u64) -> io::Result<()> {
    let has = fs::metadata(ballast).map_or(0, |it| it.len());
    let stat = rustix::fs::statvfs(volume)?;
    let more = (stat.f_bavail * stat.f_frsize).saturating_sub(bytes);
    let file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(ballast)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, has + more)?;
    Ok(())
}
