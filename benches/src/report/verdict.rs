//! Who wins and who loses, in sentences that the figures write.
//!
//! 1. Ahead means that the ranges of the rounds do not overlap: the slowest round of one is faster
//!    than the fastest of the other. Everything else is "not different".
//! 2. Losses come first, and are never left out for brevity without their number.

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
    pub(super) text: String,
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

/// "a, b and c".
pub(super) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [firsts @ .., last] => format!("{} and {last}", firsts.join(", ")),
    }
}

/// One sentence each for losses, leads and what cannot be told apart; a place reads like "at 2
/// threads".
pub(super) fn sentences(ours: &str, places: &[(String, Standing)]) -> Vec<Sentence> {
    let (mut loses, mut leads, mut level) = (Vec::new(), Vec::new(), Vec::new());
    for (place, standing) in places {
        match standing {
            Standing::Loses(ahead) => loses.push(format!("{place} {}", losing(ahead))),
            Standing::Leads(next, ratio) => {
                leads.push(format!("{place} by {} over {next}", times(*ratio)));
            }
            Standing::Level(with) => {
                let named = &with[..with.len().min(NAMED_MAX)];
                level.push(format!("{place} ({})", shortened(named, with.len())));
            }
        }
    }
    let mut sentences = Vec::new();
    let mut say = |class, begin: String, parts: Vec<String>| {
        if !parts.is_empty() {
            sentences.push(Sentence {
                class,
                text: format!("{begin}: {}.", parts.join("; ")),
            });
        }
    };
    say(
        "loses",
        format!("{ours} loses here (ranges do not overlap)"),
        loses,
    );
    say("leads", format!("{ours} leads all others"), leads);
    say(
        "level",
        format!("{ours} is not different from the best (ranges overlap)"),
        level,
    );
    sentences
}

/// "striped is ahead by 1.53x, dashmap by 1.31x and 2 more".
fn losing(ahead: &[(String, f64)]) -> String {
    let named: Vec<String> = ahead
        .iter()
        .take(NAMED_MAX)
        .enumerate()
        .map(|(index, (name, ratio))| {
            let verb = if index == 0 { " is ahead" } else { "" };
            format!("{name}{verb} by {}", times(*ratio))
        })
        .collect();
    shortened(&named, ahead.len())
}

fn shortened(named: &[String], all: usize) -> String {
    match all - named.len() {
        0 => listed(named),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// One figure of ours, and those of the others, where less is better.
#[derive(Clone, Debug)]
pub(super) struct Cost {
    /// Where, as in a sentence; may be empty.
    pub(super) place: String,
    pub(super) ours: f64,
    pub(super) others: Vec<(String, f64)>,
}

/// How a sentence about costs is worded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wording {
    /// "takes longer"
    pub(super) worse: &'static str,
    /// "as long as"
    pub(super) ratio: &'static str,
    /// "takes clearly less time"
    pub(super) better: &'static str,
}

/// For latencies.
pub(super) const TIME: Wording = Wording {
    worse: "takes longer",
    ratio: "as long as",
    better: "is quicker",
};

/// Where ours costs clearly more than another; these figures have no ranges, so no more is claimed
/// than the ratio.
pub(super) fn costs(ours: &str, wording: Wording, places: &[Cost]) -> Vec<Sentence> {
    let mut behind = Vec::new();
    let mut compared = 0;
    for cost in places {
        let mut less: Vec<(&str, f64)> = cost
            .others
            .iter()
            .filter(|(_, other)| *other > 0.0)
            .map(|(name, other)| (name.as_str(), cost.ours / other))
            .filter(|(_, ratio)| *ratio >= COST_RATIO_MIN)
            .collect();
        compared += usize::from(!cost.others.is_empty());
        less.sort_by(|one, two| two.1.total_cmp(&one.1));
        if !less.is_empty() {
            let named: Vec<String> = less
                .iter()
                .take(NAMED_MAX)
                .map(|(name, ratio)| format!("{} {} {name}", times(*ratio), wording.ratio))
                .collect();
            let said = format!("{} {}", cost.place, shortened(&named, less.len()));
            behind.push(said.trim().to_owned());
        }
    }
    let least = times(COST_RATIO_MIN);
    let (class, text) = match (compared, behind.is_empty()) {
        (0, _) => return Vec::new(),
        (_, true) => (
            "leads",
            format!(
                "No other {} than {ours} here by {least} or more.",
                wording.better
            ),
        ),
        (_, false) => (
            "loses",
            format!(
                "{ours} {} here (by {least} or more; these figures have no ranges): {}.",
                wording.worse,
                behind.join("; ")
            ),
        ),
    };
    vec![Sentence { class, text }]
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
    fn losses_are_said_first_and_in_full() {
        let ahead = |names: &[&str]| {
            Standing::Loses(names.iter().map(|name| ((*name).to_owned(), 1.4)).collect())
        };
        let found = sentences(
            "ours",
            &[
                ("at 512".to_owned(), Standing::Leads("b".to_owned(), 2.0)),
                ("at 1".to_owned(), ahead(&["a"])),
                ("at 16".to_owned(), ahead(&["a", "b", "c", "d", "e"])),
                ("at 64".to_owned(), Standing::Level(vec!["a".to_owned()])),
            ],
        );
        let texts: Vec<&str> = found.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "ours loses here (ranges do not overlap): at 1 a is ahead by 1.40x; \
                 at 16 a is ahead by 1.40x, b by 1.40x, c by 1.40x and 2 more.",
                "ours leads all others: at 512 by 2.00x over b.",
                "ours is not different from the best (ranges overlap): at 64 (a).",
            ]
        );
        assert!(sentences("ours", &[]).is_empty());
    }

    #[test]
    fn a_longer_latency_is_a_loss() {
        let check = |ours, others: &[(&str, f64)]| {
            let others = others.iter().map(|other| (other.0.to_owned(), other.1));
            let cost = Cost {
                place: "at p99".to_owned(),
                ours,
                others: others.collect(),
            };
            let found = costs("ours", TIME, &[cost]);
            found.into_iter().next().map(|sentence| sentence.text)
        };
        assert_eq!(
            check(30.0, &[("a", 10.0), ("dead", 0.0)]).unwrap(),
            "ours takes longer here (by 1.10x or more; these figures have no ranges): \
             at p99 3.00x as long as a."
        );
        assert_eq!(
            check(10.0, &[("a", 9.9)]).unwrap(),
            "No other is quicker than ours here by 1.10x or more."
        );
        assert_eq!(check(10.0, &[]), None);
    }

    #[test]
    fn lists_read_as_people_write_them() {
        let names = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(listed(&names), "a, b and c");
        assert_eq!(listed(&names[..1]), "a");
        assert_eq!(listed(&[]), "");
    }
}
