//! Who wins and who loses, in sentences that the figures write.
//!
//! 1. Of operations per second, ahead means that the ranges of the rounds do not overlap: the slowest
//!    round of one is faster than the fastest of the other. Everything else is "not different".
//! 2. Of figures without ranges, ahead means by [`COST_RATIO_MIN`] or more.
//! 3. Losses come first; who is not named is counted.

use super::number::times;

/// Rivals named for one place; more are only counted.
const NAMED_MAX: usize = 3;
/// Figures without ranges: below this ratio two of them count as the same.
const COST_RATIO_MIN: f64 = 1.1;

/// Median, slowest and fastest round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// How ours stands at one place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    /// Ahead of all others: the next one, and by how much.
    Leads(String, f64),
    /// Nobody is ahead of ours, nor ours of all: whom it cannot be told from.
    Level(Vec<String>),
    /// Behind these, the farthest ahead first.
    Loses(Vec<(String, f64)>),
}

/// A sentence and what it is about, for the style sheet.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sentence {
    pub(super) class: &'static str,
    /// Without its full stop.
    pub(super) text: String,
    /// Where it holds, and how.
    pub(super) places: Vec<(String, String)>,
}

/// How sentences about one kind of figure are worded; each is about ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wording {
    pub(super) loses: &'static str,
    /// Whom it loses to.
    pub(super) ahead: &'static str,
    pub(super) leads: &'static str,
    pub(super) level: &'static str,
}

/// Of operations per second.
pub(super) const RATE: Wording = Wording {
    loses: "loses",
    ahead: "ahead of it, with ranges that do not overlap",
    leads: "leads all others",
    level: "cannot be told from the best, since ranges overlap,",
};

/// Of latencies.
pub(super) const TIME: Wording = Wording {
    loses: "takes longer",
    ahead: "quicker by 1.10x or more",
    leads: "takes the least time",
    level: "is within 1.10x of the quickest",
};

impl Sentence {
    /// One that holds without places.
    pub(super) fn plain(class: &'static str, text: String) -> Self {
        Self {
            class,
            text,
            places: Vec::new(),
        }
    }
}

impl Range {
    /// Whether even the slowest round beats the fastest of `other`.
    pub(super) fn is_ahead_of(self, other: Self) -> bool {
        self.min > other.max
    }

    /// How many times `other`; nothing where nothing was done.
    pub(super) fn ratio_to(self, other: Self) -> Option<f64> {
        (other.median > 0.0).then(|| self.median / other.median)
    }
}

/// How ours stands among others; `None` without others.
pub(super) fn standing<'n>(
    ours: Range,
    others: impl IntoIterator<Item = (&'n str, Range)>,
) -> Option<Standing> {
    let mut others: Vec<(&str, Range)> = others.into_iter().collect();
    others.sort_by(|one, two| two.1.median.total_cmp(&one.1.median));
    let &(next, best) = others.first()?;
    let ahead: Vec<(String, f64)> = others
        .iter()
        .filter(|(_, range)| range.is_ahead_of(ours))
        .map(|(name, range)| ((*name).to_owned(), range.ratio_to(ours).unwrap_or(0.0)))
        .collect();
    if !ahead.is_empty() {
        return Some(Standing::Loses(ahead));
    }
    if others.iter().all(|(_, range)| ours.is_ahead_of(*range)) {
        return Some(Standing::Leads(
            next.to_owned(),
            ours.ratio_to(best).unwrap_or(0.0),
        ));
    }
    let level = others
        .iter()
        .filter(|(_, range)| !ours.is_ahead_of(*range))
        .map(|(name, _)| (*name).to_owned());
    Some(Standing::Level(level.collect()))
}

/// How ours stands where less is better and nothing has a range; `None` without others.
pub(super) fn cheaper<'n>(
    ours: f64,
    others: impl IntoIterator<Item = (&'n str, f64)>,
) -> Option<Standing> {
    let mut others: Vec<(&str, f64)> = others
        .into_iter()
        .filter(|(_, cost)| *cost > 0.0 && ours > 0.0)
        .collect();
    others.sort_by(|one, two| one.1.total_cmp(&two.1));
    let &(next, best) = others.first()?;
    let ahead: Vec<(String, f64)> = others
        .iter()
        .map(|(name, cost)| ((*name).to_owned(), ours / cost))
        .filter(|(_, ratio)| *ratio >= COST_RATIO_MIN)
        .collect();
    if !ahead.is_empty() {
        return Some(Standing::Loses(ahead));
    }
    if best / ours >= COST_RATIO_MIN {
        return Some(Standing::Leads(next.to_owned(), best / ours));
    }
    let level = others
        .iter()
        .filter(|(_, cost)| cost / ours < COST_RATIO_MIN)
        .map(|(name, _)| (*name).to_owned());
    Some(Standing::Level(level.collect()))
}

/// "1.42x", or that the ranges overlap.
pub(super) fn against(range: Range, ours: Option<Range>) -> String {
    match ours {
        Some(ours) if ours == range => "1".to_owned(),
        Some(ours) => match range.ratio_to(ours) {
            None => "-".to_owned(),
            Some(ratio) if range.is_ahead_of(ours) || ours.is_ahead_of(range) => times(ratio),
            Some(ratio) => format!("{} (not different)", times(ratio)),
        },
        None => "-".to_owned(),
    }
}

/// One sentence each for losses, leads and what cannot be told apart; a place reads like "at 2
/// threads", and may be empty where there is only one.
pub(super) fn sentences(
    ours: &str,
    wording: Wording,
    places: &[(String, Standing)],
) -> Vec<Sentence> {
    let (mut loses, mut leads, mut level) = (Vec::new(), Vec::new(), Vec::new());
    for (place, standing) in places {
        let (sentence, text) = match standing {
            Standing::Loses(ahead) => {
                let named = ahead.iter().map(|(name, ratio)| by(name, *ratio));
                (&mut loses, shortened(named.collect()))
            }
            Standing::Leads(next, ratio) => (&mut leads, by(next, *ratio)),
            Standing::Level(with) => (&mut level, shortened(with.clone())),
        };
        sentence.push((place.clone(), text));
    }
    let Wording {
        loses: losing,
        ahead,
        leads: leading,
        level: even,
    } = wording;
    let where_of = |some: &[(String, String)]| match (some.len(), places.len()) {
        (_, 1) => "here".to_owned(),
        (some, all) => format!("at {some} of {all} points"),
    };
    let texts = [
        format!("{ours} {losing} {}; {ahead}", where_of(&loses)),
        format!("{ours} {leading} {}; ahead of the next", where_of(&leads)),
        format!("{ours} {even} {}", where_of(&level)),
    ];
    ["loses", "leads", "level"]
        .into_iter()
        .zip(texts)
        .zip([loses, leads, level])
        .filter(|(_, places)| !places.is_empty())
        .map(|((class, text), places)| Sentence {
            class,
            text,
            places,
        })
        .collect()
}

fn by(name: &str, ratio: f64) -> String {
    format!("{name} by {}", times(ratio))
}

/// The first few, and how many more.
fn shortened(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    names.truncate(NAMED_MAX);
    if more == 0 {
        listed(&names)
    } else {
        format!("{} and {more} more", names.join(", "))
    }
}

/// "a, b and c".
pub(super) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [firsts @ .., last] => format!("{} and {last}", firsts.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(min: f64, median: f64, max: f64) -> Range {
        Range { median, min, max }
    }

    #[test]
    fn ahead_means_that_ranges_do_not_overlap() {
        let ours = range(9.0, 10.0, 11.0);
        let slow = ("slow", range(4.0, 5.0, 6.0));
        let near = ("near", range(8.0, 10.5, 12.0));
        let fast = ("fast", range(14.0, 15.0, 16.0));
        let cases = [
            (vec![slow], Some(Standing::Leads("slow".to_owned(), 2.0))),
            (
                vec![slow, near],
                Some(Standing::Level(vec!["near".to_owned()])),
            ),
            (
                vec![slow, near, fast],
                Some(Standing::Loses(vec![("fast".to_owned(), 1.5)])),
            ),
            (vec![], None),
        ];
        for (others, expected) in cases {
            assert_eq!(standing(ours, others), expected);
        }
        let nothing = range(0.0, 0.0, 0.0);
        assert_eq!(
            standing(nothing, [slow]),
            Some(Standing::Loses(vec![("slow".to_owned(), 0.0)]))
        );
    }

    #[test]
    fn losses_are_said_first_and_nobody_is_forgotten() {
        let ahead = |names: &[&str]| {
            Standing::Loses(names.iter().map(|name| ((*name).to_owned(), 1.4)).collect())
        };
        let places = [
            ("at 512".to_owned(), Standing::Leads("b".to_owned(), 2.0)),
            ("at 1".to_owned(), ahead(&["a"])),
            ("at 16".to_owned(), ahead(&["a", "b", "c", "d", "e"])),
            ("at 64".to_owned(), Standing::Level(vec!["a".to_owned()])),
        ];
        let found: Vec<String> = sentences("ours", RATE, &places)
            .into_iter()
            .map(|one| format!("{} {}: {:?}", one.class, one.text, one.places))
            .collect();
        let expected = [
            "loses ours loses at 2 of 4 points; ahead of it, with ranges that do not overlap: \
             [(\"at 1\", \"a by 1.40x\"), \
             (\"at 16\", \"a by 1.40x, b by 1.40x, c by 1.40x and 2 more\")]",
            "leads ours leads all others at 1 of 4 points; ahead of the next: \
             [(\"at 512\", \"b by 2.00x\")]",
            "level ours cannot be told from the best, since ranges overlap, at 1 of 4 points: \
             [(\"at 64\", \"a\")]",
        ];
        assert_eq!(found, expected);
        assert!(sentences("ours", RATE, &[]).is_empty());
        let alone = sentences("ours", TIME, &[(String::new(), ahead(&["a"]))]);
        assert_eq!(
            alone[0].text,
            "ours takes longer here; quicker by 1.10x or more"
        );
    }

    #[test]
    fn less_is_better_of_costs() {
        type Case = (f64, &'static [(&'static str, f64)], Option<Standing>);
        let cases: [Case; 4] = [
            (
                30.0,
                &[("a", 20.0), ("dead", 0.0), ("b", 10.0)],
                Some(Standing::Loses(vec![
                    ("b".to_owned(), 3.0),
                    ("a".to_owned(), 1.5),
                ])),
            ),
            (
                10.0,
                &[("a", 30.0), ("b", 20.0)],
                Some(Standing::Leads("b".to_owned(), 2.0)),
            ),
            (
                10.0,
                &[("a", 9.9), ("b", 20.0)],
                Some(Standing::Level(vec!["a".to_owned()])),
            ),
            (10.0, &[], None),
        ];
        for (ours, others, expected) in cases {
            assert_eq!(cheaper(ours, others.iter().copied()), expected);
        }
    }

    #[test]
    fn what_overlaps_is_called_not_different() {
        let ours = range(9.0, 10.0, 11.0);
        assert_eq!(against(range(13.0, 14.0, 15.0), Some(ours)), "1.40x");
        assert_eq!(
            against(range(10.0, 11.0, 12.0), Some(ours)),
            "1.10x (not different)"
        );
        assert_eq!(against(ours, Some(ours)), "1");
        assert_eq!(against(ours, Some(range(0.0, 0.0, 0.0))), "-");
        assert_eq!(against(ours, None), "-");
    }

    #[test]
    fn lists_read_as_people_write_them() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(listed(&names), "a, b and c");
        assert_eq!(listed(&names[..1]), "a");
        assert_eq!(listed(&[]), "");
    }
}
