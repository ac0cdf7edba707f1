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

/// The points of the base, or all single points where nothing was measured as a base.
pub(super) fn tables(rows: &[&MapRow]) -> Vec<PointTable> {
    let of = |wanted: fn(Option<&str>) -> bool| {
        rows.iter()
            .copied()
            .filter(|row| wanted(row.axis()))
            .collect::<Vec<_>>()
    };
    let single = of(|axis| matches!(axis, None | Some("base" | "point")));
    places(&single, parts)
        .into_iter()
        .map(|place| {
            let here: Vec<&MapRow> = single
                .iter()
                .copied()
                .filter(|row| parts(row) == place)
                .collect();
            point_table(&place, here)
        })
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

/// Latency by percentile, for each point.
pub(super) fn percentiles(rows: &[&MapRow]) -> Vec<Figure> {
    let base: Vec<&MapRow> = rows
        .iter()
        .copied()
        .filter(|row| matches!(row.axis(), None | Some("base" | "point")))
        .collect();
    let mut figures = Vec::new();
    for place in places(&base, parts) {
        let here = base.iter().filter(|row| parts(row) == place);
        let all: Vec<Latencies<'_>> = labelled(here.copied().collect());
        figures.extend(latency::figure(
            "How long does one call take, from the usual to the worst?",
            place.join(", "),
            &all,
        ));
    }
    figures
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
