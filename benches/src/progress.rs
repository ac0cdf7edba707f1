//! What a run says while it works: one bar on standard error, drawn only on a terminal.
//!
//! Where standard error is no terminal, each new message is a line of its own, so that a log of a
//! long run still tells where it is.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often the bar moves while nothing else happens.
const TICK: Duration = Duration::from_millis(250);
/// The bar: what is done now, how far, how long still.
const TEMPLATE: &str = "{elapsed_precise} [{bar:32}] {pos}/{len} about {eta} left: {msg}";

/// Progress over a known number of steps of about the same length.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    lines: bool,
}

impl Progress {
    /// Begins; `steps` is how often [`step`](Self::step) will be called.
    pub(crate) fn new(steps: u64) -> Self {
        let lines = !io::stderr().is_terminal();
        let bar = if lines {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(steps)
        };
        bar.set_length(steps);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        if !lines {
            bar.enable_steady_tick(TICK);
        }
        Self { bar, lines }
    }

    /// Says what is being done now.
    pub(crate) fn say(&self, message: &str) {
        if self.lines {
            let position = self.bar.position();
            let length = self.bar.length().unwrap_or(0);
            // Progress is a courtesy: a closed standard error must not end a measurement.
            let _written = writeln!(io::stderr(), "[{position}/{length}] {message}");
        } else {
            self.bar.set_message(message.to_owned());
        }
    }

    /// One step is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }

    /// Prints a result to standard output without tearing the bar.
    ///
    /// # Errors
    /// Standard output is closed.
    pub(crate) fn show(&self, text: &str) -> io::Result<()> {
        self.bar.suspend(|| crate::table::show(text))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
