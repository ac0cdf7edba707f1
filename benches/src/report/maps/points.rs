//! Single points: a table of each, and how long a call took there.

use super::{MapRow, parts, settings, window};
use crate::report::figure::{Data, Figure};
use crate::report::latency::{self, Latencies};
use crate::report::names::{self, Role};
use crate::report::number::{grouped, significant, time};
use crate::report::part::PointTable;
use crate::report::sweep::Measured as _;
use crate::report::tally::places;
use crate::report::verdict;

/// The points that are told in full, each with its rows: the base, single points, and the base in
/// the largest batches that were swept.
fn told<'r>(rows: &[&'r MapRow]) -> Vec<(Vec<String>, Vec<&'r MapRow>)> {
    let largest = rows
        .iter()
        .filter(|row| row.axis() == Some("batch"))
        .map(|row| row.batch)
        .max();
    let single = |row: &&MapRow| matches!(row.axis(), None | Some("base" | "point"));
    let batch = |row: &&MapRow| row.axis() == Some("batch") && Some(row.batch) == largest;
    let mut told: Vec<(Vec<String>, Vec<&MapRow>)> = Vec::new();
    for wanted in [&single as &dyn Fn(&&'r MapRow) -> bool, &batch] {
        let some: Vec<&MapRow> = rows.iter().filter(|row| wanted(row)).copied().collect();
        for place in places(&some, parts) {
            if told.iter().all(|(other, _)| *other != place) {
                let here = some.iter().filter(|row| parts(row) == place);
                let here = here.copied().collect();
                told.push((place, here));
            }
        }
    }
    told
}

/// A table of each point that is told in full.
pub(super) fn tables(rows: &[&MapRow]) -> Vec<PointTable> {
    told(rows)
        .into_iter()
        .map(|(place, here)| point_table(&place, here))
        .collect()
}

fn point_table(place: &[String], mut rows: Vec<&MapRow>) -> PointTable {
    // The first of ours is the one with its default settings; so before sorting.
    let ours = rows
        .iter()
        .find(|row| names::role(&row.engine) == Role::Ours)
        .copied();
    rows.sort_by(|one, other| other.ops_per_s.total_cmp(&one.ops_per_s));
    let against = ours.map_or("against ours", |_| "against owners-lend");
    let mut data = Data::new([
        "engine",
        "shards",
        "window",
        "Mop/s",
        "slowest to fastest round",
        against,
        "p50",
        "p99",
        "p99.9",
        "max",
        "wrong",
    ]);
    for row in rows {
        let latency = |nanos: Option<f64>| nanos.map_or_else(|| "-".to_owned(), time);
        let mops = |ops: f64| significant(ops / 1e6);
        data.row(
            names::role(&row.engine) == Role::Ours,
            [
                row.engine.clone(),
                row.shards.map_or_else(|| "-".to_owned(), grouped),
                row.window_us
                    .map_or_else(|| "-".to_owned(), |micros| window(micros as f64)),
                mops(row.ops_per_s),
                format!("{} to {}", mops(row.ops_per_s_min), mops(row.ops_per_s_max)),
                verdict::against(row.rate(), ours.map(MapRow::rate)),
                latency(row.p50_ns),
                latency(row.p99_ns),
                latency(row.p999_ns),
                latency(row.max_ns),
                grouped(row.wrong),
            ],
        );
    }
    PointTable {
        title: place.join(", "),
        data,
    }
}

/// Latency by percentile, for each of them.
pub(super) fn percentiles(rows: &[&MapRow]) -> Vec<Figure> {
    const TITLE: &str = "How long does one call take, from the usual to the worst?";
    told(rows)
        .into_iter()
        .filter_map(|(place, here)| latency::figure(TITLE, place.join(", "), &labelled(here)))
        .collect()
}

/// Rows of one place under labels that tell them apart.
pub(super) fn labelled(rows: Vec<&MapRow>) -> Vec<Latencies<'_>> {
    let mut labels = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let same = |other: &&&MapRow| other.engine == row.engine;
        let variant = rows[..index].iter().filter(same).count();
        let mut label = row.engine.clone();
        if rows.iter().filter(same).count() > 1 {
            for (setting, own) in settings(row, "").iter().enumerate() {
                let differs = rows
                    .iter()
                    .filter(same)
                    .any(|other| settings(other, "")[setting] != *own);
                if differs && !own.is_empty() {
                    label = format!("{label} {own}");
                }
            }
        }
        labels.push((label, variant));
    }
    rows.into_iter()
        .zip(labels)
        .map(|(row, (label, variant))| Latencies {
            name: &row.engine,
            label,
            variant,
            curve: &row.percentile_curve_ns,
            figures: [row.p50_ns, row.p99_ns, row.p999_ns, row.max_ns],
        })
        .collect()
}
