//! What a terminal shows while a file is read: one line, written again and again.
//!
//! Not for logs: where standard error is no terminal, nothing is shown.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::import::Progress;

/// How often the line changes.
const INTERVAL: Duration = Duration::from_millis(250);

/// Items between two looks at the clock.
const LOOK_ITEMS: u32 = 256;

/// A line on a terminal, or nothing; taken away when this goes.
pub(super) struct Line {
    is_terminal: bool,
    /// Bytes to read, if that is known.
    total: Option<u64>,
    items: u32,
    shown: Option<Instant>,
}

impl Line {
    pub(super) fn new(total: Option<u64>) -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            total,
            items: 0,
            shown: None,
        }
    }

    /// Says how far it is, when it is time; `now` tells the time.
    pub(super) fn step(&mut self, progress: Progress, now: fn() -> Instant) {
        self.items = (self.items + 1) % LOOK_ITEMS;
        if !self.is_terminal || self.items != 0 {
            return;
        }
        let now = now();
        if self.shown.is_none_or(|shown| now >= shown + INTERVAL) {
            self.shown = Some(now);
            // A courtesy: a closed standard error must not end an import.
            let _written = write!(io::stderr(), "\r\x1b[K{}", text(progress, self.total));
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _written = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn text(progress: Progress, total: Option<u64>) -> String {
    let Progress { bytes, keys } = progress;
    match total {
        Some(total) if total > 0 => {
            let percent = (u128::from(bytes) * 100 / u128::from(total)).min(100);
            format!("importing: {percent} % of {total} bytes, {keys} keys")
        }
        Some(_) | None => format!("importing: {bytes} bytes, {keys} keys"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_much_of_what_is_known() {
        let cases = [
            (50, Some(200), "importing: 25 % of 200 bytes, 3 keys"),
            (50, Some(40), "importing: 100 % of 40 bytes, 3 keys"),
            (50, Some(0), "importing: 50 bytes, 3 keys"),
            (50, None, "importing: 50 bytes, 3 keys"),
        ];
        for (bytes, total, expected) in cases {
            assert_eq!(text(Progress { bytes, keys: 3 }, total), expected);
        }
    }
}
