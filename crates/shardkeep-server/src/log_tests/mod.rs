//! What clients see of a log whose disk the test holds back, breaks, or reads slowly.

#![expect(clippy::disallowed_methods, reason = "a test may wait")]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use shardkeep::durable::DiskStep;
use shardkeep::engine::{Call, JournalError};

use super::*;
use crate::config::{Commit, Sync};

mod disk;
mod health;
mod recovery;
mod waiting;
#[cfg(debug_assertions)]
mod walks;

/// Nothing in here takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A directory of its own for each test, removed with it.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Relaxed);
        let name = format!("shardkeep-server-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // What an earlier process of the same number has left.
        drop(std::fs::remove_dir_all(&path));
        Self(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// What the disk does when it is asked for a step.
#[derive(Clone)]
enum Disk {
    Works,
    /// It answers when the other end is dropped.
    Waits(Receiver<()>),
    Fails(JournalError),
}

/// A disk in the hands of a test.
#[derive(Clone)]
struct Hand(Arc<Mutex<[Disk; 2]>>);

impl Hand {
    fn new() -> Self {
        Self(Arc::new(Mutex::new([Disk::Works, Disk::Works])))
    }

    fn set(&self, step: DiskStep, disk: Disk) {
        self.0.lock()[usize::from(step == DiskStep::Sync)] = disk;
    }

    /// Holds a step back until what this returns is dropped.
    fn hold(&self, step: DiskStep) -> Sender<()> {
        let (open, opened) = bounded(0);
        self.set(step, Disk::Waits(opened));
        open
    }

    fn answer(&self, step: DiskStep) -> Result<(), JournalError> {
        let disk = self.0.lock()[usize::from(step == DiskStep::Sync)].clone();
        match disk {
            Disk::Works => Ok(()),
            Disk::Waits(opened) => {
                wait_for(&opened);
                Ok(())
            }
            Disk::Fails(error) => Err(error),
        }
    }
}

fn settings(place: &Place, sync: Sync) -> Settings {
    Settings {
        bind: vec![([127, 0, 0, 1], 0).into()],
        admin: crate::config::AdminAt::Off,
        shards: Some(4),
        owners: Some(2),
        // Requests that arrive one after the other are then served in that order.
        reactors: Some(1),
        deadline: PATIENCE,
        dir: Some(place.0.clone()),
        sync,
        commit: Commit::Thread,
        ..Settings::default()
    }
}

fn start(settings: Settings, hand: &Hand) -> Server {
    let hand = hand.clone();
    let server = Server::start_with(settings, move |mut kept| {
        kept.durable = kept.durable.gate(move |step| hand.answer(step));
        kept
    })
    .unwrap();
    server.ready().recv_timeout(PATIENCE).unwrap();
    server
}

/// One whose recovery goes on when what this returns is dropped.
fn start_slowly(settings: Settings) -> (Server, Sender<()>) {
    let (open, opened) = bounded(0);
    let server = Server::start_with(settings, move |mut kept| {
        let route = kept.route;
        kept.route = Arc::new(move |key: &[u8]| {
            wait_for(&opened);
            (*route)(key)
        });
        kept
    });
    (server.unwrap(), open)
}

/// Returns when the test has dropped its end.
fn wait_for(opened: &Receiver<()>) {
    let _disconnected = opened.recv();
}

struct Client(TcpStream);

impl Client {
    /// One that the reactor has met.
    fn of(server: &Server) -> Self {
        let stream = TcpStream::connect(&server.addresses()[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Self(stream);
        client.ask("ECHO here", "$4\r\nhere\r\n");
        client
    }

    fn send(&mut self, requests: &str) {
        self.0.write_all(requests.as_bytes()).unwrap();
    }

    /// Exactly this comes next.
    #[track_caller]
    fn expect(&mut self, replies: &str) {
        let mut got = vec![0; replies.len()];
        self.0.read_exact(&mut got).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), replies);
    }

    #[track_caller]
    fn ask(&mut self, requests: &str, replies: &str) {
        self.send(&format!("{requests}\r\n"));
        self.expect(replies);
    }

    /// The next line.
    fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// The next reply has come, or has not.
    fn has_reply(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let peeked = self.0.peek(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
        match peeked {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The first key `k0, k1, ...` that lies in shard `shard`, after `skip` of them.
fn key_in(server: &Server, shard: usize, skip: usize) -> String {
    let routes = &server.context.routes;
    let in_shard = |key: &String| routes.shard(routes.hash(key.as_bytes())) == shard;
    let mut keys = (0..).map(|n| format!("k{n}")).filter(in_shard);
    keys.nth(skip).unwrap()
}

/// Until everything that was sent before has been served, as far as it can be: two replies of the same
/// reactor to somebody else.
fn settle(other: &mut Client) {
    other.ask("PING", "+PONG\r\n");
    other.ask("PING", "+PONG\r\n");
}
