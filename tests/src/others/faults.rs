//! What goes wrong: how it begins, and when it is over.

use std::env;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use socket2::SockRef;

use super::load::connected;
use super::scene::{POISON, Scene};
use crate::clock;
use crate::harness::{Client, open_files, request};

/// How long something stands still, in milliseconds: nearly the whole window.
const STUCK_MS: u64 = 800;

/// How often something short happens again in a window.
const AGAIN: u32 = 4;

/// Between two of them.
const PAUSE: Duration = Duration::from_millis(200);

/// Clients that go in a window.
const PASSERS: u32 = 200;

/// Clients that come in a window, and are not accepted: fewer than a kernel keeps waiting.
const COMERS: u32 = 50;

/// Connections that overwhelm the shard, and what each sends.
const FLOODERS: usize = 4;
const FLOOD: usize = 2_000;

/// The argument that makes this program a client that is to be stopped.
pub const GREEDY: &str = "greedy-client";

/// A fault.
pub(super) struct Fault {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// Of the server.
    pub(super) flags: &'static [&'static str],
    /// Of the others, those of the other reactor alone: the one that stands still serves nobody.
    pub(super) spares_one_reactor: bool,
    /// Lets it happen; returns when it is over.
    pub(super) strike: fn(&mut Scene) -> io::Result<()>,
}

const fn fault(
    name: &'static str,
    about: &'static str,
    strike: fn(&mut Scene) -> io::Result<()>,
) -> Fault {
    Fault {
        name,
        about,
        flags: &["--deadline", "300ms"],
        spares_one_reactor: false,
        strike,
    }
}

pub(super) const FAULTS: [Fault; 13] = [
    fault("nothing", "nothing happens: what the noise is", nothing),
    fault(
        "shard-panic",
        "a panic takes a shard, which is made again from the log",
        shard_panic,
    ),
    fault(
        "thread-refused",
        "the same, and the system gives no thread for it twice",
        thread_refused,
    ),
    fault(
        "owner-panic",
        "an owner panics and is restarted",
        owner_panic,
    ),
    fault(
        "owner-stuck",
        "an owner stands still with a shard in hand",
        owner_stuck,
    ),
    fault(
        "shard-flooded",
        "the same, and clients overwhelm that shard",
        shard_flooded,
    ),
    Fault {
        spares_one_reactor: true,
        ..fault(
            "reactor-stuck",
            "a reactor stands still with a shard in hand; others: of the other reactor",
            reactor_stuck,
        )
    },
    fault(
        "reactor-panic",
        "a reactor panics, its connections are closed, it is restarted",
        reactor_panic,
    ),
    fault(
        "round-panic",
        "a panic while one client's request is read",
        round_panic,
    ),
    fault(
        "clients-gone",
        "clients leave before their replies, by a reset",
        clients_gone,
    ),
    fault(
        "client-stopped",
        "a client that has asked for much is stopped (SIGSTOP)",
        client_stopped,
    ),
    fault(
        "disk-stuck",
        "a sync hangs, with --sync interval",
        disk_stuck,
    ),
    fault("files", "no descriptor is left, and clients come", files),
];

fn nothing(_: &mut Scene) -> io::Result<()> {
    clock::pass(PAUSE * AGAIN);
    Ok(())
}

/// Loses the shard, as planted.
fn lose(scene: &mut Scene) -> io::Result<()> {
    scene.plant("shard.before_apply@poison=panic")?;
    scene.tell("SET poison v")?;
    scene.recovers()
}

fn shard_panic(scene: &mut Scene) -> io::Result<()> {
    for _ in 0..AGAIN {
        lose(scene)?;
        clock::pass(PAUSE);
    }
    Ok(())
}

fn thread_refused(scene: &mut Scene) -> io::Result<()> {
    scene.plant("thread.start@remake=refuse*2")?;
    lose(scene)
}

fn owner_panic(scene: &mut Scene) -> io::Result<()> {
    // No more than are allowed in ten seconds.
    scene.plant("owner.tick=panic")?;
    scene.tell("SET poison v PX 1")?;
    clock::pass(PAUSE * AGAIN);
    Ok(())
}

/// The owner has the shard in hand for [`STUCK_MS`].
fn stick(scene: &mut Scene) -> io::Result<()> {
    scene.plant(&format!("owner.tend@SHARD=stall:{STUCK_MS}"))?;
    scene.tell("SET poison v PX 1")?;
    // It tends in a while.
    clock::pass(PAUSE);
    Ok(())
}

fn owner_stuck(scene: &mut Scene) -> io::Result<()> {
    stick(scene)?;
    scene.tell("SET poison v")?;
    scene.recovers()
}

fn shard_flooded(scene: &mut Scene) -> io::Result<()> {
    stick(scene)?;
    let address = scene.server.address();
    let flood = request(&["SET", POISON, "v"]).repeat(FLOOD);
    let flooders: io::Result<Vec<Client>> = (0..FLOODERS).map(|_| connected(address)).collect();
    for mut client in flooders? {
        client.send(&flood)?;
        // Not read by anybody until the end.
        client.finish()?;
        drop(client.rest()?);
    }
    scene.recovers()
}

fn reactor_stuck(scene: &mut Scene) -> io::Result<()> {
    scene.plant(&format!("shard.before_apply@poison=stall:{STUCK_MS}"))?;
    scene.tell("SET poison v")?;
    Ok(())
}

fn reactor_panic(scene: &mut Scene) -> io::Result<()> {
    scene.plant("reactor.tick=panic")?;
    clock::pass(PAUSE * AGAIN);
    scene.victim = connected(scene.server.address())?;
    Ok(())
}

fn round_panic(scene: &mut Scene) -> io::Result<()> {
    for _ in 0..AGAIN {
        scene.plant("reactor.decode@poison=panic")?;
        if scene.tell("GET poison").is_ok() {
            return Err(io::Error::other("its connection is still there"));
        }
        scene.victim = connected(scene.server.address())?;
        clock::pass(PAUSE);
    }
    Ok(())
}

fn clients_gone(scene: &mut Scene) -> io::Result<()> {
    let asked = request(&["GET", POISON]).repeat(50);
    for _ in 0..PASSERS {
        let mut stream = TcpStream::connect(scene.server.address())?;
        stream.write_all(&asked)?;
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        drop(stream);
        clock::pass(PAUSE * AGAIN / PASSERS);
    }
    Ok(())
}

/// A client as a process of its own, killed when the value goes.
struct Greedy(Child);

impl Greedy {
    fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("no such process"))?;
        Ok(kill_process(pid, signal)?)
    }
}

impl Drop for Greedy {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn client_stopped(scene: &mut Scene) -> io::Result<()> {
    let address = scene.server.address().to_string();
    let child = Command::new(env::current_exe()?)
        .args([GREEDY, &address])
        .stdin(Stdio::null())
        .spawn()?;
    let greedy = Greedy(child);
    clock::pass(PAUSE / 2);
    greedy.signal(Signal::STOP)?;
    clock::pass(PAUSE * AGAIN);
    Ok(())
}

/// A client that asks for a large value ten times a second, and is stopped in between.
///
/// # Errors
/// The server has gone.
pub fn greedy(address: &str) -> io::Result<()> {
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let mut client = connected(address)?;
    client.call(&["SET", POISON, &"g".repeat(1 << 20)])?;
    loop {
        client.send(&request(&["GET", POISON]).repeat(4))?;
        for _ in 0..4 {
            client.reply_bytes()?;
        }
        clock::pass(Duration::from_millis(100));
    }
}

fn disk_stuck(scene: &mut Scene) -> io::Result<()> {
    scene.plant(&format!("syncer.sync=stall:{STUCK_MS}"))?;
    clock::pass(Duration::from_millis(STUCK_MS));
    Ok(())
}

fn files(scene: &mut Scene) -> io::Result<()> {
    let pid = i32::try_from(scene.server.pid())
        .ok()
        .and_then(Pid::from_raw);
    let before = getrlimit(Resource::Nofile);
    let none_left = Rlimit {
        current: Some(open_files(scene.server.pid())? as u64),
        maximum: before.maximum,
    };
    prlimit(pid, Resource::Nofile, none_left)?;
    let mut waiting = Vec::new();
    for _ in 0..COMERS {
        // The kernel takes it, and nobody accepts it.
        waiting.push(TcpStream::connect(scene.server.address())?);
        clock::pass(PAUSE * AGAIN / COMERS);
    }
    drop(waiting);
    prlimit(pid, Resource::Nofile, before)?;
    drop(connected(scene.server.address())?);
    Ok(())
}
