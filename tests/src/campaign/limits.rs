//! Limits of the system: open files, and memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use crate::clock::PATIENCE;
use crate::harness::{Scratch, ServerProcess, open_files};

use super::Setting;
use super::bench::{ask, ensure, eventually, expect, kill, open, run, say};

/// Bytes of one value.
const VALUE_BYTES: usize = 1 << 20;

/// Values that go beyond the first segment (64 MiB).
const VALUES: usize = 70;

/// Within what service resumes.
const RESUMED: Duration = Duration::from_secs(5);

pub(super) fn files(setting: &Setting) -> io::Result<()> {
    let scratch = Scratch::new()?;
    let dir = scratch.path().join("store");
    let flags = ["--sync", "always", "--deadline", "10s"];
    let mut server = open(setting, &dir, &flags)?;
    let mut client = server.client()?;
    expect(&mut client, "SET small v", "OK")?;
    let pid = server.pid().to_string();
    let limit = open_files(server.pid())?;
    run(&["prlimit", "--pid", &pid, &format!("--nofile={limit}:")])?;
    let value = "v".repeat(VALUE_BYTES);
    let mut acked = Vec::new();
    let mut told = String::new();
    for number in 0..VALUES {
        let reply = ask(&mut client, &format!("SET {number} {value}"))?;
        if reply == "OK" {
            acked.push(number);
        } else if told.is_empty() {
            told = reply;
        }
    }
    ensure(!told.is_empty(), "all was taken without a new segment")?;
    let is_honest = ["-MISCONF there is no space", "-LOST "]
        .iter()
        .any(|it| told.starts_with(it));
    ensure(is_honest, &told)?;
    expect(&mut client, "SET more v", "-MISCONF there is no space")?;
    expect(&mut client, "GET small", "v")?;
    run(&["prlimit", "--pid", &pid, "--nofile=1024:"])?;
    eventually("service", RESUMED, || {
        Ok(ask(&mut client, "SET more v")? == "OK")
    })?;
    kill(&mut server)?;
    let mut server = open(setting, &dir, &flags)?;
    let mut client = server.client()?;
    for number in &acked {
        expect(
            &mut client,
            &format!("STRLEN {number}"),
            &VALUE_BYTES.to_string(),
        )?;
    }
    expect(&mut client, "GET more", "v")?;
    kill(&mut server)?;
    say(format_args!(
        "after {} MiB no segment could be begun ({told:.60}), reads went on, with more files it resumed; all \
         acknowledged values are there after a kill",
        acked.len()
    ))
}

/// MiB that the kernel lets the server have.
const MEMORY_MIB: u64 = 96;

/// A memory cgroup, removed when the value goes.
struct Group {
    path: PathBuf,
}

impl Group {
    fn new() -> io::Result<Self> {
        let name = format!("shardkeep-campaign-{}", process::id());
        let (old, new) = (
            Path::new("/sys/fs/cgroup/memory"),
            Path::new("/sys/fs/cgroup"),
        );
        let (above, limit) = if old.exists() {
            (old, "memory.limit_in_bytes")
        } else {
            (new, "memory.max")
        };
        let path = above.join(name);
        fs::create_dir(&path)?;
        let group = Self { path };
        fs::write(group.path.join(limit), (MEMORY_MIB << 20).to_string())?;
        Ok(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Not empty: a process of it still ends. An empty group costs nothing.
        drop(fs::remove_dir(&self.path));
    }
}

pub(super) fn memory(setting: &Setting) -> io::Result<()> {
    let (scratch, group) = (Scratch::new()?, Group::new()?);
    let dir = scratch.path().join("store");
    let text = dir.to_string_lossy();
    let enter = format!(
        "echo $$ > {}/cgroup.procs && exec \"$@\"",
        group.path.display()
    );
    let flags = ["--dir", &text, "--sync", "always", "--deadline", "10s"];
    let mut server =
        ServerProcess::start_by(&["sh", "-c", &enter, "sh"], &setting.program, &flags)?;
    let mut client = server.client()?;
    let value = "v".repeat(VALUE_BYTES);
    let mut acked = 0;
    // Twice the limit: it cannot hold them.
    while acked < 2 * MEMORY_MIB {
        match ask(&mut client, &format!("SET {acked} {value}")) {
            Ok(reply) if reply == "OK" => acked += 1,
            Ok(reply) => return Err(io::Error::other(reply)),
            Err(_) => break,
        }
    }
    let status = server.wait(PATIENCE)?;
    ensure(
        status.to_string().contains("signal: 9"),
        format!("after {acked} MiB under a limit of {MEMORY_MIB} the server ended by {status}"),
    )?;
    let mut server = open(setting, &dir, &["--sync", "always"])?;
    let mut client = server.client()?;
    for number in 0..acked {
        expect(
            &mut client,
            &format!("STRLEN {number}"),
            &VALUE_BYTES.to_string(),
        )?;
    }
    let keys: u64 = ask(&mut client, "DBSIZE")?
        .parse()
        .map_err(io::Error::other)?;
    ensure(
        keys <= acked + 1,
        format!("{keys} keys, {acked} acknowledged"),
    )?;
    kill(&mut server)?;
    say(format_args!(
        "the kernel killed it after {acked} acknowledged MiB (limit {MEMORY_MIB}); after the next start all \
         of them are there"
    ))
}
