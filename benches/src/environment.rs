//! Where and of what a result was made: machine, kernel, versions, command line, seed.
//!
//! A figure without these cannot be compared with another.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{clock, distribution};

/// The lock file this binary was built from names the exact competitors.
const LOCK_FILE: &str = include_str!("../../Cargo.lock");
/// Packages whose version explains a figure.
const PACKAGES: [&str; 9] = [
    "ahash",
    "crossbeam-channel",
    "dashmap",
    "fjall",
    "hashbrown",
    "mio",
    "papaya",
    "parking_lot",
    "redb",
];

/// Options every measuring command has.
#[derive(Args, Clone, Debug)]
pub(crate) struct Common {
    /// Seed of every key sequence. The same seed asks the same questions in the same order
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Write every raw figure, with machine, kernel, versions and flags, to FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the whole latency distribution of every line of the tables into DIR, one file each in
    /// the text format of HdrHistogram (.hgrm, microseconds), which its plotters read
    #[arg(long, value_name = "DIR")]
    pub(crate) hgrm: Option<PathBuf>,
}

/// The machine and its kernel.
#[derive(Debug, Serialize)]
struct Machine {
    cpu: String,
    cores: usize,
    memory_mb: u64,
    kernel: String,
    huge_pages: String,
}

/// One run as written to `--json`.
#[derive(Debug, Serialize)]
struct Record<'a, R> {
    command: &'a str,
    arguments: Vec<String>,
    seed: u64,
    unix_seconds: u64,
    machine: Machine,
    versions: BTreeMap<&'static str, String>,
    /// What was asked for and not measured, and why.
    skipped: &'a [String],
    results: &'a [R],
}

impl Common {
    /// Writes the distribution of one line of a table, if a directory was given; `name` tells the line
    /// from all others of the run.
    ///
    /// # Errors
    /// The directory or the file cannot be written.
    pub(crate) fn save_distribution(&self, name: &str, histogram: &Histogram<u64>) -> Result<()> {
        let Some(directory) = &self.hgrm else {
            return Ok(());
        };
        fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
        let path = directory.join(format!("{name}.hgrm"));
        fs::write(&path, distribution::hgrm(histogram))
            .with_context(|| format!("write {}", path.display()))
    }

    /// Writes `results` to the JSON file, if one was asked for, and beside them the points that were
    /// `skipped`, each with its reason.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn save<R: Serialize>(
        &self,
        command: &str,
        results: &[R],
        skipped: &[String],
    ) -> Result<()> {
        let Some(path) = &self.json else {
            return Ok(());
        };
        let record = Record {
            command,
            arguments: std::env::args().skip(1).collect(),
            seed: self.seed,
            unix_seconds: clock::unix_seconds(),
            machine: machine(),
            versions: versions(LOCK_FILE),
            skipped,
            results,
        };
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        let mut writer = BufWriter::new(file);
        serde_json::to_writer_pretty(&mut writer, &record)
            .and_then(|()| writer.write_all(b"\n").map_err(serde_json::Error::io))
            .and_then(|()| writer.flush().map_err(serde_json::Error::io))
            .with_context(|| format!("write {}", path.display()))
    }
}

/// Cores this process may run on.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Memory that programs may still take without swapping, in bytes; no limit where the kernel does not
/// tell.
pub(crate) fn available_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    kibibytes(&text, "MemAvailable").map_or(u64::MAX, |kib| kib * 1_024)
}

/// One line for the head of a table.
pub(crate) fn describe() -> String {
    let machine = machine();
    format!(
        "{}, {} cores, Linux {}",
        machine.cpu, machine.cores, machine.kernel
    )
}

fn machine() -> Machine {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = |path: &str| fs::read_to_string(Path::new(path)).unwrap_or_default();
    Machine {
        cpu: field(&cpu, "model name").unwrap_or("unknown").to_owned(),
        cores: cpu
            .lines()
            .filter(|line| line.starts_with("processor"))
            .count(),
        memory_mb: kibibytes(&memory, "MemTotal").unwrap_or(0) / 1_024,
        kernel: line("/proc/sys/kernel/osrelease").trim().to_owned(),
        huge_pages: line("/sys/kernel/mm/transparent_hugepage/enabled")
            .trim()
            .to_owned(),
    }
}

/// The value of the first `name: value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value.trim())
    })
}

/// The value of a `name: 123 kB` line.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.split_whitespace().next()?.parse().ok()
}

fn versions(lock_file: &str) -> BTreeMap<&'static str, String> {
    let mut versions = BTreeMap::from([("shardkeep-bench", env!("CARGO_PKG_VERSION").to_owned())]);
    let quoted = |line: &str, key: &str| {
        line.strip_prefix(key)
            .and_then(|rest| rest.strip_prefix(" = \""))
            .and_then(|rest| rest.strip_suffix('"'))
            .map(str::to_owned)
    };
    let mut lines = lock_file.lines();
    while let Some(line) = lines.next() {
        let Some(name) = quoted(line, "name") else {
            continue;
        };
        let Some(&package) = PACKAGES.iter().find(|package| **package == name) else {
            continue;
        };
        if let Some(version) = lines.next().and_then(|line| quoted(line, "version")) {
            // A package may stand there twice; the newest comes last and is ours.
            versions.insert(package, version);
        }
    }
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        let text = "[[package]]\nname = \"ahash\"\nversion = \"0.8.12\"\n\n\
                    [[package]]\nname = \"other\"\nversion = \"9.9.9\"\n";
        let found = versions(text);
        assert_eq!(found.get("ahash").map(String::as_str), Some("0.8.12"));
        assert!(!found.contains_key("other"));
    }

    #[test]
    fn every_named_package_is_in_our_lock_file() {
        let found = versions(LOCK_FILE);
        for package in PACKAGES {
            assert!(found.contains_key(package), "{package}");
        }
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "MemTotalExtra: 1 kB\nMemTotal:   8031 kB\n";
        assert_eq!(field(text, "MemTotal"), Some("8031 kB"));
        assert_eq!(field(text, "Mem"), None);
        assert_eq!(kibibytes(text, "MemTotal"), Some(8_031));
        assert_eq!(kibibytes(text, "Mem"), None);
    }
}
