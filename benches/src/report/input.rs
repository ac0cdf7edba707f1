//! The results of a directory: every `.json` file, read into rows and checked.
//!
//! 1. Nothing is guessed: a file that is not one of the known results, a field of the wrong type,
//!    a negative figure is an error that names file and field.
//! 2. What an older result lacks is `None`; the page then leaves out what needs it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub(super) use self::durable::{DurableLine, DurableRow, Spread};

mod durable;

/// Largest result file that is read: a full suite is some megabytes.
const FILE_BYTES_MAX: u64 = 256 * 1_024 * 1_024;

/// One file.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) file: String,
    pub(super) head: Head,
    pub(super) rows: Rows,
}

/// Where and how a file was made.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    pub(super) command: String,
    pub(super) arguments: Vec<String>,
    pub(super) seed: u64,
    pub(super) unix_seconds: u64,
    pub(super) machine: Machine,
    pub(super) versions: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) skipped: Vec<String>,
}

/// The machine of a file.
#[derive(Debug, Deserialize, PartialEq)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: u64,
    pub(super) memory_mb: u64,
    pub(super) kernel: String,
    #[serde(default)]
    pub(super) huge_pages: String,
}

/// What was measured, by command.
#[derive(Debug)]
pub(super) enum Rows {
    Maps(Vec<MapRow>),
    Servers(Vec<ServerRow>),
    Growth(Vec<GrowthRow>),
    Memory(Vec<MemoryRow>),
    Connections(Vec<ConnectionsRow>),
    Durable(Vec<DurableRow>),
}

/// Quantile and latency, rising in both.
pub(super) type Curve = Vec<(f64, f64)>;

/// A row of `embedded`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct MapRow {
    pub(super) engine: String,
    pub(super) threads: u64,
    pub(super) batch: u64,
    pub(super) keys: u64,
    pub(super) value_bytes: u64,
    pub(super) read_percent: u64,
    pub(super) distribution: String,
    pub(super) shards: Option<u64>,
    pub(super) window_us: Option<u64>,
    #[serde(default = "reads_and_writes")]
    pub(super) workload: String,
    pub(super) axis: Option<String>,
    pub(super) atomic: Option<bool>,
    pub(super) ops_per_s: f64,
    pub(super) ops_per_s_min: f64,
    pub(super) ops_per_s_max: f64,
    pub(super) p50_ns: Option<f64>,
    pub(super) p99_ns: Option<f64>,
    pub(super) p999_ns: Option<f64>,
    pub(super) max_ns: Option<f64>,
    #[serde(default)]
    pub(super) percentile_curve_ns: Curve,
    #[serde(default)]
    pub(super) wrong: u64,
}

/// How the load of `wire` comes.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Mode {
    Closed,
    OpenConstant,
    OpenPoisson,
}

/// Who could not keep the rate that was offered.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Saturated {
    Server,
    Generator,
}

/// A row of `wire`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ServerRow {
    pub(super) server: String,
    #[serde(default)]
    pub(super) version: String,
    pub(super) connections: u64,
    pub(super) pipeline: u64,
    pub(super) mode: Mode,
    pub(super) rate: Option<f64>,
    pub(super) protocol: Option<String>,
    #[serde(default = "uniform")]
    pub(super) distribution: String,
    pub(super) keys: u64,
    pub(super) value_bytes: u64,
    pub(super) reads_per_write: Option<u64>,
    pub(super) axis: Option<String>,
    pub(super) ops_per_s: f64,
    pub(super) ops_per_s_min: f64,
    pub(super) ops_per_s_max: f64,
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    pub(super) p999_us: Option<f64>,
    pub(super) max_us: Option<f64>,
    #[serde(default)]
    pub(super) percentile_curve_ns: Curve,
    pub(super) cpu_us_per_op: Option<f64>,
    pub(super) user_us_per_op: Option<f64>,
    pub(super) sys_us_per_op: Option<f64>,
    pub(super) generator_us_per_op: Option<f64>,
    pub(super) rss_mb: Option<f64>,
    #[serde(default)]
    pub(super) errors: u64,
    pub(super) saturated: Option<Saturated>,
}

/// A row of `growth`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct GrowthRow {
    pub(super) engine: String,
    pub(super) keys: u64,
    pub(super) runs: u64,
    pub(super) shards: Option<u64>,
    pub(super) inserts_per_s: f64,
    pub(super) p50_ns: Option<f64>,
    pub(super) p99_ns: Option<f64>,
    pub(super) p999_ns: Option<f64>,
    pub(super) p9999_ns: Option<f64>,
    pub(super) longest_ns: f64,
    pub(super) longest_at: u64,
    #[serde(default)]
    pub(super) longest_so_far: Vec<(f64, f64)>,
}

/// A row of `memory`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct MemoryRow {
    pub(super) server: String,
    #[serde(default)]
    pub(super) version: String,
    pub(super) keys: u64,
    pub(super) key_bytes: u64,
    pub(super) value_bytes: u64,
    pub(super) empty_bytes: u64,
    pub(super) loaded_bytes: u64,
    pub(super) bytes_per_key: f64,
}

/// A row of `connections`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ConnectionsRow {
    pub(super) server: String,
    #[serde(default)]
    pub(super) version: String,
    pub(super) idle: u64,
    pub(super) active: u64,
    pub(super) opened: u64,
    pub(super) alive: u64,
    pub(super) bytes_per_connection: f64,
    pub(super) ops_per_s: f64,
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    pub(super) p999_us: Option<f64>,
    #[serde(default)]
    pub(super) errors: u64,
}

fn reads_and_writes() -> String {
    "reads-and-writes".to_owned()
}

fn uniform() -> String {
    "uniform".to_owned()
}

/// What every kind of row can be checked for.
trait Row: DeserializeOwned {
    /// Figures that cannot be negative.
    fn amounts(&self) -> Vec<(&'static str, Option<f64>)>;

    /// What only this kind of row can get wrong.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

impl Row for MapRow {
    fn amounts(&self) -> Vec<(&'static str, Option<f64>)> {
        vec![
            ("ops_per_s", Some(self.ops_per_s)),
            ("ops_per_s_min", Some(self.ops_per_s_min)),
            ("ops_per_s_max", Some(self.ops_per_s_max)),
            ("p50_ns", self.p50_ns),
            ("p99_ns", self.p99_ns),
            ("p999_ns", self.p999_ns),
            ("max_ns", self.max_ns),
        ]
    }

    fn check(&self) -> Result<()> {
        let percent = self.read_percent;
        ensure!(percent <= 100, "read_percent: {percent} is more than 100");
        check_range(self.ops_per_s, self.ops_per_s_min, self.ops_per_s_max)?;
        check_curve(&self.percentile_curve_ns)
    }
}

impl Row for ServerRow {
    fn amounts(&self) -> Vec<(&'static str, Option<f64>)> {
        vec![
            ("ops_per_s", Some(self.ops_per_s)),
            ("ops_per_s_min", Some(self.ops_per_s_min)),
            ("ops_per_s_max", Some(self.ops_per_s_max)),
            ("rate", self.rate),
            ("p50_us", self.p50_us),
            ("p99_us", self.p99_us),
            ("p999_us", self.p999_us),
            ("max_us", self.max_us),
            ("cpu_us_per_op", self.cpu_us_per_op),
            ("user_us_per_op", self.user_us_per_op),
            ("sys_us_per_op", self.sys_us_per_op),
            ("generator_us_per_op", self.generator_us_per_op),
            ("rss_mb", self.rss_mb),
        ]
    }

    fn check(&self) -> Result<()> {
        if self.mode != Mode::Closed {
            ensure!(self.rate.is_some(), "rate: missing in an open loop");
        }
        check_range(self.ops_per_s, self.ops_per_s_min, self.ops_per_s_max)?;
        check_curve(&self.percentile_curve_ns)
    }
}

impl Row for GrowthRow {
    fn amounts(&self) -> Vec<(&'static str, Option<f64>)> {
        vec![
            ("inserts_per_s", Some(self.inserts_per_s)),
            ("p50_ns", self.p50_ns),
            ("p99_ns", self.p99_ns),
            ("p999_ns", self.p999_ns),
            ("p9999_ns", self.p9999_ns),
            ("longest_ns", Some(self.longest_ns)),
        ]
    }

    fn check(&self) -> Result<()> {
        let steps = &self.longest_so_far;
        ensure!(
            steps.iter().all(|step| step.0 >= 1.0 && step.1 >= 0.0)
                && steps.is_sorted_by(|one, next| one.0 <= next.0 && one.1 <= next.1),
            "longest_so_far: inserts and times must rise"
        );
        Ok(())
    }
}

impl Row for MemoryRow {
    fn amounts(&self) -> Vec<(&'static str, Option<f64>)> {
        vec![("bytes_per_key", Some(self.bytes_per_key))]
    }
}

impl Row for ConnectionsRow {
    fn amounts(&self) -> Vec<(&'static str, Option<f64>)> {
        vec![
            ("bytes_per_connection", Some(self.bytes_per_connection)),
            ("ops_per_s", Some(self.ops_per_s)),
            ("p50_us", self.p50_us),
            ("p99_us", self.p99_us),
            ("p999_us", self.p999_us),
        ]
    }
}

fn check_range(median: f64, min: f64, max: f64) -> Result<()> {
    ensure!(
        min <= median && median <= max,
        "ops_per_s: {median} is not between ops_per_s_min {min} and ops_per_s_max {max}"
    );
    Ok(())
}

fn check_curve(curve: &Curve) -> Result<()> {
    ensure!(
        curve
            .iter()
            .all(|&(quantile, nanos)| (0.0..=1.0).contains(&quantile) && nanos >= 0.0)
            && curve.is_sorted_by(|one, next| one.0 <= next.0 && one.1 <= next.1),
        "percentile_curve_ns: quantiles from 0 to 1 and latencies must rise"
    );
    Ok(())
}

/// Reads every result of `directory`, in the order of the file names.
///
/// # Errors
/// No results; a file that cannot be read, or is not a result of a known command.
pub(super) fn read(directory: &Path) -> Result<Vec<Run>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))? {
        let path = entry
            .with_context(|| format!("read {}", directory.display()))?
            .path();
        if path.extension() == Some(OsStr::new("json")) {
            paths.push(path);
        }
    }
    paths.sort();
    ensure!(
        !paths.is_empty(),
        "{}: no results (files whose names end in .json)",
        directory.display()
    );
    paths.iter().map(read_file).collect()
}

fn read_file(path: &PathBuf) -> Result<Run> {
    let read = || {
        let bytes = fs::metadata(path)?.len();
        ensure!(
            bytes <= FILE_BYTES_MAX,
            "{bytes} bytes, at most {FILE_BYTES_MAX} are read"
        );
        let file = path.file_name().unwrap_or(path.as_os_str());
        run(&file.to_string_lossy(), &fs::read_to_string(path)?)
    };
    read().with_context(|| path.display().to_string())
}

/// One file from its text.
///
/// # Errors
/// It is not a result of a known command.
pub(super) fn run(file: &str, text: &str) -> Result<Run> {
    let head: Head = parse(text)?;
    let rows = match head.command.as_str() {
        "embedded" => Rows::Maps(rows(text)?),
        "wire" => Rows::Servers(rows(text)?),
        "growth" => Rows::Growth(rows(text)?),
        "memory" => Rows::Memory(rows(text)?),
        "connections" => Rows::Connections(rows(text)?),
        "durable" => Rows::Durable(rows(text)?),
        other => bail!(
            "command: \"{}\" is none of embedded, wire, durable, growth, memory, \
             connections",
            other.escape_debug()
        ),
    };
    Ok(Run {
        file: file.to_owned(),
        head,
        rows,
    })
}

fn rows<R: Row>(text: &str) -> Result<Vec<R>> {
    #[derive(Deserialize)]
    struct Body<R> {
        results: Vec<R>,
    }
    let body: Body<R> = parse(text)?;
    for (index, row) in body.results.iter().enumerate() {
        let negative = row
            .amounts()
            .into_iter()
            .find(|(_, amount)| amount.is_some_and(|amount| amount < 0.0));
        if let Some((field, _)) = negative {
            bail!("results[{index}].{field}: is negative");
        }
        row.check()
            .map_err(|error| anyhow!("results[{index}].{error}"))?;
    }
    Ok(body.results)
}

/// Reads JSON; an error names the field.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| anyhow!("{}: {}", error.path(), error.inner()))?;
    reader.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::sample;
    use super::*;

    fn refusal(file: &Value) -> String {
        run("x.json", &file.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn results_of_every_command_are_read() {
        for file in sample::all() {
            let read = run("x.json", &file.to_string()).unwrap();
            assert_eq!(read.head.command, file["command"].as_str().unwrap());
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place() {
        let cases: [(&str, Value, &str); 7] = [
            (
                "ops_per_s",
                json!("fast"),
                "results[1].ops_per_s: invalid type: string \"fast\", expected f64",
            ),
            (
                "ops_per_s_min",
                json!(-1.0),
                "results[1].ops_per_s_min: is negative",
            ),
            ("ops_per_s_max", json!(0.5), "results[1].ops_per_s: "),
            ("p99_ns", json!([]), "results[1].p99_ns: invalid type"),
            (
                "read_percent",
                json!(101),
                "results[1].read_percent: 101 is more than 100",
            ),
            (
                "percentile_curve_ns",
                json!([[0.5, 9], [0.4, 10]]),
                "results[1].percentile_curve_ns: quantiles",
            ),
            ("engine", Value::Null, "results[1].engine: invalid type"),
        ];
        for (field, value, expected) in cases {
            let mut file = sample::embedded();
            file["results"][1][field] = value;
            let message = refusal(&file);
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn a_file_that_is_no_result_is_refused() {
        assert!(refusal(&json!({})).contains("missing field `command`"));
        assert!(refusal(&json!([1])).contains("invalid"));
        let mut file = sample::growth();
        file["command"] = json!("other");
        assert_eq!(
            refusal(&file),
            "command: \"other\" is none of embedded, wire, durable, growth, memory, connections"
        );
        assert!(run("x.json", "{").is_err());
        let twice = sample::growth().to_string() + "{}";
        assert!(run("x.json", &twice).is_err());
    }

    #[test]
    fn what_an_older_result_lacks_is_none() {
        let mut file = sample::embedded();
        for row in file["results"].as_array_mut().unwrap() {
            let row = row.as_object_mut().unwrap();
            for field in ["axis", "workload", "window_us", "percentile_curve_ns"] {
                row.remove(field);
            }
        }
        let read = run("x.json", &file.to_string()).unwrap();
        let Rows::Maps(rows) = read.rows else {
            panic!("rows of another command")
        };
        assert!(rows.iter().all(|row| row.axis.is_none()));
        assert!(rows.iter().all(|row| row.workload == "reads-and-writes"));
    }
}
