//! Opening the store of a server: in memory, or kept in a directory.

use std::sync::Arc;

use crossbeam_channel::Sender;
use shardkeep::durable::{self, Compression, Directory, Durable, LogJournal, RecoverError, Route};
use shardkeep::engine::supervisor::ChildEvent;
use shardkeep::engine::{
    Config, Durability, Event, JournalDesk, Keep, LogEvent, OpenError, SyncMode,
};

use crate::config::{self, Handover, Settings, bounds};
use crate::engine::{Gauges, Keeping, Routes, ServerKeep, ShardState};
use crate::say::say;
use crate::server::ShutdownCause;
use shardkeep_data::keyspace::CONTENT;

/// What is needed to open a store.
pub(crate) struct Opening<'s> {
    pub(crate) settings: &'s Settings,
    pub(crate) reactors: usize,
    pub(crate) shutdown: Sender<ShutdownCause>,
}

/// A store, and where it is kept.
pub(crate) struct Opened {
    pub(crate) keep: ServerKeep,
    pub(crate) routes: Routes,
    pub(crate) gauges: Arc<Gauges>,
    /// Its directory, still to be recovered.
    pub(crate) kept: Option<KeptAt>,
}

/// The directory of a store, locked.
pub(crate) struct KeptAt {
    pub(crate) directory: Directory,
    pub(crate) durable: Durable,
    pub(crate) route: Arc<Route>,
    pub(crate) compression: Compression,
}

impl Opening<'_> {
    /// Opens the store; one with a directory is empty and admits no writes before it is recovered.
    ///
    /// # Errors
    /// The directory is in use or cannot be opened, or there is no thread to be had.
    pub(crate) fn open(self) -> Result<Opened, OpenError> {
        let config = self.config();
        let routes = Routes::new(config.shards, ahash::RandomState::new());
        let gauges = Arc::new(Gauges::new(config.shards, self.settings.databases));
        let keeping = self.keeping();
        let (make_routes, make_gauges) = (routes.clone(), Arc::clone(&gauges));
        let make = move |shard| {
            let (routes, gauges) = (make_routes.clone(), Arc::clone(&make_gauges));
            ShardState::new(shard, routes, gauges, keeping)
        };
        let Some(path) = &self.settings.dir else {
            let keep = Keep::open(
                config,
                make,
                teller(self.shutdown.clone(), LOST_FROM_MEMORY),
            )?;
            return Ok(Opened {
                keep,
                routes,
                gauges,
                kept: None,
            });
        };
        let directory = Directory::create(path)
            .map_err(|error| OpenError::Recovery(Box::new(RecoverError::from(error))))?;
        let by_hash = routes.clone();
        let route: Arc<Route> = Arc::new(move |key: &[u8]| Ok(by_hash.shard(by_hash.hash(key))));
        let (make_again, by_route) = (make.clone(), Arc::clone(&route));
        let remake = move |shard: usize, journal: &JournalDesk<LogJournal>| {
            match durable::remake(shard, make_again(shard), journal, &*by_route) {
                Ok(state) => {
                    say(&format!("shard {shard} was made again from the log"));
                    state
                }
                // The owner catches it, tells, and tries again.
                Err(error) => panic!("{error}"),
            }
        };
        let tell = teller(self.shutdown.clone(), LOST_WITH_A_LOG);
        let mut durable = Durable::new()
            .sync(self.sync_mode())
            .content(CONTENT)
            .snapshot_after_bytes(self.settings.snapshot_log_bytes);
        if let Some(bytes) = self.settings.disk_reserve {
            durable = durable.disk_reserve(bytes);
        }
        let compression = if self.settings.compress_snapshots {
            Compression::Lz4
        } else {
            Compression::None
        };
        let keep = Keep::open_kept(config, make, remake, tell)?;
        let kept = Some(KeptAt {
            directory,
            durable,
            route,
            compression,
        });
        Ok(Opened {
            keep,
            routes,
            gauges,
            kept,
        })
    }

    fn keeping(&self) -> Keeping {
        match (&self.settings.dir, self.settings.sync) {
            (None, _) => Keeping::Nothing,
            (Some(_), config::Sync::Always) => Keeping::Synced,
            (Some(_), config::Sync::Interval | config::Sync::Never) => Keeping::Log,
        }
    }

    fn sync_mode(&self) -> SyncMode {
        match self.settings.sync {
            config::Sync::Always => SyncMode::Always,
            config::Sync::Interval => SyncMode::Interval(self.settings.sync_interval),
            config::Sync::Never => SyncMode::Never,
        }
    }

    fn config(&self) -> Config {
        let settings = self.settings;
        let default = Config::default();
        let shards = settings.shards.unwrap_or(default.shards);
        let durability = settings.dir.as_ref().map(|_| Durability {
            sync: self.sync_mode(),
            window: settings.write_window.unwrap_or(bounds::LOG_WINDOW_DEFAULT),
            lend: settings.commit == config::Commit::Auto,
        });
        Config {
            shards,
            owners: settings.owners.unwrap_or(default.owners.min(shards)),
            handover: match settings.handover {
                Handover::Lend => shardkeep::engine::Handover::Lend,
                Handover::Mail => shardkeep::engine::Handover::Mail,
            },
            reserved_places: self.reactors,
            write_window: settings.write_window.unwrap_or_default(),
            durability,
            ..default
        }
    }
}

const LOST_FROM_MEMORY: &str = "it starts again EMPTY (there is no log to rebuild it from)";
const LOST_WITH_A_LOG: &str =
    "it is being made again from the log, and its clients are told to try again";

/// Tells what happens to a store, and ends the server where it cannot go on.
fn teller(
    shutdown: Sender<ShutdownCause>,
    what_then: &'static str,
) -> impl Fn(Event) + Send + Sync + 'static {
    // Full means that somebody has asked for the end already.
    let end = move |cause| drop(shutdown.try_send(cause));
    move |event| match event {
        Event::ShardLost { shard } => say(&format!(
            "error: shard {shard} was lost to a panic; {what_then}"
        )),
        Event::RebuildFailed { shard, why } => {
            say(&format!(
                "error: shard {shard} could not be made again: {why}"
            ));
        }
        Event::ShardGivenUp { shard, why } => {
            say(&format!("error: shard {shard} is given up: {why}"));
            end(ShutdownCause::NotRebuilt { shard, why });
        }
        Event::Thread(event) => {
            say(&format!("error: {event}"));
            if let ChildEvent::Escalated { child: name, why } = event {
                end(ShutdownCause::ThreadDied { name, why });
            }
        }
        Event::Log(LogEvent::Failed(why)) => say(&format!(
            "error: the log has failed: {why}; writes are refused until the server is started again"
        )),
        Event::Log(LogEvent::NoSpace(why)) => say(&format!(
            "error: there is no space for the log: {why}; writes are refused until there is"
        )),
        Event::Log(LogEvent::Resumed) => {
            say("there is space for the log again; writes are admitted");
        }
        Event::Log(LogEvent::Warning(text)) => say(&format!("warning: {text}")),
        other => say(&format!("error: {other:?}")),
    }
}
