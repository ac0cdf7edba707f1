//! From a failing episode to the few requests that matter.
//!
//! 1. What is returned fails alike.
//! 2. It takes a bounded time: the best found until then is returned.

use std::io;
use std::time::Duration;

use super::compare::Failure;
use super::request::{Episode, Request, Step};
use super::run::{Counts, Pair};
use crate::clock;

/// Longest search in seconds; the failure itself is known already.
const SEARCH: Duration = Duration::from_secs(8);

/// Longest wait for one answer while searching: a hang is to be met often.
const ANSWER: Duration = Duration::from_millis(400);

/// The shortest episode found that fails as `failure` does, and its failure.
///
/// # Errors
/// A server cannot be reached any more.
pub fn shrink(pair: &Pair, episode: &Episode, failure: &Failure) -> io::Result<(Episode, Failure)> {
    let mut search = Search {
        pair: pair.with_patience(ANSWER),
        until: clock::now() + SEARCH,
        best: episode.clone(),
        failure: failure.clone(),
    };
    let mut start = episode.clone();
    start.steps.truncate(failure.step + 1);
    if !search.take(start)? {
        return Ok((search.best, search.failure));
    }
    search.without_steps()?;
    search.without_requests()?;
    search.without_steps()?;
    search.simpler()?;
    Ok((search.best, search.failure))
}

struct Search {
    pair: Pair,
    until: std::time::Instant,
    best: Episode,
    failure: Failure,
}

impl Search {
    /// Whether `episode` fails alike; then it is the best.
    fn take(&mut self, episode: Episode) -> io::Result<bool> {
        if clock::left(self.until).is_none() {
            return Ok(false);
        }
        match self.pair.play(&episode, &mut Counts::default())? {
            Some(failure) if failure.signature == self.failure.signature => {
                self.best = episode;
                self.failure = failure;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Leaves out runs of steps, long ones first.
    fn without_steps(&mut self) -> io::Result<()> {
        let mut length = self.best.steps.len() / 2;
        while length > 0 {
            let mut at = 0;
            while at + length <= self.best.steps.len() && clock::left(self.until).is_some() {
                let mut shorter = self.best.clone();
                shorter.steps.drain(at..at + length);
                if !self.take(shorter)? {
                    at += length;
                }
            }
            length /= 2;
        }
        Ok(())
    }

    /// Leaves out requests of pipelines, one at a time, the last first.
    fn without_requests(&mut self) -> io::Result<()> {
        for step in (0..self.best.steps.len()).rev() {
            let Step::Batch { requests, .. } = &self.best.steps[step] else {
                continue;
            };
            for index in (0..requests.len()).rev() {
                let mut shorter = self.best.clone();
                if let Step::Batch { requests, .. } = &mut shorter.steps[step]
                    && requests.len() > 1
                {
                    requests.remove(index);
                    self.take(shorter)?;
                }
            }
        }
        Ok(())
    }

    /// Everything on one connection, in whole writes, nothing inline, nothing pipelined.
    fn simpler(&mut self) -> io::Result<()> {
        let mut one = self.best.clone();
        one.connections = 1;
        for step in &mut one.steps {
            match step {
                Step::Batch { connection, .. } | Step::Walk { connection, .. } => *connection = 0,
                Step::Pass(_) => {}
            }
        }
        self.take(one)?;
        let changes: [fn(&mut Request, &mut usize); 2] = [
            |_, writes| *writes = 1,
            |request, _| {
                if let Request::Command { inline, .. } = request {
                    *inline = false;
                }
            },
        ];
        for change in changes {
            let mut plain = self.best.clone();
            for step in &mut plain.steps {
                if let Step::Batch {
                    requests, writes, ..
                } = step
                {
                    requests
                        .iter_mut()
                        .for_each(|request| change(request, writes));
                }
            }
            self.take(plain)?;
        }
        let mut single = self.best.clone();
        single.steps = single.steps.into_iter().flat_map(unpipelined).collect();
        self.take(single).map(drop)
    }
}

fn unpipelined(step: Step) -> Vec<Step> {
    match step {
        Step::Batch {
            connection,
            requests,
            writes,
        } => requests
            .into_iter()
            .map(|request| Step::Batch {
                connection,
                requests: vec![request],
                writes,
            })
            .collect(),
        other => vec![other],
    }
}
