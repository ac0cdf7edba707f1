//! What a file is read from by somebody who may be told to stop.
//!
//! 1. A read that is cancelled is an error, also while nothing comes out of a pipe.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use shardkeep::engine::CancelToken;

/// How long nothing may come before it is looked whether somebody has cancelled.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A file whose reads end when a token is cancelled.
pub(super) struct Source<'t> {
    file: File,
    cancel: &'t CancelToken,
}

impl<'t> Source<'t> {
    pub(super) fn new(file: File, cancel: &'t CancelToken) -> Self {
        Self { file, cancel }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let interval = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(LOOK_INTERVAL.subsec_nanos()),
        };
        loop {
            if self.cancel.is_cancelled() {
                return Err(io::Error::other("it was given up"));
            }
            let fd = self.file.as_fd();
            let mut ready = [PollFd::new(&fd, PollFlags::IN)];
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B33: the pipe, or the next look"
            )]
            if retry_on_intr(|| poll(&mut ready, Some(&interval)))? > 0 {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "blocking point B61: there is something to read"
                )]
                return self.file.read(into);
            }
        }
    }
}
