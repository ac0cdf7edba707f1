//! The wall clock jumps a day forwards and back, under eight writers.
//!
//! 1. Deadlines, windows and intervals are monotonic: nobody is told anything but OK.
//! 2. Expiry times are wall-clock times: a jump forwards expires, a jump back lengthens.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::clock::{self, PATIENCE};
use crate::harness::{Client, Scratch, ServerProcess};
use crate::writers::{Crew, Met};

use super::Setting;
use super::bench::{ask, ensure, eventually, expect, kill, open, say};

/// Where Debian has it, by its machine's name for itself.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// How long all goes on after each jump.
const AFTER: Duration = Duration::from_millis(1_500);

/// A day in seconds.
const DAY: i64 = 86_400;

pub(super) fn clock(setting: &Setting) -> io::Result<()> {
    let library = LIBRARIES.iter().find(|it| Path::new(it).exists());
    let library = library.ok_or_else(|| io::Error::other("no libfaketimeMT.so.1"))?;
    let scratch = Scratch::new()?;
    let dir = scratch.path().join("store");
    let offset = scratch.file("offset", "+0")?;
    let environment = [
        "env".to_owned(),
        format!("LD_PRELOAD={library}"),
        format!("FAKETIME_TIMESTAMP_FILE={offset}"),
        "FAKETIME_CACHE_DURATION=1".to_owned(),
        "DONT_FAKE_MONOTONIC=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ];
    let environment: Vec<&str> = environment.iter().map(String::as_str).collect();
    let text = dir.to_string_lossy();
    let flags = ["--dir", &text, "--sync", "interval"];
    let mut server = ServerProcess::start_by(&environment, &setting.program, &flags)?;
    let mut client = server.client()?;
    expect(&mut client, "SET short v EX 1000", "OK")?;
    expect(&mut client, "SET long v EX 200000", "OK")?;
    expect(&mut client, "SET stays v", "OK")?;
    let began = seconds(&mut client)?;
    let mut crew = Crew::new(setting.seed);
    let (jumped, met) = crew.write(&mut server, |server| {
        let jumped = jumps(&mut client, &offset, began);
        kill(server)?;
        jumped
    })?;
    ensure(
        met.iter().all(|met| *met == Met::Gone),
        format!("a writer met {met:?}"),
    )?;
    let said = server.output().join("\n");
    ensure(!said.contains("error") && !said.contains("panic"), said)?;
    let mut server = open(setting, &dir, &["--sync", "interval"])?;
    let mut client = server.client()?;
    let until = clock::now() - PATIENCE;
    let tally = crew.verify(&mut client, Some(until))?;
    expect(&mut client, "GET stays", "v")?;
    expect(&mut client, "GET short", "nil")?;
    kill(&mut server)?;
    say(format_args!(
        "{jumped}; {} changes acknowledged meanwhile, nobody was told anything but OK",
        tally.acked
    ))
}

/// The server's wall clock.
fn seconds(client: &mut Client) -> io::Result<i64> {
    expect(client, "SET now v EXAT 99999999999", "OK")?;
    let left: i64 = ask(client, "TTL now")?.parse().map_err(io::Error::other)?;
    Ok(99_999_999_999 - left)
}

fn jumps(client: &mut Client, offset: &str, began: i64) -> io::Result<String> {
    let jump = |to: i64, client: &mut Client| {
        fs::write(offset, format!("{to:+}"))?;
        eventually("the jump", PATIENCE, || {
            Ok((seconds(client)? - began - to).abs() < 60)
        })?;
        clock::pass(AFTER);
        io::Result::Ok(())
    };
    clock::pass(AFTER);
    expect(client, "GET short", "v")?;
    jump(DAY, client)?;
    expect(client, "GET short", "nil")?;
    expect(client, "GET long", "v")?;
    let later: i64 = ask(client, "TTL long")?.parse().map_err(io::Error::other)?;
    jump(-DAY, client)?;
    expect(client, "GET short", "nil")?;
    expect(client, "GET long", "v")?;
    let earlier: i64 = ask(client, "TTL long")?.parse().map_err(io::Error::other)?;
    ensure(
        (earlier - later - 2 * DAY).abs() < 60,
        format!("TTL was {later} a day ahead and {earlier} a day back"),
    )?;
    Ok(format!(
        "a key of 1,000 s went at +1 day; TTL {later} at +1 day, {earlier} at -1 day"
    ))
}
