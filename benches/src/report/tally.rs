//! All points of one file in two sentences: how often ours leads and loses, and its extremes.

use super::names::{self, Role};
use super::number::times;
use super::sweep::Measured;
use super::verdict::{Sentence, Standing, standing};

/// Counts over every place where ours and a rival were measured. `parts` says a place in words;
/// of it only what differs from the base is told.
pub(super) fn tally<'r, R: Measured>(
    rows: &[&'r R],
    parts: impl Fn(&R) -> Vec<String>,
) -> Vec<Sentence> {
    let base = rows
        .iter()
        .find(|row| row.axis() == Some("base"))
        .or(rows.first())
        .map(|row| parts(row))
        .unwrap_or_default();
    let mut ours_name = "";
    let (mut leads, mut level, mut loses) = (Vec::new(), 0_usize, Vec::new());
    for place in places(rows, &parts) {
        // Rows of one place that were measured for one sweep were measured side by side.
        let here = |row: &&&'r R| parts(row) == place;
        let axis = rows.iter().find(here).and_then(|row| row.axis());
        let side_by_side: Vec<&R> = rows
            .iter()
            .filter(|row| row.axis() == axis && row.did_the_same())
            .filter(here)
            .copied()
            .collect();
        let of = |role: Role| {
            side_by_side
                .iter()
                .filter(move |row| names::role(row.name()) == role)
        };
        let Some(ours) = of(Role::Ours).next() else {
            continue;
        };
        ours_name = rows
            .iter()
            .map(|row| row.name())
            .find(|name| *name == ours.name())
            .unwrap_or_default();
        let words = difference(&place, &base);
        let rivals = of(Role::Rival).map(|row| (row.name(), row.rate()));
        match standing(ours.rate(), rivals) {
            None => {}
            Some(Standing::Level(_)) => level += 1,
            Some(Standing::Leads(next, ratio)) => leads.push((ratio, next, words)),
            Some(Standing::Loses(ahead)) => {
                if let Some((name, ratio)) = ahead.into_iter().next() {
                    loses.push((ratio, name, words));
                }
            }
        }
    }
    let all = leads.len() + level + loses.len();
    if all == 0 {
        return Vec::new();
    }
    let mut sentences = vec![Sentence::plain(
        "level",
        format!(
            "Of {all} points compared, {ours_name} leads all others at {}, cannot be told from the \
             best at {level} (ranges overlap), and loses at {}",
            leads.len(),
            loses.len(),
        ),
    )];
    if let Some((ratio, name, words)) = largest(&loses) {
        sentences.push(Sentence::plain(
            "loses",
            format!(
                "Its worst point: {name} is ahead of {ours_name} by {} ({words})",
                times(*ratio)
            ),
        ));
    }
    if let Some((ratio, name, words)) = largest(&leads) {
        sentences.push(Sentence::plain(
            "leads",
            format!(
                "Its best point: ahead of the next, {name}, by {} ({words})",
                times(*ratio)
            ),
        ));
    }
    sentences
}

/// The places of rows in the order in which they come.
pub(super) fn places<R>(rows: &[&R], parts: impl Fn(&R) -> Vec<String>) -> Vec<Vec<String>> {
    let mut places = Vec::new();
    for row in rows {
        let place = parts(row);
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// What places have in common, in words.
pub(super) fn common<'p>(places: impl Iterator<Item = &'p [String]> + Clone) -> Vec<String> {
    let first = places.clone().next().unwrap_or_default();
    first
        .iter()
        .filter(|part| places.clone().all(|place| place.contains(part)))
        .cloned()
        .collect()
}

fn difference(place: &[String], base: &[String]) -> String {
    let other: Vec<&str> = place
        .iter()
        .filter(|part| !base.contains(part))
        .map(String::as_str)
        .collect();
    if other.is_empty() {
        "the base point".to_owned()
    } else {
        other.join(", ")
    }
}

fn largest(points: &[(f64, String, String)]) -> Option<&(f64, String, String)> {
    points.iter().max_by(|one, other| one.0.total_cmp(&other.0))
}
