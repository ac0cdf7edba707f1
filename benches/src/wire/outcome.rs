//! What the windows of one server at one point add up to: a line of the table, and of the JSON.

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::generator::Window;
use crate::figures::{LatencyNs, LatencyUs, Spread, latency_histogram};
use crate::server::ServerName;
use crate::table::{Table, optional, thousands};

/// Bytes of a megabyte, as memory is sold and as the tables say.
const MB: f64 = 1e6;

/// The windows of one server so far.
pub(super) struct Shown {
    name: ServerName,
    rounds: Vec<Round>,
    latencies: Histogram<u64>,
    wrong: u64,
}

/// One window, divided by its operations.
#[derive(Clone, Copy, Debug, Serialize)]
struct Round {
    ops_per_s: f64,
    user_us_per_op: f64,
    sys_us_per_op: f64,
    generator_us_per_op: f64,
    p999_us: f64,
}

/// What was asked of a server.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Point {
    pub(super) connections: usize,
    pub(super) pipeline: usize,
    pub(super) mode: &'static str,
    pub(super) keys: u64,
    pub(super) key_bytes: usize,
    pub(super) value_bytes: usize,
    pub(super) reads_per_write: u32,
    pub(super) generator_threads: usize,
    pub(super) pinned: bool,
    pub(super) window_s: f64,
}

/// One server at one point.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    server: &'static str,
    version: String,
    #[serde(flatten)]
    point: Point,
    ops_per_s: f64,
    ops_per_s_min: f64,
    ops_per_s_max: f64,
    #[serde(flatten)]
    latency: LatencyUs,
    cpu_us_per_op: f64,
    user_us_per_op: f64,
    sys_us_per_op: f64,
    generator_us_per_op: f64,
    rss_mb: f64,
    errors: u64,
    rounds: Vec<Round>,
}

impl Shown {
    /// Before the first round.
    pub(super) fn nothing_yet(name: ServerName) -> Result<Self> {
        Ok(Self {
            name,
            rounds: Vec::new(),
            latencies: latency_histogram()?,
            wrong: 0,
        })
    }

    /// Adds a round.
    pub(super) fn add(&mut self, window: Window) {
        let ops = window.ops.max(1) as f64;
        self.rounds.push(Round {
            ops_per_s: window.ops as f64 / window.elapsed.as_secs_f64(),
            user_us_per_op: window.server_cpu.user_us / ops,
            sys_us_per_op: window.server_cpu.system_us / ops,
            generator_us_per_op: window.own_cpu.total_us() / ops,
            p999_us: LatencyUs::from(LatencyNs::of(&window.latencies)).p999_us,
        });
        self.latencies += window.latencies;
        self.wrong += window.wrong;
    }
}

impl Outcome {
    /// Medians of all rounds; percentiles of all replies.
    pub(super) fn of(shown: Shown, version: &str, point: Point, rss_bytes: u64) -> Self {
        let spread = |figure: fn(&Round) -> f64| Spread::of(shown.rounds.iter().map(figure));
        let ops = spread(|round| round.ops_per_s);
        Self {
            server: shown.name.label(),
            version: version.to_owned(),
            point,
            ops_per_s: ops.median,
            ops_per_s_min: ops.min,
            ops_per_s_max: ops.max,
            latency: LatencyNs::of(&shown.latencies).into(),
            cpu_us_per_op: spread(|round| round.user_us_per_op + round.sys_us_per_op).median,
            user_us_per_op: spread(|round| round.user_us_per_op).median,
            sys_us_per_op: spread(|round| round.sys_us_per_op).median,
            generator_us_per_op: spread(|round| round.generator_us_per_op).median,
            rss_mb: rss_bytes as f64 / MB,
            errors: shown.wrong,
            rounds: shown.rounds,
        }
    }
}

/// The servers of one point beside each other.
pub(super) fn table(outcomes: &[Outcome]) -> Table {
    let find = |name: ServerName| {
        outcomes
            .iter()
            .find(|outcome| outcome.server == name.label())
    };
    let (redis, echo) = (find(ServerName::Redis), find(ServerName::Echo));
    let mut table = Table::new([
        "server",
        "kop/s",
        "min",
        "max",
        "p50 ms",
        "p90",
        "p99",
        "p99.9",
        "p99.99",
        "max ms",
        "cpu us",
        "user",
        "sys",
        "gen us",
        "RSS MB",
        "wrong",
        "ops x redis",
        "cpu x redis",
        "cpu x echo",
    ]);
    for outcome in outcomes {
        let millis = |micros: f64| format!("{:.3}", micros / 1_000.0);
        let ratio = |other: Option<&Outcome>, figure: fn(&Outcome) -> f64| {
            optional(other.map(|other| figure(outcome) / figure(other)), 2)
        };
        let latency = &outcome.latency;
        table.row([
            outcome.server.to_owned(),
            thousands(outcome.ops_per_s),
            thousands(outcome.ops_per_s_min),
            thousands(outcome.ops_per_s_max),
            millis(latency.p50_us),
            millis(latency.p90_us),
            millis(latency.p99_us),
            millis(latency.p999_us),
            millis(latency.p9999_us),
            millis(latency.max_us),
            format!("{:.3}", outcome.cpu_us_per_op),
            format!("{:.3}", outcome.user_us_per_op),
            format!("{:.3}", outcome.sys_us_per_op),
            format!("{:.3}", outcome.generator_us_per_op),
            format!("{:.1}", outcome.rss_mb),
            outcome.errors.to_string(),
            ratio(redis, |outcome| outcome.ops_per_s),
            ratio(redis, |outcome| outcome.cpu_us_per_op),
            ratio(echo, |outcome| outcome.cpu_us_per_op),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::server::process::CpuTime;

    fn outcome(name: ServerName, ops: u64, cpu_us: f64) -> Outcome {
        let cpu = CpuTime {
            user_us: cpu_us / 4.0,
            system_us: cpu_us * 3.0 / 4.0,
        };
        let mut shown = Shown::nothing_yet(name).unwrap();
        shown.add(Window {
            ops,
            elapsed: Duration::from_secs(2),
            server_cpu: cpu,
            own_cpu: cpu,
            latencies: latency_histogram().unwrap(),
            wrong: 3,
        });
        let point = Point {
            connections: 50,
            pipeline: 16,
            mode: "closed",
            keys: 1_000,
            key_bytes: 14,
            value_bytes: 64,
            reads_per_write: 10,
            generator_threads: 2,
            pinned: false,
            window_s: 2.0,
        };
        Outcome::of(shown, "1.2.3", point, 125_000_000)
    }

    #[test]
    fn figures_are_per_second_and_per_operation() {
        let json = serde_json::to_value(outcome(ServerName::Redis, 2_000, 4_000.0)).unwrap();
        let cases = [
            ("ops_per_s", 1_000.0),
            ("cpu_us_per_op", 2.0),
            ("user_us_per_op", 0.5),
            ("sys_us_per_op", 1.5),
            ("rss_mb", 125.0),
            ("errors", 3.0),
            ("pipeline", 16.0),
        ];
        for (field, expected) in cases {
            assert_eq!(json[field].as_f64(), Some(expected), "{field}");
        }
        for field in [
            "p50_us", "p90_us", "p99_us", "p999_us", "p9999_us", "max_us",
        ] {
            assert!(json[field].is_number(), "{field}");
        }
        assert_eq!(
            (&json["server"], &json["mode"]),
            (&"redis".into(), &"closed".into())
        );
    }

    #[test]
    fn ratios_are_against_the_server_of_the_heading() {
        let outcomes = [
            outcome(ServerName::Shardkeep, 3_000, 3_000.0),
            outcome(ServerName::Redis, 2_000, 4_000.0),
            outcome(ServerName::Echo, 4_000, 2_000.0),
        ];
        let text = table(&outcomes).text();
        let ours: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(ours[ours.len() - 3..], ["1.50", "0.50", "2.00"]);
        let alone = table(&outcomes[..1]).text();
        assert!(
            alone
                .lines()
                .nth(1)
                .unwrap()
                .ends_with("-            -           -"),
            "{alone}"
        );
    }
}
