//! The servers of one point beside each other, for people.

use super::outcome::Outcome;
use super::saturation::Saturated;
use crate::server::ServerName;
use crate::table::{Table, optional, thousands};

/// The table that fits the point: a closed loop compares what servers can do, an open one whether
/// and how fast they did what was offered.
pub(super) fn table(outcomes: &[Outcome]) -> Table {
    match outcomes.first().map(|outcome| outcome.asked.rate()) {
        Some(Some(_rate)) => open(outcomes),
        Some(None) | None => closed(outcomes),
    }
}

fn millis(micros: f64) -> String {
    format!("{:.3}", micros / 1_000.0)
}

/// Operations and latencies, which both tables have.
fn common(outcome: &Outcome) -> Vec<String> {
    let latency = &outcome.latency;
    vec![
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
    ]
}

fn closed(outcomes: &[Outcome]) -> Table {
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
        let ratio = |other: Option<&Outcome>, figure: fn(&Outcome) -> f64| {
            let ratio = other.map(|other| figure(outcome) / figure(other));
            optional(ratio.filter(|ratio| ratio.is_finite()), 2)
        };
        let mut cells = vec![outcome.server.to_owned()];
        cells.extend(common(outcome));
        cells.extend([
            format!("{:.3}", outcome.user_us_per_op),
            format!("{:.3}", outcome.sys_us_per_op),
            format!("{:.3}", outcome.generator_us_per_op),
            format!("{:.1}", outcome.rss_mb),
            outcome.errors.to_string(),
            ratio(redis, |outcome| outcome.ops_per_s),
            ratio(redis, |outcome| outcome.cpu_us_per_op),
            ratio(echo, |outcome| outcome.cpu_us_per_op),
        ]);
        table.row(cells);
    }
    table
}

fn open(outcomes: &[Outcome]) -> Table {
    let mut table = Table::new([
        "server",
        "offered",
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
        "gen us",
        "rest %",
        "late p50 ms",
        "late p99",
        "late max",
        "wrong",
        "unanswered",
        "saturated",
    ]);
    for outcome in outcomes {
        let kept = &outcome.schedule;
        let late = |micros: Option<f64>| micros.map_or_else(|| "-".to_owned(), millis);
        let mut cells = vec![
            outcome.server.to_owned(),
            thousands(outcome.asked.rate().unwrap_or(0) as f64),
        ];
        cells.extend(common(outcome));
        cells.extend([
            format!("{:.3}", outcome.generator_us_per_op),
            optional(kept.generator_rest.map(|share| share * 100.0), 0),
            late(kept.late_p50_us),
            late(kept.late_p99_us),
            late(kept.late_max_us),
            outcome.errors.to_string(),
            kept.unanswered.unwrap_or(0).to_string(),
            kept.saturated.map_or("no", Saturated::label).to_owned(),
        ]);
        table.row(cells);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests as outcome;
    use super::*;

    fn cells(text: &str, line: usize) -> Vec<&str> {
        text.lines().nth(line).unwrap().split_whitespace().collect()
    }

    #[test]
    fn ratios_are_against_the_server_of_the_heading() {
        let outcomes = [
            outcome::closed(ServerName::Shardkeep, 3_000, 3_000.0),
            outcome::closed(ServerName::Redis, 2_000, 4_000.0),
            outcome::closed(ServerName::Echo, 4_000, 2_000.0),
        ];
        let text = table(&outcomes).text();
        let ours = cells(&text, 1);
        assert_eq!(ours[ours.len() - 3..], ["1.50", "0.50", "2.00"]);
        let alone = table(&outcomes[..1]).text();
        assert_eq!(cells(&alone, 1)[16..], ["-", "-", "-"]);
    }

    #[test]
    fn an_open_loop_says_whether_it_was_followed() {
        let text = table(&[
            outcome::open(&[None]),
            outcome::open(&[Some(Saturated::Generator)]),
        ])
        .text();
        assert!(text.contains("saturated"), "{text}");
        assert_eq!(cells(&text, 1)[1], "1.0");
        assert_eq!(cells(&text, 1).last(), Some(&"no"));
        assert_eq!(cells(&text, 2).last(), Some(&"generator"));
    }
}
