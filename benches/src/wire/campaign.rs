//! Running servers, and the rounds over them.
//!
//! 1. All servers are started and loaded first; then rounds alternate over them, so that a machine
//!    that gets slower gets slower for all.
//! 2. What was measured is kept when a later point fails.

use anyhow::{Context as _, Result};

use super::Wire;
use super::generator::{self, CHECK_EVERY, Load, Window};
use super::load;
use super::outcome::{Asked, Outcome, Setting, Shown};
use super::plan::{self, Plan, Point, Rhythm};
use super::protocol::{KEY_BYTES, Protocol, Wording};
use super::tables::table;
use super::tape::{Mix, Script, Tape};
use crate::environment::describe;
use crate::progress::Progress;
use crate::server::process::{pin_to, resident_bytes};
use crate::server::{Capacity, Server, ServerName};

/// The core of the servers and that of the generator under `--pin`.
const SERVER_CORE: usize = 0;
const GENERATOR_CORE: usize = 1;

/// Servers that are being compared, and what was found.
pub(super) struct Campaign<'a> {
    wire: &'a Wire,
    rhythm: Rhythm,
    progress: &'a Progress,
    servers: Vec<Server>,
    /// Lines so far.
    pub(super) outcomes: Vec<Outcome>,
    /// What was planned and not measured, and why.
    pub(super) skipped: Vec<String>,
}

impl<'a> Campaign<'a> {
    /// Starts and loads the servers for so many clients; under `--pin` they stay on their core.
    ///
    /// # Errors
    /// A server does not start, or does not take the keys.
    pub(super) fn start(
        wire: &'a Wire,
        rhythm: Rhythm,
        progress: &'a Progress,
        names: &[ServerName],
        clients: usize,
    ) -> Result<Self> {
        let capacity = Capacity {
            clients,
            keys: wire.keys,
            value_bytes: wire.value_bytes,
        };
        if wire.pin {
            pin_to(SERVER_CORE)?;
        }
        let mut servers = Vec::new();
        for &name in names {
            progress.say(&format!("start {}", name.label()));
            servers.push(wire.launch.start(name, capacity)?);
        }
        if wire.pin {
            pin_to(GENERATOR_CORE)?;
        }
        for server in servers.iter().filter(|server| server.name().stores()) {
            progress.say(&format!("load {}", server.name().label()));
            let wording = Wording {
                protocol: server.name().protocol(Protocol::Resp2),
                value_bytes: wire.value_bytes,
            };
            load::load(server.address(), wording, wire.keys)
                .with_context(|| format!("load {}", server.name().label()))?;
        }
        Ok(Self {
            wire,
            rhythm,
            progress,
            servers,
            outcomes: Vec::new(),
            skipped: Vec::new(),
        })
    }

    /// Measures everything that is planned.
    ///
    /// # Errors
    /// A server fails under load; a file cannot be written.
    pub(super) fn run(&mut self, plan: &Plan) -> Result<()> {
        for point in &plan.points {
            self.measure(point, |name| point.concerns(name))?;
        }
        if plan.rates {
            self.sweep_rates()?;
        }
        Ok(())
    }

    /// Raises the offered rate, for each server until it, or the generator for it, is saturated.
    fn sweep_rates(&mut self) -> Result<()> {
        let points = plan::rates(self.best_closed());
        let mut following: Vec<ServerName> = self.servers.iter().map(Server::name).collect();
        for (index, point) in points.iter().enumerate() {
            let outcomes = self.measure(point, |name| following.contains(&name))?;
            let higher = points.len() - index - 1;
            for outcome in &self.outcomes[outcomes..] {
                if let Some(who) = outcome.schedule.saturated
                    && higher > 0
                {
                    following.retain(|name| name.label() != outcome.server);
                    self.skipped.push(format!(
                        "{}, {higher} higher rates: {} saturated at {} op/s",
                        outcome.server,
                        who.label(),
                        outcome.asked.rate().unwrap_or(0),
                    ));
                    for _ in 0..higher * self.rhythm.rounds as usize {
                        self.progress.step();
                    }
                }
            }
            if following.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// The best closed-loop rate of any server where rates are swept.
    fn best_closed(&self) -> f64 {
        let scale = self.outcomes.iter().filter(|outcome| outcome.is_scale);
        scale.map(|outcome| outcome.ops_per_s).fold(0.0, f64::max)
    }

    /// Measures one point in all rounds and shows it; returns where its outcomes begin.
    fn measure(&mut self, point: &Point, takes: impl Fn(ServerName) -> bool) -> Result<usize> {
        let servers: Vec<&Server> = self
            .servers
            .iter()
            .filter(|server| takes(server.name()))
            .collect();
        let tapes = self.tapes(point, &servers);
        let mut shown: Vec<Shown> = Vec::new();
        for server in &servers {
            shown.push(Shown::nothing_yet(server.name())?);
        }
        for round in 1..=self.rhythm.rounds {
            for (server, shown) in servers.iter().zip(&mut shown) {
                let protocol = server.name().protocol(point.resp);
                if let Some((_protocol, tape)) = tapes.iter().find(|(of, _)| *of == protocol) {
                    shown.add(self.window(point, round, server, tape)?);
                }
                self.progress.step();
            }
        }
        let from = self.outcomes.len();
        let mut outcomes = Vec::new();
        for (server, shown) in servers.iter().zip(shown) {
            self.save_distributions(point, &shown)?;
            let asked = Asked::of(point, server.name(), self.setting());
            let rss = resident_bytes(server.pid())?;
            let mut outcome = Outcome::of(shown, server.version(), asked, rss);
            outcome.is_scale = plan::is_scale(point);
            outcomes.push(outcome);
        }
        self.progress.show(&self.text(point, &outcomes))?;
        self.outcomes.extend(outcomes);
        Ok(from)
    }

    /// One server in one round.
    fn window(&self, point: &Point, round: u32, server: &Server, tape: &Tape) -> Result<Window> {
        let label = server.name().label();
        let what = point.describe();
        self.progress
            .say(&format!("{what}: round {round}, {label}"));
        let load = Load {
            tape,
            check_every: server.name().stores().then_some(CHECK_EVERY),
            connections: point.connections,
            pipeline: point.pipeline,
            threads: self.wire.threads(),
            warm_up: self.rhythm.warm_up,
            window: self.rhythm.window,
            seed: self.wire.common.seed.wrapping_add(u64::from(round)),
            pace: point.pace,
        };
        generator::run(load, server.address(), server.pid())
            .with_context(|| format!("{label} at {what}"))
    }

    /// A tape for every protocol these servers are asked in.
    fn tapes(&self, point: &Point, servers: &[&Server]) -> Vec<(Protocol, Tape)> {
        let mut tapes: Vec<(Protocol, Tape)> = Vec::new();
        for server in servers {
            let protocol = server.name().protocol(point.resp);
            if tapes.iter().any(|(of, _tape)| *of == protocol) {
                continue;
            }
            let script = Script {
                seed: self.wire.common.seed,
                keys: self.wire.keys,
                distribution: point.distribution,
                mix: if server.name().stores() {
                    Mix::reads_per_write(self.wire.reads_per_write)
                } else {
                    Mix::Reads
                },
                wording: Wording {
                    protocol,
                    value_bytes: self.wire.value_bytes,
                },
            };
            tapes.push((protocol, Tape::new(&script, script.length())));
        }
        tapes
    }

    fn setting(&self) -> Setting {
        Setting {
            keys: self.wire.keys,
            key_bytes: KEY_BYTES,
            value_bytes: self.wire.value_bytes,
            reads_per_write: self.wire.reads_per_write,
            generator_threads: self.wire.threads(),
            pinned: self.wire.pin,
            window_s: self.rhythm.window.as_secs_f64(),
            warm_up_s: self.rhythm.warm_up.as_secs_f64(),
        }
    }

    fn save_distributions(&self, point: &Point, shown: &Shown) -> Result<()> {
        let name = point.file_name(shown.name());
        let common = &self.wire.common;
        common.save_distribution(&name, &shown.latencies)?;
        if shown.lateness.is_empty() {
            return Ok(());
        }
        common.save_distribution(&format!("{name}-lateness"), &shown.lateness)
    }

    fn text(&self, point: &Point, outcomes: &[Outcome]) -> String {
        format!(
            "{}\n{}\n{} keys, {}-byte values, {} GETs per SET, {} generator threads{}, {} rounds \
             of {} s\n\n{}",
            describe(),
            point.describe(),
            self.wire.keys,
            self.wire.value_bytes,
            self.wire.reads_per_write,
            self.wire.threads().min(point.connections),
            if self.wire.pin { ", pinned" } else { "" },
            self.rhythm.rounds,
            self.rhythm.window.as_secs_f64(),
            table(outcomes).text(),
        )
    }
}
