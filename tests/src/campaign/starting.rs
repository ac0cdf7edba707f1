//! Starts that must not succeed, and must not change anything.

use std::fs;
use std::io;
use std::path::Path;

use crate::clock::PATIENCE;
use crate::harness::{Scratch, run_to_end};

use super::Setting;
use super::bench::{ensure, expect, kill, names, open, run, say};

/// Keys of the store.
const KEYS: usize = 1_000;

/// Bytes of each value: a snapshot and a log of them are read in more than one piece.
const VALUE_BYTES: usize = 4_096;

/// A store with a snapshot and a log behind it.
fn store(setting: &Setting, dir: &Path) -> io::Result<()> {
    let mut server = open(setting, dir, &["--sync", "always"])?;
    let mut client = server.client()?;
    let value = "v".repeat(VALUE_BYTES);
    for number in 0..KEYS {
        if number == KEYS / 2 {
            expect(&mut client, "SAVE", "OK")?;
        }
        expect(&mut client, &format!("SET {number} {value}"), "OK")?;
    }
    kill(&mut server)
}

/// An error unless the store is whole.
fn is_whole(setting: &Setting, dir: &Path) -> io::Result<()> {
    let mut server = open(setting, dir, &["--sync", "always"])?;
    expect(&mut server.client()?, "DBSIZE", &KEYS.to_string())?;
    kill(&mut server)
}

/// Starts the server by `wrapper`, which must fail, name `culprit` and leave everything as it is.
fn is_refused(
    setting: &Setting,
    dir: &Path,
    wrapper: &[&str],
    culprit: &str,
) -> io::Result<String> {
    let before = names(dir)?;
    let (program, dir_text) = (setting.program.to_string_lossy(), dir.to_string_lossy());
    let command = [
        wrapper,
        &[
            &program,
            "serve",
            "--bind",
            "127.0.0.1:0",
            "--dir",
            &dir_text,
        ],
    ]
    .concat();
    let (status, said) = run_to_end(Path::new(command[0]), &command[1..], &[], PATIENCE)?;
    ensure(
        status.code() == Some(1) && !said.contains("ready:") && said.contains(culprit),
        format!("instead of a refusal that names {culprit}: {status}: {said}"),
    )?;
    let after = names(dir)?;
    ensure(
        before == after,
        format!("a refused start made {after:?} of {before:?}"),
    )?;
    let line = said
        .lines()
        .find(|line| line.contains(culprit))
        .unwrap_or_default();
    Ok(line.to_owned())
}

pub(super) fn read_error(setting: &Setting) -> io::Result<()> {
    let scratch = Scratch::new()?;
    let dir = scratch.path().join("store");
    store(setting, &dir)?;
    for (name, bytes) in names(&dir)? {
        if bytes == 0 {
            continue;
        }
        let path = dir.join(&name).to_string_lossy().into_owned();
        // The manifest is read at once, the others in pieces.
        let reads: &[u32] = if bytes < VALUE_BYTES as u64 {
            &[1]
        } else {
            &[1, 2, 3]
        };
        for number in reads {
            let inject = format!("inject=pread64:error=EIO:when={number}");
            let strace = ["strace", "-D", "-f", "-o", "/dev/null", "-P", &path];
            let strace = [&strace[..], &["-e", "trace=pread64", "-e", &inject]].concat();
            let refused = is_refused(setting, &dir, &strace, &name)?;
            say(format_args!("read {number}: {refused}"))?;
        }
    }
    is_whole(setting, &dir)?;
    say("without the errors everything is there")
}

pub(super) fn read_only(setting: &Setting) -> io::Result<()> {
    let scratch = Scratch::new()?;
    let dir = scratch.path().join("store");
    store(setting, &dir)?;
    let text = dir.to_string_lossy();
    run(&["mount", "--bind", &text, &text])?;
    let refused = run(&["mount", "-o", "remount,bind,ro", &text])
        .and_then(|()| is_refused(setting, &dir, &[], &text));
    run(&["umount", "-l", &text])?;
    say(refused?)?;
    is_whole(setting, &dir)?;
    // A place where nothing can be made at all.
    let sealed = scratch.path().join("sealed");
    fs::create_dir(&sealed)?;
    let text = sealed.to_string_lossy();
    run(&["mount", "--bind", &text, &text])?;
    let refused = run(&["mount", "-o", "remount,bind,ro", &text])
        .and_then(|()| is_refused(setting, &sealed, &[], &text));
    run(&["umount", "-l", &text])?;
    say(refused?)
}

pub(super) fn second(setting: &Setting) -> io::Result<()> {
    let scratch = Scratch::new()?;
    let dir = scratch.path().join("store");
    store(setting, &dir)?;
    let mut server = open(setting, &dir, &["--sync", "always"])?;
    let mut client = server.client()?;
    for _ in 0..10 {
        is_refused(setting, &dir, &[], "in use by another process")?;
        expect(&mut client, "SET 0 value", "OK")?;
    }
    kill(&mut server)?;
    is_whole(setting, &dir)?;
    say("ten others were refused, the first served on, everything is there")
}
