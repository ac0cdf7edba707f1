//! Rows along one axis, all else equal: as lines, with what they say.
//!
//! 1. Rows of one sweep come from one file and agree in everything but the axis, the name and the
//!    name's own settings (shards, window).
//! 2. Where a place was measured more than once, the sweep's own row counts, then the base's.

pub(super) use self::figures::{Question, Spacing, panel, share_scale, spelled};
use super::draw::lines::SERIES_MAX;
use super::names::{self, Role};
use super::verdict::{self, Range, Standing};

mod figures;

/// A row that can stand in a sweep.
pub(super) trait Measured {
    /// Engine or server.
    fn name(&self) -> &str;

    /// The sweep it was measured for.
    fn axis(&self) -> Option<&str>;

    /// Operations per second.
    fn rate(&self) -> Range;

    /// Whether it did what the others did; what did less is shown, but is nobody's rival.
    fn did_the_same(&self) -> bool {
        true
    }
}

/// The rows of one name, with the same settings.
#[derive(Debug)]
pub(super) struct Line<'r, R> {
    pub(super) name: &'r str,
    settings: Vec<String>,
    /// Name, and the settings that tell it from others of the name.
    pub(super) label: String,
    /// How many lines of the same name come before.
    pub(super) variant: usize,
    pub(super) points: Vec<(f64, &'r R)>,
}

/// Lines that share a place.
#[derive(Debug)]
pub(super) struct Sweep<'r, R> {
    /// All that its rows have in common, in words.
    pub(super) place: Vec<String>,
    pub(super) lines: Vec<Line<'r, R>>,
}

/// All sweeps along `axis`: rows with an `x` grouped by their `place`, which is said without the
/// axis. If no row was measured for this axis, rows that happen to lie along it do.
///
/// `settings` are the name's own, in words, each in its place; those that differ between rows of one
/// name are told.
pub(super) fn sweeps<'r, R: Measured>(
    rows: &[&'r R],
    axis: &str,
    x: impl Fn(&R) -> Option<f64>,
    place: impl Fn(&R) -> Vec<String>,
    settings: impl Fn(&R) -> Vec<String>,
) -> Vec<Sweep<'r, R>> {
    let mut candidates: Vec<(f64, &'r R)> = rows
        .iter()
        .filter_map(|&row| Some((x(row)?, row)))
        .collect();
    let own = |row: &R| row.axis() == Some(axis);
    let any_own = candidates.iter().any(|(_, row)| own(row));
    // A stable sort: rows measured for this axis first, then the base's, then the rest.
    candidates.sort_by_key(|(_, row)| match row.axis() {
        Some(of) if of == axis => 0,
        Some("base") => 1,
        _ => 2,
    });
    let mut sweeps: Vec<Sweep<'r, R>> = Vec::new();
    for (at, row) in candidates {
        let (here, settings) = (place(row), settings(row));
        if let Some(sweep) = sweeps.iter_mut().find(|sweep| sweep.place == here) {
            add(&mut sweep.lines, at, row, settings);
        } else if own(row) || !any_own {
            let mut lines = Vec::new();
            add(&mut lines, at, row, settings);
            sweeps.push(Sweep { place: here, lines });
        }
    }
    for sweep in &mut sweeps {
        if any_own {
            // What only the base has, with settings that were not swept, is no line.
            sweep
                .lines
                .retain(|line| line.points.iter().any(|point| own(point.1)));
        }
        label(&mut sweep.lines);
    }
    // Somebody must have been measured at two values at least.
    sweeps.retain(|sweep| sweep.lines.iter().any(|line| line.points.len() > 1));
    sweeps
}

fn add<'r, R: Measured>(lines: &mut Vec<Line<'r, R>>, at: f64, row: &'r R, settings: Vec<String>) {
    let same = lines
        .iter_mut()
        .find(|line| line.name == row.name() && line.settings == settings);
    match same {
        Some(line) if line.points.iter().any(|point| point.0 == at) => {}
        Some(line) => {
            let index = line.points.partition_point(|point| point.0 < at);
            line.points.insert(index, (at, row));
        }
        None => lines.push(Line {
            name: row.name(),
            settings,
            label: String::new(),
            variant: 0,
            points: vec![(at, row)],
        }),
    }
}

/// Gives every line a label that no other has, as short as it can be.
fn label<R>(lines: &mut [Line<'_, R>]) {
    let all: Vec<(&str, Vec<String>)> = lines
        .iter()
        .map(|line| (line.name, line.settings.clone()))
        .collect();
    for (index, line) in lines.iter_mut().enumerate() {
        let same: Vec<&Vec<String>> = all
            .iter()
            .filter(|other| other.0 == line.name)
            .map(|other| &other.1)
            .collect();
        let telling = line.settings.iter().enumerate().filter(|(place, setting)| {
            same.iter().any(|other| other.get(*place) != Some(*setting)) && !setting.is_empty()
        });
        line.label = std::iter::once(line.name)
            .chain(telling.map(|(_, setting)| setting.as_str()))
            .collect::<Vec<_>>()
            .join(" ");
        line.variant = all[..index]
            .iter()
            .filter(|other| other.0 == line.name)
            .count();
    }
}

impl<R: Measured> Sweep<'_, R> {
    /// Every value of the axis that was measured, rising.
    pub(super) fn values(&self) -> Vec<f64> {
        let mut values: Vec<f64> = self
            .lines
            .iter()
            .flat_map(|line| line.points.iter().map(|point| point.0))
            .collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        values
    }

    /// Leaves out lines of a single point, where others are longer, and those beyond what can be
    /// told apart; ours is never one of them. Returns a note if lines were left out.
    pub(super) fn shorten(&mut self) -> Option<String> {
        let single = |line: &Line<'_, R>| line.points.len() < 2;
        if self.lines.iter().any(|line| !single(line)) {
            self.lines.retain(|line| !single(line));
        }
        self.lines
            .sort_by_key(|line| names::role(line.name) != Role::Ours);
        if self.lines.len() <= SERIES_MAX {
            return None;
        }
        let left_out: Vec<String> = self
            .lines
            .drain(SERIES_MAX..)
            .map(|line| line.label)
            .collect();
        Some(format!(
            "Not drawn, since more than {SERIES_MAX} lines cannot be told apart: {}.",
            verdict::listed(&left_out)
        ))
    }

    /// How ours stands at every value.
    pub(super) fn standings(&self, phrase: impl Fn(f64) -> String) -> Vec<(String, Standing)> {
        let at = |line: &Line<'_, R>, value: f64| {
            let point = line.points.iter().find(|point| point.0 == value)?;
            point.1.did_the_same().then(|| point.1.rate())
        };
        let mut found = Vec::new();
        for value in self.values() {
            let ours = self
                .lines
                .iter()
                .filter(|line| names::role(line.name) == Role::Ours)
                .find_map(|line| at(line, value));
            let rivals = self
                .lines
                .iter()
                .filter(|line| names::role(line.name) == Role::Rival)
                .filter_map(|line| Some((line.label.as_str(), at(line, value)?)));
            if let Some(standing) = ours.and_then(|ours| verdict::standing(ours, rivals)) {
                found.push((phrase(value), standing));
            }
        }
        found
    }

    /// The name of ours in this sweep, for its sentences.
    pub(super) fn ours(&self) -> Option<&str> {
        self.lines
            .iter()
            .map(|line| line.name)
            .find(|name| names::role(name) == Role::Ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Probe {
        name: &'static str,
        axis: Option<&'static str>,
        x: f64,
        place: u32,
        shards: u32,
        ops: f64,
    }

    impl Measured for Probe {
        fn name(&self) -> &str {
            self.name
        }

        fn axis(&self) -> Option<&str> {
            self.axis
        }

        fn rate(&self) -> Range {
            Range {
                median: self.ops,
                min: self.ops,
                max: self.ops,
            }
        }
    }

    fn probe(name: &'static str, axis: Option<&'static str>, x: f64, ops: f64) -> Probe {
        Probe {
            name,
            axis,
            x,
            place: 0,
            shards: 1,
            ops,
        }
    }

    fn along(rows: &[Probe]) -> Vec<Sweep<'_, Probe>> {
        let rows: Vec<&Probe> = rows.iter().collect();
        sweeps(
            &rows,
            "threads",
            |row| Some(row.x),
            |row| vec![row.place.to_string()],
            |row| vec![format!("{} shards", row.shards)],
        )
    }

    #[test]
    fn the_base_completes_a_sweep_and_does_not_overrule_it() {
        let rows = [
            probe("a", Some("base"), 2.0, 20.0),
            probe("a", Some("base"), 1.0, 99.0),
            probe("a", Some("threads"), 4.0, 40.0),
            probe("a", Some("threads"), 1.0, 10.0),
        ];
        let found = along(&rows);
        assert_eq!(found.len(), 1);
        let points: Vec<(f64, f64)> = found[0].lines[0]
            .points
            .iter()
            .map(|(x, row)| (*x, row.ops))
            .collect();
        assert_eq!(points, [(1.0, 10.0), (2.0, 20.0), (4.0, 40.0)]);
    }

    #[test]
    fn places_are_not_mixed_and_one_value_is_no_sweep() {
        let mut rows = vec![
            probe("a", Some("threads"), 1.0, 1.0),
            probe("a", Some("threads"), 2.0, 1.0),
            probe("a", Some("threads"), 4.0, 1.0),
        ];
        rows[2].place = 7;
        let found = along(&rows);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].values(), [1.0, 2.0]);
    }

    #[test]
    fn names_with_one_value_each_are_no_sweep() {
        let rows = [probe("a", None, 1.0, 1.0), probe("b", None, 8.0, 2.0)];
        assert!(along(&rows).is_empty());
    }

    #[test]
    fn results_without_axes_are_swept_by_their_values() {
        let rows = [probe("a", None, 1.0, 1.0), probe("a", None, 8.0, 2.0)];
        assert_eq!(along(&rows)[0].values(), [1.0, 8.0]);
    }

    #[test]
    fn settings_are_told_only_where_they_differ() {
        let mut rows = vec![
            probe("a", None, 1.0, 1.0),
            probe("a", None, 1.0, 2.0),
            probe("b", None, 1.0, 1.0),
            probe("b", None, 2.0, 1.0),
        ];
        rows[1].shards = 8;
        let found = along(&rows);
        let labels: Vec<(&str, usize)> = found[0]
            .lines
            .iter()
            .map(|line| (line.label.as_str(), line.variant))
            .collect();
        assert_eq!(labels, [("a 1 shards", 0), ("a 8 shards", 1), ("b", 0)]);
    }

    #[test]
    fn lines_beyond_what_can_be_told_apart_are_named_and_ours_stays() {
        let mut rows = Vec::new();
        for shards in 0..12 {
            for x in [1.0, 2.0] {
                let mut row = probe("rival", None, x, 1.0);
                row.shards = shards;
                rows.push(row);
            }
        }
        rows.extend([1.0, 2.0].map(|x| probe("owners-lend", None, x, 1.0)));
        let mut found = along(&rows);
        let note = found[0].shorten().unwrap();
        assert!(note.ends_with(": rival 11 shards."), "{note}");
        assert_eq!(found[0].lines.len(), SERIES_MAX);
        assert_eq!(found[0].ours(), Some("owners-lend"));
    }

    #[test]
    fn siblings_and_floors_are_nobodys_rivals() {
        let rows = [
            probe("owners-lend", None, 1.0, 10.0),
            probe("owners-lend", None, 2.0, 10.0),
            probe("owners-mail", None, 1.0, 99.0),
            probe("echo", None, 1.0, 99.0),
            probe("dashmap", None, 1.0, 5.0),
        ];
        let found = along(&rows)[0].standings(|x| format!("at {x}"));
        let lead = Standing::Leads("dashmap".to_owned(), 2.0);
        assert_eq!(found, [("at 1".to_owned(), lead)]);
    }
}
