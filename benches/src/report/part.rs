//! What one file shows: sentences, tables, figures, and what is missing.

use std::collections::BTreeMap;

use super::figure::{Data, Figure};
use super::number::grouped;
use super::verdict::Sentence;

/// A table of one point.
#[derive(Debug)]
pub(super) struct PointTable {
    pub(super) title: String,
    pub(super) data: Data,
}

/// Everything that one file shows.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) tally: Vec<Sentence>,
    pub(super) tables: Vec<PointTable>,
    pub(super) figures: Vec<Figure>,
    /// Values that were wrong: such figures prove nothing.
    pub(super) warnings: Vec<Sentence>,
    /// Figures for which the results have no rows.
    pub(super) left_out: Vec<&'static str>,
}

impl Part {
    /// Adds figures, or remembers that there are none of `what`.
    pub(super) fn add(&mut self, what: &'static str, figures: Vec<Figure>) {
        if figures.is_empty() {
            self.left_out.push(what);
        }
        self.figures.extend(figures);
    }

    /// Warns of every name that gave wrong values.
    pub(super) fn warn<'r>(&mut self, counts: impl IntoIterator<Item = (&'r str, u64)>) {
        let mut wrong: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            *wrong.entry(name).or_default() += count;
        }
        let warnings = wrong.into_iter().map(|(name, count)| {
            Sentence::plain(
                "wrong",
                format!(
                    "{name} gave {} wrong replies: its figures prove nothing",
                    grouped(count)
                ),
            )
        });
        self.warnings.extend(warnings);
    }
}
