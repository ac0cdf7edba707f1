//! The metrics in the text format of Prometheus.
//!
//! One table, [`FAMILIES`], names them all; the README of this crate documents the same table, and a test
//! holds the two against each other.
//!
//! 1. A family appears whole, once, with its help and its type, in the order of the table.
//! 2. Base units: seconds and bytes. A counter ends in `_total`.
//! 3. Labels have few values: the commands that there are, the shards, and words of ours. Never a key, a
//!    client or an address.

mod families;

use std::fmt::{Display, Write as _};

use shardkeep::engine::histogram::Distribution;

use super::seen::Seen;
use crate::latency::{BOUNDS, Latencies};
use families::FAMILIES;

pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Bounds of sizes: the last is 16,384, more than the log's queue or a usual round holds.
const SIZE_BOUNDS: u32 = 15;

/// What the figures of a family are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric, with all its labels.
struct Family {
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    collect: fn(&Seen<'_>, &mut Samples<'_>),
}

/// The samples of one family, on their way into the text.
struct Samples<'t> {
    family: &'static Family,
    text: &'t mut String,
}

impl Samples<'_> {
    /// A sample without labels.
    fn one(&mut self, value: impl Display) {
        self.sample("", &[], "", value);
    }

    /// A sample with the values of all labels.
    fn with(&mut self, labels: &[&str], value: impl Display) {
        self.sample("", labels, "", value);
    }

    fn histogram(&mut self, labels: &[&str], latencies: &Latencies) {
        for power in BOUNDS {
            // Exact in binary, and written as short as it can be.
            let bound = (1_u64 << power) as f64 / 1e6;
            let bound = format!("le=\"{bound}\"");
            self.sample("_bucket", labels, &bound, latencies.below(power));
        }
        self.sample("_bucket", labels, "le=\"+Inf\"", latencies.count());
        self.sample("_sum", labels, "", latencies.seconds());
        self.sample("_count", labels, "", latencies.count());
    }

    /// A distribution of times, in microseconds.
    fn times(&mut self, labels: &[&str], times: &Distribution) {
        self.distribution(labels, times, 1e6, BOUNDS.end() + 1);
    }

    /// A distribution of sizes.
    fn sizes(&mut self, labels: &[&str], sizes: &Distribution) {
        self.distribution(labels, sizes, 1.0, SIZE_BOUNDS);
    }

    /// With as many bounds as given, of which each is that many times its unit.
    fn distribution(&mut self, labels: &[&str], seen: &Distribution, unit: f64, bounds: u32) {
        for power in 0..bounds {
            let bound = format!("le=\"{}\"", (1_u64 << power) as f64 / unit);
            self.sample("_bucket", labels, &bound, seen.at_most(power));
        }
        self.sample("_bucket", labels, "le=\"+Inf\"", seen.count());
        self.sample("_sum", labels, "", seen.sum() as f64 / unit);
        self.sample("_count", labels, "", seen.count());
    }

    fn sample(&mut self, suffix: &str, values: &[&str], last: &str, value: impl Display) {
        let Family { name, labels, .. } = self.family;
        debug_assert_eq!(labels.len(), values.len(), "{name}");
        self.text.push_str(name);
        self.text.push_str(suffix);
        let pairs = labels.iter().zip(values);
        let mut pairs: Vec<String> = pairs
            .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
            .collect();
        if !last.is_empty() {
            pairs.push(last.to_owned());
        }
        if !pairs.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(self.text, "{{{}}}", pairs.join(","));
        }
        let _ = writeln!(self.text, " {value}");
    }
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// All metrics.
pub(super) fn text(seen: &Seen<'_>) -> String {
    let mut text = String::new();
    for family in FAMILIES {
        let begins = text.len();
        let Family {
            name, kind, help, ..
        } = family;
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.word());
        let head = text.len();
        let mut samples = Samples {
            family,
            text: &mut text,
        };
        (family.collect)(seen, &mut samples);
        if text.len() == head {
            // Nothing of the kind here: no log, or no command yet.
            text.truncate(begins);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of the README's table of metrics: name, kind, labels, help.
    fn documented() -> Vec<[String; 4]> {
        let readme = include_str!("../../../README.md");
        let rows = readme
            .lines()
            .filter(|line| line.starts_with("| `shardkeep_"));
        rows.map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(|cell| cell.trim());
            let mut next = || cells.next().unwrap_or_default().replace('`', "");
            [next(), next(), next(), next()]
        })
        .collect()
    }

    #[test]
    fn the_readme_documents_every_metric_and_no_other() {
        let rows = FAMILIES.iter().map(|family| {
            [
                family.name.to_owned(),
                family.kind.word().to_owned(),
                family.labels.join(", "),
                family.help.to_owned(),
            ]
        });
        let rows: Vec<_> = rows.collect();
        let table: Vec<String> = rows
            .iter()
            .map(|[name, kind, labels, help]| {
                let labels = labels.split(", ").filter(|label| !label.is_empty());
                let labels: Vec<String> = labels.map(|label| format!("`{label}`")).collect();
                format!("| `{name}` | {kind} | {} | {help} |", labels.join(", "))
            })
            .collect();
        assert!(
            documented() == rows,
            "the table should be:\n{}",
            table.join("\n")
        );
    }

    /// Every name of ours in a text, without what Prometheus adds to that of a histogram.
    fn named(text: &str) -> impl Iterator<Item = &str> {
        let starts = text.match_indices("shardkeep_").map(|(at, _)| &text[at..]);
        starts.map(|rest| {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
            let base =
                (["_bucket", "_sum", "_count"].iter()).find_map(|suffix| name.strip_suffix(suffix));
            let is_histogram = |base: &&str| {
                let mut families = FAMILIES.iter();
                families.any(|family| family.name == *base && family.kind == Kind::Histogram)
            };
            base.filter(is_histogram).unwrap_or(name)
        })
    }

    #[test]
    fn dashboard_and_alerts_ask_for_metrics_that_there_are() {
        let dashboard = include_str!("../../../deploy/grafana-dashboard.json");
        let rules = include_str!("../../../deploy/prometheus-rules.yml");
        for text in [dashboard, rules] {
            assert!(named(text).count() > 10);
            for name in named(text) {
                let is_known = FAMILIES.iter().any(|family| family.name == name);
                assert!(is_known, "{name}");
            }
        }
    }

    #[test]
    fn names_follow_the_rules() {
        for (at, family) in FAMILIES.iter().enumerate() {
            let Family {
                name, kind, help, ..
            } = family;
            assert!(name.starts_with("shardkeep_"), "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(
                !help.is_empty() && !help.contains(['|', '`', '\n', '\\']),
                "{name}"
            );
            let twice = FAMILIES[..at].iter().any(|other| other.name == *name);
            assert!(!twice, "{name}");
        }
    }

    #[test]
    fn a_label_value_cannot_break_out_of_its_line() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
