//! Two answers to one request: equal, explained, or a failure.

use std::fmt::{self, Display, Formatter};

use super::explained::explain;
use super::request::{Request, quoted};
use crate::harness::Ended;

/// Bytes of an answer that are shown.
const SHOWN_BYTES: usize = 400;

/// Bytes of an answer by which failures are told apart.
const SIGNATURE_BYTES: usize = 22;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// One reply.
    Reply(Vec<u8>),
    /// The end of the connection, and what came before it.
    Ended(Vec<u8>, Ended),
    /// Nothing in time, or no reply.
    Nothing(String),
}

impl Answer {
    fn shown(&self, bytes_max: usize) -> String {
        let cut = |bytes: &[u8]| {
            let text = quoted(&bytes[..bytes.len().min(bytes_max)]);
            let more = bytes.len().saturating_sub(bytes_max);
            if more > 0 {
                format!("{text} and {more} bytes")
            } else {
                text
            }
        };
        match self {
            Self::Reply(bytes) => cut(bytes),
            Self::Ended(bytes, Ended::Closed) => format!("{}, then closed", cut(bytes)),
            Self::Ended(bytes, Ended::Reset) => format!("{}, then reset", cut(bytes)),
            Self::Nothing(why) => why.clone(),
        }
    }
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown(SHOWN_BYTES))
    }
}

/// Two answers that should agree and do not.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The step in its episode.
    pub step: usize,
    /// The request in its step.
    pub request: usize,
    /// What was asked.
    pub asked: String,
    /// What Redis answered.
    pub redis: String,
    /// What Shardkeep answered.
    pub ours: String,
    /// Equal for failures that look alike.
    pub signature: String,
}

impl Failure {
    /// A failure of `request`, which stands for itself in the report.
    pub(crate) fn of(
        step: usize,
        index: usize,
        request: &Request,
        redis: &Answer,
        ours: &Answer,
    ) -> Self {
        let name = match request.args().first() {
            Some(name) => quoted(name).to_ascii_lowercase(),
            None => "raw".to_owned(),
        };
        Self {
            step,
            request: index,
            asked: request.to_string(),
            redis: redis.to_string(),
            ours: ours.to_string(),
            signature: format!("{name} {} {}", outline(redis), outline(ours)),
        }
    }

    /// A failure of a step as a whole.
    pub(crate) fn whole(
        step: usize,
        asked: String,
        kind: &str,
        redis: String,
        ours: String,
    ) -> Self {
        Self {
            step,
            request: 0,
            asked,
            redis,
            ours,
            signature: kind.to_owned(),
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "  asked     {}", self.asked)?;
        writeln!(f, "  redis     {}", self.redis)?;
        writeln!(f, "  shardkeep {}", self.ours)
    }
}

/// What the difference between two unequal answers is: the row of the table, or nothing that is meant.
pub(crate) fn difference(request: &Request, redis: &Answer, ours: &Answer) -> Option<usize> {
    let (Answer::Reply(redis), Answer::Reply(ours)) = (redis, ours) else {
        return None;
    };
    let redis = crate::harness::value(redis).ok()?;
    let ours = crate::harness::value(ours).ok()?;
    explain(request.args(), &redis, &ours)
}

/// The kind of an answer, without what changes from run to run: the first bytes, digits as `#`; of a
/// string or number only its kind.
fn outline(answer: &Answer) -> String {
    match answer {
        Answer::Reply(bytes) if !matches!(bytes.first(), Some(b'-' | b'+')) => bytes
            .first()
            .map_or_else(String::new, |kind| char::from(*kind).to_string()),
        other => other
            .shown(SIGNATURE_BYTES)
            .chars()
            .map(|c| {
                if c.is_ascii_digit() {
                    '#'
                } else {
                    c.to_ascii_lowercase()
                }
            })
            .collect(),
    }
}
