//! Opens a keep: makes its shards and starts its threads.

use std::sync::Arc;

use crate::committer::Committer;
use crate::config::Config;
use crate::duty::JournalDesk;
use crate::error::OpenError;
use crate::event::{Event, Events};
use crate::keep::Keep;
use crate::owner::Owner;
use crate::process;
use crate::shared::{Make, Remake, Shared};
use crate::syncer;
use crate::work::State;

impl<S: State> Keep<S> {
    /// Opens a keep: makes its shards with `make(shard)` and starts its owner threads. `events` is
    /// called on the thread that notices, and must not block.
    ///
    /// # Errors
    /// A setting outside of its limits, or a thread that could not be started.
    pub fn open(
        config: Config,
        make: impl Fn(usize) -> S + Send + Sync + 'static,
        events: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        Self::open_with(config, Box::new(make), None, Arc::new(events))
    }

    /// As [`Keep::open`], for states whose effects a journal keeps ([`Config::durability`]): a shard
    /// that was lost is made again by `remake(shard, journal)`, on a thread of its own, while the
    /// others go on; its mail is refused until then. What works had completed before the loss is in the
    /// journal when `remake` gets at it.
    ///
    /// Writes are admitted once the journal is there: [`Keep::install_journal`].
    ///
    /// # Errors
    /// As [`Keep::open`].
    pub fn open_kept(
        config: Config,
        make: impl Fn(usize) -> S + Send + Sync + 'static,
        remake: impl Fn(usize, &JournalDesk<S::Journal>) -> S + Send + Sync + 'static,
        events: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self, OpenError> {
        let remake = Some(Box::new(remake) as Remake<S>);
        Self::open_with(config, Box::new(make), remake, Arc::new(events))
    }

    fn open_with(
        config: Config,
        make: Make<S>,
        remake: Option<Remake<S>>,
        events: Events,
    ) -> Result<Self, OpenError> {
        config.check()?;
        process::watch_forks().map_err(OpenError::Forks)?;
        let shared = Shared::new(config, make, remake, events);
        let threads = Arc::clone(&shared.threads);
        let keep = Self { shared, threads };
        for number in 0..keep.shared.config.owners {
            keep.start_owner(number)?;
        }
        Ok(keep)
    }

    fn start_owner(&self, number: usize) -> Result<(), OpenError> {
        let name = format!("{}-owner-{number}", self.shared.config.name);
        let owner = Owner::new(Arc::clone(&self.shared), number);
        self.threads.start(name, move || owner.run())
    }

    pub(crate) fn start_committer(&self) -> Result<(), OpenError> {
        let name = format!("{}-committer", self.shared.config.name);
        let committer = Committer::new(Arc::clone(&self.shared));
        let aside = self.shared.log.as_ref().filter(|log| log.syncs_aside());
        if let Some(log) = aside {
            let log = Arc::clone(log);
            let name = format!("{}-syncer", self.shared.config.name);
            self.threads.start(name, move || syncer::run(&log))?;
        }
        self.threads
            .start(name, move || committer.run())
            .inspect_err(|_| {
                if let Some(log) = aside {
                    log.aside.close();
                }
            })
    }
}
