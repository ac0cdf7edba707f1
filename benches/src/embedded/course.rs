//! How far a plan has come, on the progress bar.
//!
//! Work is uneven, steps are not: each step is [`STEP`] of estimated time.

use std::time::Duration;

use anyhow::Result;

use crate::progress::Progress;

/// Estimated time of one step of the bar.
const STEP: Duration = Duration::from_millis(100);

/// A way of known length.
pub(super) struct Course {
    /// None where nobody looks.
    progress: Option<Progress>,
    /// Estimated time of what is done and not yet shown as a step.
    owed: Duration,
}

impl Course {
    /// Begins a way that takes about `time`.
    pub(super) fn new(time: Duration) -> Self {
        let steps = time.as_millis() / STEP.as_millis();
        Self {
            progress: Some(Progress::new(
                u64::try_from(steps).unwrap_or(u64::MAX).max(1),
            )),
            owed: Duration::ZERO,
        }
    }

    /// A way on which nothing is said.
    #[cfg(test)]
    pub(super) fn silent() -> Self {
        Self {
            progress: None,
            owed: Duration::ZERO,
        }
    }

    /// Says what is being done now.
    pub(super) fn say(&self, message: &str) {
        if let Some(progress) = &self.progress {
            progress.say(message);
        }
    }

    /// Something is done that was to take so long.
    pub(super) fn done(&mut self, estimated: Duration) {
        self.owed += estimated;
        while self.owed >= STEP {
            self.owed -= STEP;
            if let Some(progress) = &self.progress {
                progress.step();
            }
        }
    }

    /// Prints a result.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(super) fn show(&self, text: &str) -> Result<()> {
        match &self.progress {
            Some(progress) => Ok(progress.show(text)?),
            None => Ok(()),
        }
    }
}
