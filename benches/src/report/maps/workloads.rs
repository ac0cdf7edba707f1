//! Workloads with a name: counter and transfer, and the mixes of YCSB.

use super::points::labelled;
use super::{MapRow, READS_AND_WRITES, parts, rate_bar};
use crate::report::figure::{Data, Drawing, Figure};
use crate::report::names::{self, Role};
use crate::report::number::{rate, time};
use crate::report::sweep::{Measured as _, panel, share_scale, spelled};
use crate::report::tally::{common, places};
use crate::report::verdict::{self, RATE};

/// Named workloads as bars: YCSB, or all others.
pub(super) fn figures(rows: &[&MapRow], ycsb: bool) -> Vec<Figure> {
    let named: Vec<&MapRow> = rows
        .iter()
        .copied()
        .filter(|row| row.workload != READS_AND_WRITES)
        .filter(|row| row.workload.starts_with("ycsb-") == ycsb)
        .collect();
    if named.is_empty() {
        return Vec::new();
    }
    let mut panels = Vec::new();
    let mut standings = Vec::new();
    let mut data = Data::new([
        "workload and engine",
        "op/s",
        "atomic",
        "p50",
        "p99",
        "p99.9",
    ]);
    let all = places(&named, parts);
    // The name comes first; what else the places share is said once.
    let shared = common(all.iter().map(Vec::as_slice));
    for place in &all {
        let here: Vec<&MapRow> = named
            .iter()
            .copied()
            .filter(|row| parts(row) == *place)
            .collect();
        let differing = place.iter().filter(|part| !shared.contains(part));
        let title = differing.cloned().collect::<Vec<_>>().join(", ");
        let mut bars = Vec::new();
        for one in labelled(here.clone()).into_iter().zip(&here) {
            let (latencies, row) = one;
            bars.push(rate_bar(&latencies.label, latencies.variant, row));
            let latency = |nanos: Option<f64>| nanos.map_or_else(|| "-".to_owned(), time);
            data.row(
                names::role(&row.engine) == Role::Ours,
                [
                    format!("{title}, {}", latencies.label),
                    spelled(row.rate(), rate),
                    row.atomic
                        .map_or("-", |atomic| if atomic { "yes" } else { "no" })
                        .to_owned(),
                    latency(row.p50_ns),
                    latency(row.p99_ns),
                    latency(row.p999_ns),
                ],
            );
        }
        let ours = here
            .iter()
            .find(|row| names::role(&row.engine) == Role::Ours);
        let rivals = here
            .iter()
            .filter(|row| names::role(&row.engine) == Role::Rival && row.did_the_same())
            .map(|row| (row.name(), row.rate()));
        if let Some(standing) = ours.and_then(|ours| verdict::standing(ours.rate(), rivals)) {
            standings.push((format!("at {title}"), standing));
        }
        panels.push(panel(title, bars));
    }
    share_scale(&mut panels);
    let ours = named
        .iter()
        .map(|row| row.name())
        .find(|name| names::role(name) == Role::Ours);
    vec![Figure {
        title: if ycsb {
            "What do mixes that others publish ask of it?"
        } else {
            "What if a read and a write must be one step?"
        }
        .to_owned(),
        subtitle: shared.join(", "),
        drawing: Drawing::Bars(panels),
        notes: if ycsb {
            vec![
                "YCSB by name: A half updates; B 5 % updates; C reads only; D reads of the latest, \
                 and 5 % inserts; F half read-modify-writes."
                    .to_owned(),
            ]
        } else {
            vec![
                "counter: read, add one, write. transfer: take from one key, give to another."
                    .to_owned(),
                "Hatched: not atomic. That engine cannot do it in one step; others may see it half \
                 done. It does less, so it is compared with nobody."
                    .to_owned(),
            ]
        },
        verdict: ours.map_or_else(Vec::new, |ours| verdict::sentences(ours, RATE, &standings)),
        data,
    }]
}
