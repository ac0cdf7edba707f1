//! Reading from one connection and handing the bytes to the decoder.

use std::io;
use std::time::{Duration, Instant};

use super::Reactor;
use super::backlog::Advice;
use super::connection::{Connection, Life};
use super::progress::Unread;
use super::round::From;
use crate::{clock, fault, limits};

/// What a read brought.
enum Read {
    /// This many bytes; the socket may have more.
    Some(usize),
    /// This many bytes, and the socket is empty.
    Last(usize),
    /// The peer has ended, or the connection is broken.
    End,
}

impl Reactor {
    /// Reads from connection `token` and decodes what it can into the round.
    pub(crate) fn fill(&mut self, token: usize) {
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        // A token may stand in the list twice: its place was given to a newcomer in between.
        if !std::mem::take(&mut connection.queued) {
            return;
        }
        match connection.life {
            Life::Open if connection.may_decode() => {}
            Life::Open => return,
            Life::Finishing => return self.finish(token),
            Life::Lingering(_) => return self.linger(token),
        }
        if connection.pending.len() > limits::READ_BYTES {
            self.fill_large(token);
        } else {
            self.fill_arena(token);
        }
    }

    /// The usual case: everything goes through the arena, and nothing stays behind.
    fn fill_arena(&mut self, token: usize) {
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        let start = self.round.arena_used;
        let mut end = start + connection.pending.len();
        self.round.arena[start..end].copy_from_slice(&connection.pending);
        // What is left of it goes back there, and what is not needed for that is given back then.
        connection.pending.clear();
        let mut ended = false;
        if connection.wants_input() {
            let room = &mut self.round.arena[end..end + limits::READ_BYTES];
            match read(connection, room) {
                Read::Some(n) | Read::Last(n) => {
                    end += n;
                    self.stats.input_bytes.add(n as u64);
                    if n > 0 {
                        connection.active_at = self.now;
                        connection.arrived_at = connection.backlog.read(n, self.round_at);
                    }
                    if n == limits::READ_BYTES || connection.backlog.is_short() {
                        let deadline = self.context.runtime.deadline();
                        let is_full = n == limits::READ_BYTES;
                        watch_queue(connection, is_full, self.round_at, deadline);
                    }
                }
                Read::End => ended = true,
            }
        }
        self.round.arena_used = end;
        self.decode(token, From::Arena, start..end, ended);
    }

    /// A request larger than a read: it grows in the connection's own buffer, by what has arrived. That is
    /// read into a buffer of the reactor first, so that nothing is reserved, let alone written with zeros,
    /// for what has not.
    fn fill_large(&mut self, token: usize) {
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        let mut ended = false;
        if connection.wants_input() {
            let input = self.round.large_input();
            // One byte more than there may be shows that there is too much.
            let room = match connection.authenticated {
                true => input.len(),
                false => {
                    let held = connection.pending.len();
                    (limits::UNAUTHENTICATED_BYTES + 1)
                        .saturating_sub(held)
                        .max(1)
                }
            };
            let got = match read(connection, &mut input[..room]) {
                Read::Some(n) | Read::Last(n) => n,
                Read::End => {
                    ended = true;
                    0
                }
            };
            connection.keep_input(&input[..got]);
            if got > 0 {
                connection.active_at = self.now;
                connection.arrived_at = connection.backlog.read(got, self.round_at);
                if connection.backlog.is_short() {
                    let deadline = self.context.runtime.deadline();
                    let is_full = got == limits::LARGE_READ_BYTES;
                    watch_queue(connection, is_full, self.round_at, deadline);
                }
            }
            self.stats.input_bytes.add(got as u64);
        }
        let len = connection.pending.len();
        self.decode(token, From::Connection, 0..len, ended);
    }

    /// While the answer to a stranger's login is held back: closes it when the peer has, so that its place is
    /// kept no longer than it waits itself. Whether the password was right makes no difference, or this would
    /// tell. The end stands behind what else was sent, so that is read; but no more than strangers may send.
    pub(crate) fn look_at_stranger(&mut self, token: usize) {
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        if !connection.is_kept_waiting() {
            return;
        }
        let input = self.round.large_input();
        while connection.readable && !connection.peer_done {
            let room = (limits::UNAUTHENTICATED_BYTES + 1).saturating_sub(connection.pending.len());
            if room <= 1 {
                return self.close(token);
            }
            if let Read::Some(n @ 1..) | Read::Last(n @ 1..) = read(connection, &mut input[..room])
            {
                connection.keep_input(&input[..n]);
                connection.active_at = self.now;
                connection.arrived_at = connection.backlog.read(n, self.now);
                self.stats.input_bytes.add(n as u64);
            }
        }
        connection.rest_input();
        if connection.peer_done || connection.pending.len() > limits::UNAUTHENTICATED_BYTES {
            self.close(token);
        }
    }

    /// Throws away what a peer still sends to a connection that has said goodbye.
    fn linger(&mut self, token: usize) {
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        let start = self.round.arena_used;
        let room = &mut self.round.arena[start..start + limits::READ_BYTES];
        if matches!(read(connection, room), Read::End) {
            return self.close(token);
        }
        self.queue(token);
    }

    /// Everything is sent: announces the end, and lingers for what is still under way.
    pub(crate) fn finish(&mut self, token: usize) {
        let Some(Some(connection)) = self.connections.get_mut(token) else {
            return;
        };
        if connection.unsent() > 0 || connection.stalled.is_some() {
            let now = self.now;
            connection
                .unread
                .get_or_insert_with(|| Box::new(Unread::new(now)));
            return self.sweep_soon();
        }
        if connection.peer_done {
            return self.close(token);
        }
        connection.stream.end_of_output();
        connection.life = Life::Lingering(self.now + limits::LINGER_TIMEOUT);
        connection.pending = Vec::new();
        connection.readable = true;
        self.sweep_soon();
        self.queue(token);
    }
}

/// After a full read, and while the kernel keeps a short queue: how much waits behind what was read, whether
/// that has become too much, and whether it no longer is.
fn watch_queue(connection: &mut Connection, is_full: bool, now: Instant, deadline: Duration) {
    let waiting = if is_full {
        connection.stream.waiting()
    } else {
        0
    };
    if is_full {
        connection.backlog.note_waiting(waiting, clock::now());
    }
    let deadline = connection.patience.unwrap_or(deadline).min(deadline);
    let age = now.saturating_duration_since(connection.arrived_at);
    match connection.backlog.advise(waiting, age, deadline, now) {
        Some(Advice::Short) => {
            let before = connection.stream.keep_a_short_queue();
            connection.backlog.shortened(before);
        }
        Some(Advice::Wide { before }) => connection.stream.keep_a_wide_queue(before),
        None => {}
    }
}

fn read(connection: &mut Connection, room: &mut [u8]) -> Read {
    loop {
        match connection.stream.read(room) {
            Ok(0) => {
                connection.readable = false;
                connection.peer_done = true;
                return Read::End;
            }
            // A short read means that the socket was empty: the next bytes bring a new event. But an
            // announced end brings none, so it is read up to.
            Ok(n) if n < room.len() && !connection.peer_done => {
                connection.readable = false;
                return Read::Last(n);
            }
            Ok(n) => return Read::Some(n),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connection.readable = false;
                return Read::Last(0);
            }
            Err(_) => {
                fault::reset();
                connection.readable = false;
                connection.peer_done = true;
                return Read::End;
            }
        }
    }
}
