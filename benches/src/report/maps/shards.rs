//! What the number of shards does to ours, with the best of the others as a level.

use super::{MapRow, mixed, parts_without, swept};
use crate::report::draw::lines::{Joined, Mark, Point, Series};
use crate::report::figure::Figure;
use crate::report::names::{self, Role};
use crate::report::number::short;
use crate::report::sweep::{Measured as _, Question, Spacing, Sweep};
use crate::report::verdict::{self, RATE, Sentence, Standing};

const SHARDS: Question = Question {
    axis: "shards",
    title: "Into how many shards should ours be divided?",
    x_title: "shards",
    spacing: Spacing::Logarithmic,
    tick: short,
    phrase: |value| match value {
        1.0 => "with 1 shard".to_owned(),
        _ => format!("with {value} shards"),
    },
};

/// Ours by its number of shards, and the best of the others as a level.
pub(super) fn figures(rows: &[&MapRow]) -> Vec<Figure> {
    let ours = |row: &MapRow| {
        let ours = matches!(names::role(&row.engine), Role::Ours | Role::Sibling);
        row.shards.filter(|_| ours && row.axis() != Some("window"))
    };
    let others: Vec<&MapRow> = mixed(rows)
        .into_iter()
        .filter(|row| names::role(&row.engine) == Role::Rival && row.did_the_same())
        .collect();
    swept(rows, "shards", |row| ours(row).map(|shards| shards as f64))
        .into_iter()
        .map(|mut sweep| {
            let here: Vec<&MapRow> = others
                .iter()
                .copied()
                .filter(|row| parts_without(row, "shards") == sweep.place)
                .collect();
            let best = here
                .iter()
                .max_by(|one, other| one.ops_per_s.total_cmp(&other.ops_per_s));
            let ends = sweep.values();
            let subtitle = sweep.place.join(", ");
            let mut figure = sweep.throughput(&SHARDS, subtitle, |divisor| {
                best.map(|row| level(row, divisor, &ends))
                    .into_iter()
                    .collect()
            });
            if best.is_some() {
                figure.notes.push(
                    "The level line: the best of the others at this point, as it is by default."
                        .to_owned(),
                );
            }
            figure.verdict = against(&sweep, &here);
            figure
        })
        .collect()
}

/// A rival's rate as a level from end to end.
fn level(row: &MapRow, divisor: f64, values: &[f64]) -> Series {
    let point = |x: f64| Point {
        x,
        y: row.ops_per_s / divisor,
        range: None,
        mark: Mark::None,
        tip: String::new(),
    };
    Series {
        name: row.engine.clone(),
        style: names::style(&row.engine, 0),
        joined: Joined::Reference,
        points: values.iter().copied().map(point).collect(),
    }
}

/// Ours at each number of shards against others that have theirs.
fn against(sweep: &Sweep<'_, MapRow>, others: &[&MapRow]) -> Vec<Sentence> {
    let Some(line) = sweep
        .lines
        .iter()
        .find(|line| names::role(line.name) == Role::Ours)
    else {
        return Vec::new();
    };
    let standings: Vec<(String, Standing)> = line
        .points
        .iter()
        .filter_map(|&(value, row)| {
            let rivals = others.iter().map(|other| (other.name(), other.rate()));
            let standing = verdict::standing(row.rate(), rivals)?;
            Some(((SHARDS.phrase)(value), standing))
        })
        .collect();
    verdict::sentences(line.name, RATE, &standings)
}
