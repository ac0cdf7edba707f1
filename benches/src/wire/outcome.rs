//! What the windows of one server at one point add up to: a line of the table, and of the JSON.

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

use super::generator::{Pace, Window};
use super::plan::{self, Axis, Point};
use super::saturation::Saturated;
use crate::distribution::Curve;
use crate::figures::{LatencyNs, LatencyUs, Spread, latency_histogram};
use crate::keys::Distribution;
use crate::server::ServerName;

/// Bytes of a megabyte, as memory is sold and as the tables say.
const MB: f64 = 1e6;

/// The windows of one server so far.
pub(super) struct Shown {
    name: ServerName,
    rounds: Vec<Round>,
    pub(super) latencies: Histogram<u64>,
    /// How late the generator was, of an open loop.
    pub(super) lateness: Histogram<u64>,
    wrong: u64,
    unanswered: u64,
}

/// One window, divided by its operations.
#[derive(Clone, Copy, Debug, Serialize)]
struct Round {
    ops_per_s: f64,
    user_us_per_op: f64,
    sys_us_per_op: f64,
    generator_us_per_op: f64,
    p999_us: f64,
    generator_rest: Option<f64>,
    saturated: Option<Saturated>,
}

/// What was asked of a server.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Asked {
    connections: usize,
    pipeline: usize,
    mode: &'static str,
    rate: Option<u64>,
    protocol: &'static str,
    distribution: Distribution,
    axis: Axis,
    #[serde(flatten)]
    setting: Setting,
}

/// What is the same for all points of a run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Setting {
    pub(super) keys: u64,
    pub(super) key_bytes: usize,
    pub(super) value_bytes: usize,
    pub(super) reads_per_write: u32,
    pub(super) generator_threads: usize,
    pub(super) pinned: bool,
    pub(super) window_s: f64,
    pub(super) warm_up_s: f64,
}

impl Asked {
    /// The point as this server is asked it.
    pub(super) fn of(point: &Point, name: ServerName, setting: Setting) -> Self {
        Self {
            connections: point.connections,
            pipeline: point.pipeline,
            mode: plan::mode(point.pace),
            rate: match point.pace {
                Pace::Closed => None,
                Pace::Open(offered) => Some(offered.rate),
            },
            protocol: name.protocol(point.resp).label(),
            distribution: point.distribution,
            axis: point.axis,
            setting: Setting {
                // A server that stores nothing answers reads only.
                reads_per_write: if name.stores() {
                    setting.reads_per_write
                } else {
                    0
                },
                generator_threads: setting.generator_threads.min(point.connections),
                ..setting
            },
        }
    }
}

/// One server at one point.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) server: &'static str,
    version: String,
    #[serde(flatten)]
    pub(super) asked: Asked,
    pub(super) ops_per_s: f64,
    pub(super) ops_per_s_min: f64,
    pub(super) ops_per_s_max: f64,
    #[serde(flatten)]
    pub(super) latency: LatencyUs,
    percentile_curve_ns: Curve,
    pub(super) cpu_us_per_op: f64,
    pub(super) user_us_per_op: f64,
    pub(super) sys_us_per_op: f64,
    pub(super) generator_us_per_op: f64,
    pub(super) rss_mb: f64,
    pub(super) errors: u64,
    #[serde(flatten)]
    pub(super) schedule: Kept,
    rounds: Vec<Round>,
    /// Whether its rate is the scale of the swept rates.
    #[serde(skip)]
    pub(super) is_scale: bool,
}

/// How the schedule of an open loop was kept; nothing of a closed one.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Kept {
    pub(super) saturated: Option<Saturated>,
    pub(super) unanswered: Option<u64>,
    pub(super) late_p50_us: Option<f64>,
    pub(super) late_p99_us: Option<f64>,
    pub(super) late_max_us: Option<f64>,
    /// Median of the rounds.
    pub(super) generator_rest: Option<f64>,
}

impl Asked {
    /// Offered operations per second of an open loop.
    pub(super) const fn rate(&self) -> Option<u64> {
        self.rate
    }
}

impl Shown {
    /// Before the first round.
    pub(super) fn nothing_yet(name: ServerName) -> Result<Self> {
        Ok(Self {
            name,
            rounds: Vec::new(),
            latencies: latency_histogram()?,
            lateness: latency_histogram()?,
            wrong: 0,
            unanswered: 0,
        })
    }

    /// Whose they are.
    pub(super) const fn name(&self) -> ServerName {
        self.name
    }

    /// Adds a round.
    pub(super) fn add(&mut self, window: Window) {
        let ops = window.ops.max(1) as f64;
        let schedule = window.schedule.as_ref();
        self.rounds.push(Round {
            ops_per_s: window.ops as f64 / window.elapsed.as_secs_f64(),
            user_us_per_op: window.server_cpu.user_us / ops,
            sys_us_per_op: window.server_cpu.system_us / ops,
            generator_us_per_op: window.own_cpu.total_us() / ops,
            p999_us: LatencyUs::from(LatencyNs::of(&window.latencies)).p999_us,
            generator_rest: schedule.map(|schedule| schedule.rest),
            saturated: schedule.and_then(|schedule| schedule.saturated),
        });
        self.latencies += window.latencies;
        self.wrong += window.wrong;
        if let Some(schedule) = window.schedule {
            self.lateness += schedule.lateness;
            self.unanswered += schedule.unanswered;
        }
    }

    fn kept(&self, pace: Option<u64>) -> Kept {
        if pace.is_none() {
            return Kept::default();
        }
        let late = LatencyUs::from(LatencyNs::of(&self.lateness));
        let rest = self.rounds.iter().filter_map(|round| round.generator_rest);
        Kept {
            saturated: self.saturated(),
            unanswered: Some(self.unanswered),
            late_p50_us: Some(late.p50_us),
            late_p99_us: Some(late.p99_us),
            late_max_us: Some(late.max_us),
            generator_rest: Some(Spread::of(rest).median),
        }
    }

    /// Who could not follow in most of the rounds. If the rounds differ about who it was, it was the
    /// generator: nothing is said about a server that is not sure.
    fn saturated(&self) -> Option<Saturated> {
        let found = || self.rounds.iter().filter_map(|round| round.saturated);
        if 2 * found().count() <= self.rounds.len() {
            return None;
        }
        let generator = found().any(|who| who == Saturated::Generator);
        Some(if generator {
            Saturated::Generator
        } else {
            Saturated::Server
        })
    }
}

impl Outcome {
    /// Medians of all rounds; percentiles of all replies.
    pub(super) fn of(shown: Shown, version: &str, asked: Asked, rss_bytes: u64) -> Self {
        let spread = |figure: fn(&Round) -> f64| Spread::of(shown.rounds.iter().map(figure));
        let ops = spread(|round| round.ops_per_s);
        Self {
            server: shown.name.label(),
            version: version.to_owned(),
            asked,
            ops_per_s: ops.median,
            ops_per_s_min: ops.min,
            ops_per_s_max: ops.max,
            latency: LatencyNs::of(&shown.latencies).into(),
            percentile_curve_ns: Curve::of(&shown.latencies),
            cpu_us_per_op: spread(|round| round.user_us_per_op + round.sys_us_per_op).median,
            user_us_per_op: spread(|round| round.user_us_per_op).median,
            sys_us_per_op: spread(|round| round.sys_us_per_op).median,
            generator_us_per_op: spread(|round| round.generator_us_per_op).median,
            rss_mb: rss_bytes as f64 / MB,
            errors: shown.wrong,
            schedule: shown.kept(asked.rate),
            rounds: shown.rounds,
            is_scale: false,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::super::arrivals::{Offered, Spacing};
    use super::super::generator::Schedule;
    use super::super::plan::Plan;
    use super::*;
    use crate::figures::record;
    use crate::server::process::CpuTime;

    fn window(ops: u64, cpu_us: f64, schedule: Option<Schedule>) -> Window {
        let cpu = CpuTime {
            user_us: cpu_us / 4.0,
            system_us: cpu_us * 3.0 / 4.0,
        };
        let mut latencies = latency_histogram().unwrap();
        record(&mut latencies, Duration::from_micros(7), ops);
        Window {
            ops,
            elapsed: Duration::from_secs(2),
            server_cpu: cpu,
            own_cpu: cpu,
            latencies,
            wrong: 3,
            schedule,
        }
    }

    fn asked(name: ServerName, pace: Pace) -> Asked {
        let setting = Setting {
            keys: 1_000,
            key_bytes: 14,
            value_bytes: 64,
            reads_per_write: 10,
            generator_threads: 2,
            pinned: false,
            window_s: 2.0,
            warm_up_s: 0.5,
        };
        let point = Point {
            pace,
            ..Plan::bars().points[1]
        };
        Asked::of(&point, name, setting)
    }

    pub(in super::super) fn closed(name: ServerName, ops: u64, cpu_us: f64) -> Outcome {
        let mut shown = Shown::nothing_yet(name).unwrap();
        shown.add(window(ops, cpu_us, None));
        Outcome::of(shown, "1.2.3", asked(name, Pace::Closed), 125_000_000)
    }

    pub(in super::super) fn open(verdicts: &[Option<Saturated>]) -> Outcome {
        let mut shown = Shown::nothing_yet(ServerName::Redis).unwrap();
        for &saturated in verdicts {
            let mut lateness = latency_histogram().unwrap();
            record(&mut lateness, Duration::from_micros(30), 100);
            let schedule = Schedule {
                lateness,
                unanswered: 4,
                rest: 0.5,
                saturated,
            };
            shown.add(window(2_000, 4_000.0, Some(schedule)));
        }
        let offered = Offered {
            rate: 1_000,
            spacing: Spacing::Poisson,
        };
        let asked = asked(ServerName::Redis, Pace::Open(offered));
        Outcome::of(shown, "1.2.3", asked, 125_000_000)
    }

    #[test]
    fn figures_are_per_second_and_per_operation() {
        let json = serde_json::to_value(closed(ServerName::Redis, 2_000, 4_000.0)).unwrap();
        let cases = [
            ("ops_per_s", 1_000.0),
            ("cpu_us_per_op", 2.0),
            ("user_us_per_op", 0.5),
            ("sys_us_per_op", 1.5),
            ("rss_mb", 125.0),
            ("errors", 3.0),
            ("connections", 50.0),
            ("pipeline", 16.0),
            ("value_bytes", 64.0),
            ("samples", 2_000.0),
        ];
        for (field, expected) in cases {
            assert_eq!(json[field].as_f64(), Some(expected), "{field}");
        }
        for field in [
            "p50_us", "p90_us", "p99_us", "p999_us", "p9999_us", "max_us",
        ] {
            assert!(json[field].is_number(), "{field}");
        }
        let texts = [
            ("server", "redis"),
            ("mode", "closed"),
            ("protocol", "resp2"),
            ("distribution", "uniform"),
            ("axis", "base"),
        ];
        for (field, expected) in texts {
            assert_eq!(json[field], expected, "{field}");
        }
        for field in ["rate", "saturated", "late_p99_us"] {
            assert!(json[field].is_null(), "{field}");
        }
        assert!(json["percentile_curve_ns"].is_array());
    }

    #[test]
    fn an_open_loop_says_what_it_offered_and_how_it_kept_it() {
        let json = serde_json::to_value(open(&[Some(Saturated::Server)])).unwrap();
        assert_eq!(json["mode"], "open-poisson");
        assert_eq!(json["rate"], 1_000);
        assert_eq!(json["saturated"], "server");
        assert_eq!(json["unanswered"], 4);
        assert_eq!(json["late_p99_us"].as_f64().unwrap().round(), 30.0);
    }

    #[test]
    fn most_rounds_decide_and_doubt_is_for_the_server() {
        use Saturated::{Generator, Server};
        let cases: [(&[Option<Saturated>], Option<Saturated>); 5] = [
            (&[None, None, Some(Server)], None),
            (&[None, Some(Server)], None),
            (&[None, Some(Server), Some(Server)], Some(Server)),
            (&[Some(Generator), Some(Server), None], Some(Generator)),
            (&[Some(Generator); 3], Some(Generator)),
        ];
        for (verdicts, expected) in cases {
            assert_eq!(open(verdicts).schedule.saturated, expected, "{verdicts:?}");
        }
    }

    #[test]
    fn a_server_without_a_store_is_only_read() {
        let json = serde_json::to_value(closed(ServerName::Echo, 2_000, 4_000.0)).unwrap();
        assert_eq!(json["reads_per_write"], 0);
        assert_eq!(json["protocol"], "echo");
    }
}
