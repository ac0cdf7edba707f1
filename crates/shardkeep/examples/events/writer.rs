//! Batches out: each is one transaction, and so one record of the log, with the offsets of its sources.
//!
//! 1. A batch holds each source's events without a gap, from where the store stands.
//! 2. Events, counts and offsets of a batch are stored together or not at all: a restart goes on where
//!    the offsets stand, and nothing is stored twice or left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use shardkeep::{CloseReport, Durable, OpenError, Store};
use shardkeep_core::CancelToken;

use crate::flow::{Counts, Event, Offset, Source};
use crate::reader::kind_of;
use crate::say;

/// Longest that a batch waits for more events.
const WINDOW: Duration = Duration::from_millis(5);

/// Longest that a commit may take: then the disk is not there for us.
const COMMIT_TIME: Duration = Duration::from_secs(10);

/// Keys: `event/SOURCE/NUMBER`, `count/KIND`, `source/SOURCE`. All values are text.
#[derive(Clone)]
pub(crate) struct Vault(Store<String, String>);

type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Vault {
    pub(crate) fn open(dir: &Path) -> Result<Self, OpenError> {
        let store = Store::builder().name("events-store").deadline(COMMIT_TIME);
        Ok(Self(store.durable(dir, Durable::new()).open()?))
    }

    /// What is stored of a source.
    pub(crate) fn offset(&self, source: &str) -> Result<Offset, Failed> {
        match self.0.get(source_key(source).as_str())? {
            None => Ok(Offset::default()),
            Some(text) => parse(&text),
        }
    }

    /// Stores a batch. Blocks until it is durable.
    fn commit(&self, batch: &[Event]) -> Result<(), Failed> {
        let kinds: BTreeSet<String> = batch.iter().map(|event| count_key(&event.text)).collect();
        let sources = batch.iter().map(|event| source_key(&event.source.name));
        let sources: BTreeSet<String> = sources.collect();
        let mut keys: Vec<String> = batch.iter().map(event_key).collect();
        let events = keys.clone();
        keys.extend(kinds.into_iter().chain(sources));
        let stored = self.0.transaction(keys, |tx| -> Result<(), Failed> {
            for (event, key) in batch.iter().zip(&events) {
                let source = source_key(&event.source.name);
                let offset = tx
                    .get(source.as_str())?
                    .map_or(Ok(Offset::default()), |t| parse(t))?;
                if offset.lines != event.number {
                    return Err(format!("{key} follows {} stored lines", offset.lines).into());
                }
                let Offset { lines, bytes } = event.until;
                tx.insert(source.as_str(), format!("{lines} {bytes}"))?;
                let kind = count_key(&event.text);
                let count: u64 = tx.get(kind.as_str())?.map_or(Ok(0), |text| text.parse())?;
                tx.insert(kind.as_str(), (count + 1).to_string())?;
                tx.insert(key.as_str(), event.text.clone())?;
            }
            Ok(())
        });
        stored.map_err(|error| match error {
            shardkeep::TransactionError::Aborted(why) => why,
            other => other.to_string().into(),
        })
    }

    pub(crate) fn close(&self) -> CloseReport {
        self.0.close(COMMIT_TIME)
    }
}

fn source_key(source: &str) -> String {
    format!("source/{source}")
}

fn count_key(text: &str) -> String {
    format!("count/{}", kind_of(text))
}

fn event_key(event: &Event) -> String {
    format!("event/{}/{:012}", event.source.name, event.number)
}

fn parse(text: &str) -> Result<Offset, Failed> {
    let (lines, bytes) = text.split_once(' ').ok_or("an offset is two numbers")?;
    let (lines, bytes) = (lines.parse()?, bytes.parse()?);
    Ok(Offset { lines, bytes })
}

/// The last stage.
pub(crate) struct Writer {
    pub(crate) vault: Vault,
    pub(crate) counts: Arc<Counts>,
    pub(crate) batch_max: usize,
    /// Says how it goes after so many stored events.
    pub(crate) report_every: u64,
}

impl Writer {
    /// Stores what comes until nothing more can come, or all is cancelled.
    ///
    /// # Errors
    /// The store does not take a batch.
    pub(crate) fn write(
        &self,
        events: &Receiver<Event>,
        abort: &CancelToken,
    ) -> Result<(), Failed> {
        let (mut order, mut batch) = (Order::default(), Batch::default());
        while !abort.is_cancelled() {
            match events.recv_timeout(batch.left(Instant::now())) {
                Ok(event) => order.put(event, &mut batch),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if abort.is_cancelled() => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return self.commit(&mut batch),
            }
            // After each event, since a queue that is never empty would let no time-out happen.
            if batch.is_due(self.batch_max, Instant::now()) {
                self.commit(&mut batch)?;
            }
        }
        Ok(())
    }

    fn commit(&self, batch: &mut Batch) -> Result<(), Failed> {
        if batch.events.is_empty() {
            return Ok(());
        }
        self.vault.commit(&batch.events)?;
        let count = batch.events.len() as u64;
        let before = self.counts.stored.fetch_add(count, Relaxed);
        self.counts.batches.fetch_add(1, Relaxed);
        if before / self.report_every != (before + count) / self.report_every {
            say(format_args!("progress: {}", self.counts));
        }
        let mut last: Option<(&Arc<Source>, u64)> = None;
        for event in &batch.events {
            match last {
                Some((source, lines)) if !Arc::ptr_eq(source, &event.source) => {
                    source.stored(lines)
                }
                Some(_) | None => {}
            }
            last = Some((&event.source, event.until.lines));
        }
        if let Some((source, lines)) = last {
            source.stored(lines);
        }
        *batch = Batch::default();
        Ok(())
    }
}

/// Puts the events of each source into their order again; holds as many as there are permits, at most.
#[derive(Default)]
struct Order {
    early: BTreeMap<(String, u64), Event>,
}

impl Order {
    fn put(&mut self, event: Event, batch: &mut Batch) {
        let source = Arc::clone(&event.source);
        self.early
            .insert((source.name.clone(), event.number), event);
        let mut next = source.next.load(Relaxed);
        while let Some(event) = self.early.remove(&(source.name.clone(), next)) {
            batch.push(event, Instant::now());
            next += 1;
        }
        source.next.store(next, Relaxed);
    }
}

/// Events that wait for one commit. `opened_at` is set exactly while there are some.
#[derive(Default)]
struct Batch {
    events: Vec<Event>,
    opened_at: Option<Instant>,
}

impl Batch {
    fn push(&mut self, mut event: Event, now: Instant) {
        // From here on it is the batch that is bounded.
        drop(event.permit.take());
        self.opened_at.get_or_insert(now);
        self.events.push(event);
    }

    fn left(&self, now: Instant) -> Duration {
        let opened_at = self.opened_at.unwrap_or(now);
        (opened_at + WINDOW).saturating_duration_since(now)
    }

    fn is_due(&self, batch_max: usize, now: Instant) -> bool {
        match self.opened_at {
            Some(opened_at) => self.events.len() >= batch_max || opened_at + WINDOW <= now,
            None => false,
        }
    }
}
