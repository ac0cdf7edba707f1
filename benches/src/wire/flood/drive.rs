//! One thread of a flood: its lines, a timer, and the sockets.

use anyhow::Result;
use mio::{Events, Interest, Poll, Token};

use super::super::alarm::Alarm;
use super::super::generator::{EVENTS_MAX, SILENCE_MAX, poll_again};
use super::line::{Desk, Line};
use super::{DRAIN_MAX, Frame, TICK, Tally, nanos};
use crate::clock;

/// Bytes per read.
const READ_BYTES: usize = 256 * 1_024;
const ALARM: Token = Token(usize::MAX);

pub(super) struct Driver<'a> {
    lines: Vec<Line<'a>>,
    desk: Desk,
    poll: Poll,
    alarm: Alarm,
}

impl<'a> Driver<'a> {
    pub(super) fn new(mut lines: Vec<Line<'a>>, frame: Frame, groups: usize) -> Result<Self> {
        let poll = Poll::new()?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        for (index, line) in lines.iter_mut().enumerate() {
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(&mut line.stream, Token(index), both)?;
        }
        Ok(Self {
            lines,
            desk: Desk::new(frame, groups, READ_BYTES)?,
            poll,
            alarm,
        })
    }

    /// Pours until the window has ended and everything sent is answered, or nobody answers any more.
    pub(super) fn run(mut self) -> Result<Vec<Tally>> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let frame = self.desk.frame;
        let end = frame.until + nanos(DRAIN_MAX);
        let tick = nanos(TICK);
        clock::wait_until(frame.begin);
        let mut next = 0;
        loop {
            let now = frame.now();
            if now >= next {
                self.send_due(now)?;
                next = (next + tick).max(now);
            }
            if now >= end || now >= frame.until && self.is_idle() {
                return Ok(self.finish());
            }
            self.alarm.set(next.max(now + 1), now)?;
            // Interrupted is as good as woken: the loop looks at everything again.
            let _complete = poll_again(&mut self.poll, &mut events, SILENCE_MAX)?;
            for event in &events {
                if event.token() == ALARM {
                    self.alarm.rang();
                    continue;
                }
                let line = &mut self.lines[event.token().0];
                if event.is_writable() {
                    line.has_room_again(&self.desk)?;
                }
                line.receive(&mut self.desk)?;
            }
        }
    }

    fn send_due(&mut self, now: u64) -> Result<()> {
        for line in &mut self.lines {
            if line.next_due() <= now {
                line.send_due(&mut self.desk, now)?;
            }
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.lines.iter().all(|line| line.in_flight() == 0)
    }

    fn finish(mut self) -> Vec<Tally> {
        for line in &self.lines {
            line.end(&mut self.desk);
        }
        self.desk.tallies
    }
}
