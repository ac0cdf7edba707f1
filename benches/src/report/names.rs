//! Who is who: the part a name plays in a comparison, and how it looks all over the page.
//!
//! A name that is not known is a rival like any other; an alias of a known one (`dashmap-2`) gets its
//! colour with another marker.

use super::draw::{Marker, Style};

/// The part a name plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// This design as it is by default: what the sentences are about.
    Ours,
    /// This project's other designs; neither rival nor ours.
    Sibling,
    /// What the machine allows at best; nobody's rival.
    Floor,
    /// Somebody else's.
    Rival,
}

/// Colours in the order of the style sheet; a map and a server never stand in one drawing.
const KNOWN: [(&str, Role, usize, Marker, &str); 19] = [
    ("owners-lend", Role::Ours, 0, Marker::Circle, ""),
    ("owners-mail", Role::Sibling, 1, Marker::Square, "7 3"),
    ("single-owner", Role::Sibling, 2, Marker::Diamond, "2 3"),
    ("dashmap", Role::Rival, 3, Marker::Up, ""),
    ("papaya", Role::Rival, 4, Marker::Down, "9 3 2 3"),
    ("striped-grouped", Role::Rival, 7, Marker::Hexagon, "7 3"),
    ("striped-tuned", Role::Rival, 6, Marker::Pentagon, "3 2"),
    ("striped", Role::Rival, 5, Marker::Star, ""),
    ("mutex", Role::Rival, 8, Marker::Plus, "7 3"),
    ("rwlock", Role::Rival, 9, Marker::Left, "9 3 2 3"),
    ("shardkeep", Role::Ours, 0, Marker::Circle, ""),
    ("redis", Role::Rival, 3, Marker::Up, ""),
    ("valkey", Role::Rival, 5, Marker::Square, "9 3 2 3"),
    ("memcached", Role::Rival, 4, Marker::Down, "7 3"),
    ("echo", Role::Floor, 10, Marker::Bar, "2 3"),
    ("redb-grouped", Role::Rival, 6, Marker::Hexagon, "7 3"),
    ("redb", Role::Rival, 3, Marker::Up, ""),
    ("fjall-grouped", Role::Rival, 7, Marker::Pentagon, "3 2"),
    ("fjall", Role::Rival, 4, Marker::Down, "9 3 2 3"),
];

/// What nobody else has.
const UNKNOWN: (Role, usize, Marker, &str) = (Role::Rival, 11, Marker::Right, "4 2");

/// For variants of one name beside each other.
const MARKERS: [Marker; 6] = [
    Marker::Square,
    Marker::Diamond,
    Marker::Up,
    Marker::Down,
    Marker::Hexagon,
    Marker::Star,
];
const DASHES: [&str; 6] = ["7 3", "2 3", "9 3 2 3", "4 2", "12 3", "1 2"];

/// The part of a name; an alias plays no part but a rival's.
pub(super) fn role(name: &str) -> Role {
    KNOWN
        .iter()
        .find(|known| known.0 == name)
        .map_or(UNKNOWN.0, |known| known.1)
}

/// The looks of a name; `variant` counts what else of the same name is in the drawing.
pub(super) fn style(name: &str, variant: usize) -> Style {
    let exact = KNOWN.iter().find(|known| known.0 == name);
    let alias = || KNOWN.iter().find(|known| name.starts_with(known.0));
    let (colour, marker, dash) = exact
        .or_else(alias)
        .map_or((UNKNOWN.1, UNKNOWN.2, UNKNOWN.3), |known| {
            (known.2, known.3, known.4)
        });
    let variant = variant + usize::from(exact.is_none());
    let (marker, dash) = match variant.checked_sub(1) {
        None => (marker, dash),
        Some(other) => (MARKERS[other % MARKERS.len()], DASHES[other % DASHES.len()]),
    };
    Style {
        colour,
        marker,
        dash,
        strong: variant == 0 && role(name) == Role::Ours,
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::super::draw::COLOURS;
    use super::*;
    use crate::embedded::engines::EngineName;
    use crate::server::ServerName;

    #[test]
    fn every_engine_and_server_has_looks_of_its_own() {
        let engines = EngineName::value_variants().iter().map(|name| name.label());
        let servers = ServerName::value_variants().iter().map(|name| name.label());
        for names in [engines.collect::<Vec<_>>(), servers.collect()] {
            for (index, name) in names.iter().enumerate() {
                assert!(KNOWN.iter().any(|known| known.0 == *name), "{name}");
                assert!(style(name, 0).colour < COLOURS, "{name}");
                for other in &names[index + 1..] {
                    let (one, two) = (style(name, 0), style(other, 0));
                    assert_ne!(one.colour, two.colour, "{name}, {other}");
                    assert_ne!(one.marker, two.marker, "{name}, {other}");
                }
            }
        }
    }

    #[test]
    fn an_alias_has_the_colour_but_not_the_marker() {
        let (name, alias) = (style("dashmap", 0), style("dashmap-2", 0));
        assert_eq!(name.colour, alias.colour);
        assert_ne!(name.marker, alias.marker);
        assert_eq!(role("dashmap-2"), Role::Rival);
        assert_eq!(role("owners-lend-2"), Role::Rival);
        assert_ne!(style("owners-lend", 1), style("owners-lend", 0));
        assert_eq!(style("nobody", 0).colour, 11);
    }

    #[test]
    fn a_longer_name_is_not_taken_for_the_alias_of_a_shorter() {
        assert_ne!(style("striped-tuned", 0).colour, style("striped", 0).colour);
        assert_eq!(
            style("striped-tuned-2", 0).colour,
            style("striped-tuned", 0).colour
        );
    }
}
