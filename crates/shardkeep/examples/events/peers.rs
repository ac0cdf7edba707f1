//! Lines from connections.
//!
//! A peer says `source NAME`, is told `stored N`, and sends its events from number N on (the first is
//! number 0). Whenever more are stored it is told again. After any end it connects again and goes on from
//! the number that it is told: so each event is stored once.
//!
//! 1. A connection's reader and its speaker have one thread each; the speaker ends when the last event of
//!    the connection is stored, and has then told so.
//! 2. A peer that does not read what it is told loses its connection, and nobody waits for it.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;
use shardkeep_core::Deadline;
use shardkeep_core::fail_fast::FailFast;
use shardkeep_core::semaphore::Semaphore;

use crate::flow::{Flow, Names, Word};
use crate::reader::read_lines;
use crate::writer::Vault;

/// Connections at a time.
const CONNECTIONS_MAX: usize = 64;

/// Longest first line of a connection, in bytes.
const HELLO_MAX: u64 = 256;

/// How long a peer may take to say who it is, and to take what it is told.
const PEER_TIME: Duration = Duration::from_secs(5);

/// How long a peer may send nothing: one that is gone without a word must not keep its name for ever.
const IDLE_TIME: Duration = Duration::from_secs(60);

/// The connections that are open, to end their reading.
#[derive(Clone, Default)]
pub(crate) struct Open(Arc<Mutex<(bool, HashMap<u64, TcpStream>)>>);

impl Open {
    /// Ends the reading of all connections, and of all later ones.
    pub(crate) fn close(&self) {
        let mut open = self.0.lock();
        open.0 = true;
        for stream in open.1.values() {
            drop(stream.shutdown(Shutdown::Read));
        }
    }

    fn add(&self, number: u64, stream: &TcpStream) -> io::Result<()> {
        let mut open = self.0.lock();
        if open.0 {
            stream.shutdown(Shutdown::Read)?;
        }
        open.1.insert(number, stream.try_clone()?);
        Ok(())
    }

    fn remove(&self, number: u64) {
        self.0.lock().1.remove(&number);
    }
}

/// Serves connections until it is told to stop; each by threads of the group.
///
/// # Errors
/// Nothing can be accepted any more.
pub(crate) fn listen<'scope>(
    group: &FailFast<'scope, '_, String>,
    listener: &TcpListener,
    open: &Open,
    names: &Names,
    vault: &Vault,
    flow: &Flow,
) -> Result<(), String> {
    let places = Semaphore::new(CONNECTIONS_MAX);
    let mut number = 0_u64;
    loop {
        // Ends by a connection; whoever stops the program makes one.
        let accepted = listener.accept();
        if flow.stop.is_cancelled() {
            return Ok(());
        }
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(format!("nothing can be accepted: {error}")),
        };
        let Some(place) = places.try_acquire() else {
            drop(tell(&stream, "error too many connections\n"));
            continue;
        };
        number += 1;
        let (open, names) = (open.clone(), names.clone());
        let (vault, flow) = (vault.clone(), flow.clone());
        group.spawn(format!("peer-{number}"), move |_| {
            let _place = place;
            // What is wrong with a peer is told to the peer.
            if open.add(number, &stream).is_ok() {
                drop(serve(&stream, &names, &vault, flow));
            }
            open.remove(number);
            Ok(())
        });
    }
}

/// Reads one connection to its end, and tells its peer what is stored until all is.
fn serve(stream: &TcpStream, names: &Names, vault: &Vault, flow: Flow) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BufReader::new(Patient {
        stream,
        until: Some(Deadline::after(PEER_TIME)),
    });
    let mut hello = Vec::new();
    let mut beginning = input.by_ref().take(HELLO_MAX);
    // What has not come by its time has no end.
    let _read = beginning.read_until(b'\n', &mut hello);
    let hello = String::from_utf8_lossy(&hello);
    let name = hello
        .strip_prefix("source ")
        .and_then(|name| name.strip_suffix('\n'));
    let Some(name) = name.map(str::trim_end).filter(|name| is_name(name)) else {
        return tell(stream, "error the first line is: source NAME\n");
    };
    let name = format!("peer:{name}");
    let (peer, words) = bounded(1);
    let (source, from) = match names.source(&name, Some(peer.clone()), || vault.offset(&name)) {
        Some(Ok(source)) => source,
        Some(Err(error)) => return tell(stream, &format!("error {error}\n")),
        None => return tell(stream, "error the source is in use\n"),
    };
    input.get_mut().until = None;
    tell(stream, &format!("stored {}\n", from.lines))?;
    let stored = Arc::clone(&source.stored);
    std::thread::scope(|scope| {
        let speaker = std::thread::Builder::new().name("speaker".to_owned());
        let speaks =
            speaker.spawn_scoped(scope, move || speak(stream, &words, &stored, from.lines));
        if let (Err(wrong), Ok(_)) = (read_lines(&mut input, &source, from, &flow), speaks) {
            // Taken by the speaker, which ends only after us, or when the peer is gone.
            drop(peer.send(Word::Refused(wrong.to_string())));
        }
        // Now only the events under way keep the speaker: and the permits and places of the flow.
        drop((source, peer, flow));
        Ok(())
    })
}

/// A connection that is read until a deadline, or else as long as something comes.
struct Patient<'s> {
    stream: &'s TcpStream,
    until: Option<Deadline>,
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = |until: Deadline| until.instant().saturating_duration_since(Instant::now());
        let time = self.until.map_or(IDLE_TIME, left);
        if time.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(time))?;
        self.stream.read(buffer)
    }
}

/// Tells the peer whenever more is stored, until nothing more can be.
fn speak(stream: &TcpStream, words: &Receiver<Word>, stored: &AtomicU64, told: u64) {
    let (mut told, mut wrong) = (told, None);
    loop {
        // Ends with the source, which goes with its reader and its last event.
        let word = words.recv();
        let count = stored.load(Relaxed);
        let news = match count > told {
            true => tell(stream, &format!("stored {count}\n")),
            false => Ok(()),
        };
        told = count;
        match (news, word) {
            (Ok(()), Ok(Word::Stored)) => {}
            (Ok(()), Ok(Word::Refused(why))) => wrong = Some(why),
            (Ok(()), Err(_)) => break,
            (Err(_), _) => {
                // The reader must not go on for a peer that does not listen.
                drop(stream.shutdown(Shutdown::Both));
                return;
            }
        }
    }
    if let Some(why) = wrong {
        drop(tell(stream, &format!("error {why}\n")));
    }
    drop(stream.shutdown(Shutdown::Write));
}

fn tell(mut stream: &TcpStream, line: &str) -> io::Result<()> {
    stream.set_write_timeout(Some(PEER_TIME))?;
    stream.write_all(line.as_bytes())
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && name.len() <= 64 && name.chars().all(fits)
}
