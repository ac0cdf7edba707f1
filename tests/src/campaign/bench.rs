//! What the scenarios share: servers, requests, commands, and words.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use shardkeep_resp::Value;

use crate::clock::{self, PATIENCE};
use crate::harness::{Client, Launch, ServerProcess, Signal, run_to_end};

use super::Setting;

/// Says what is going on.
pub(super) fn say(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout(), "  {text}")
}

/// An error unless `holds`.
pub(super) fn ensure(holds: bool, otherwise: impl Display) -> io::Result<()> {
    if holds {
        Ok(())
    } else {
        Err(io::Error::other(otherwise.to_string()))
    }
}

/// Runs `command` to its good end.
pub(super) fn run(command: &[&str]) -> io::Result<()> {
    let (status, said) = run_to_end(Path::new(command[0]), &command[1..], &[], PATIENCE)?;
    ensure(status.success(), format!("{command:?}: {status}: {said}"))
}

/// The server on `dir`, with the flags that follow.
pub(super) fn open(setting: &Setting, dir: &Path, flags: &[&str]) -> io::Result<ServerProcess> {
    let dir = dir.to_string_lossy();
    let flags = [&["--dir", &dir], flags].concat();
    ServerProcess::start(&setting.program, Launch::Shardkeep, &flags)
}

/// Kills `server`.
pub(super) fn kill(server: &mut ServerProcess) -> io::Result<()> {
    server.signal(Signal::KILL)?;
    server.wait(PATIENCE)?;
    Ok(())
}

/// What `line` is answered, as text: nil is `nil`, errors begin with `-`.
pub(super) fn ask(client: &mut Client, line: &str) -> io::Result<String> {
    let args: Vec<&str> = line.split(' ').collect();
    Ok(match client.call(&args)? {
        Value::Integer(number) => number.to_string(),
        Value::Error(text) => format!("-{}", String::from_utf8_lossy(&text)),
        other => match other.bytes() {
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => "nil".to_owned(),
        },
    })
}

/// An error unless `line` is answered by what begins with `expected`.
pub(super) fn expect(client: &mut Client, line: &str, expected: &str) -> io::Result<()> {
    let reply = ask(client, line)?;
    let shown: String = line.chars().take(40).collect();
    ensure(
        reply.starts_with(expected),
        format!("{shown} was answered {reply:?} instead of {expected:?}"),
    )
}

/// The field `name` of `INFO persistence`.
pub(super) fn info(client: &mut Client, name: &str) -> io::Result<String> {
    let text = ask(client, "INFO persistence")?;
    let field = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    field
        .map(|value| value.trim().to_owned())
        .ok_or_else(|| io::Error::other(format!("no {name} in {text}")))
}

/// Waits until `met`, asking again and again, for `within` at most.
pub(super) fn eventually(
    what: &str,
    within: Duration,
    mut met: impl FnMut() -> io::Result<bool>,
) -> io::Result<()> {
    let deadline = clock::now() + within;
    while !met()? {
        ensure(
            clock::left(deadline).is_some(),
            format!("{what}: not within {within:?}"),
        )?;
        clock::pass(Duration::from_millis(5));
    }
    Ok(())
}

/// The names in `dir`, with how long each file is.
pub(super) fn names(dir: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let bytes = entry.metadata()?.len();
        names.push((entry.file_name().to_string_lossy().into_owned(), bytes));
    }
    names.sort();
    Ok(names)
}
