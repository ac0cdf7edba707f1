//! What a worker does: one job after the other.
//!
//! A job that panics takes its worker with it, after that was noted; the supervisor starts the worker
//! again, with nothing left of what the job may have broken.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use shardkeep::Error;
use shardkeep_core::supervisor::Life;

use crate::board::{Begun, Board};
use crate::job::Outcome;
use crate::task::{Interrupted, Task};

/// Works until the queue is closed.
///
/// # Errors
/// The store does not do what it is there for.
pub(crate) fn work(board: &Board, life: &Life) -> Result<(), Error> {
    while let Some(begun) = board.begin(life.token())? {
        let began = Instant::now();
        let ran = catch_unwind(AssertUnwindSafe(|| run(&begun)));
        let took = Instant::now().saturating_duration_since(began);
        match ran {
            Ok(outcome) => board.end(begun.id, outcome, took)?,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                let why = format!("it panicked: {}", text.unwrap_or("without a text"));
                board.end(begun.id, Outcome::Failed(why), took)?;
                resume_unwind(panic);
            }
        }
    }
    Ok(())
}

fn run(begun: &Begun) -> Outcome {
    let ran = match Task::parse(&begun.task) {
        Ok(task) => task.run(begun.attempt, &begun.token),
        Err(why) => return Outcome::Failed(why.to_owned()),
    };
    match ran {
        Ok(result) => Outcome::Done(result),
        Err(Interrupted) => Outcome::Interrupted,
    }
}
