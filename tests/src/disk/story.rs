//! What a store does, by chance.
//!
//! The store is a small map of keys to the payload that was written last. The history knows every payload
//! by its number, so that nothing can be lost, invented, or moved unseen.
//!
//! 1. Whatever a [`Synced`](shardkeep_log::Synced) has covered must be there after any crash.
//! 2. What is there must be the state after some record, exactly.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::rc::Rc;

use shardkeep_log::format::{FILE_HEADER_BYTES, HEAD_BYTES};
use shardkeep_log::limits::RESERVE_BYTES_MIN;
use shardkeep_log::{
    AdoptError, Compression, DetachedSync, FinishedSnapshot, Log, Lsn, Options, Replay, Reserve,
    SnapshotError, SnapshotWriter, StoreId, SyncEnd, WriteError,
};

use super::oracle::Verdict;
use super::simulated::Disk;
use super::state::SECTOR_BYTES;
use crate::random::Random;

/// The store of all stories.
pub const STORE: StoreId = StoreId::new(*b"a store of tests");

/// Keys of the map: few, so that most are written again and again.
const KEYS: usize = 8;

/// Batches of which one is synced, where that happens at intervals.
const BATCHES_OF_INTERVAL: usize = 4;

/// Bytes of a payload before its filler.
pub(super) const FRAMING_BYTES: usize = 10;

/// Bytes of a segment in which records are aligned, and of such a record.
const ALIGNED_SEGMENT_BYTES: usize = 8 * SECTOR_BYTES;
const ALIGNED_BYTES: usize = SECTOR_BYTES / 4;

/// Bytes of aligned record `number`: the first of a segment fills its first sector.
fn aligned_bytes(number: u64) -> usize {
    const FIRST_BYTES: usize = SECTOR_BYTES - FILE_HEADER_BYTES;
    const IN_SEGMENT: u64 = 1 + ((ALIGNED_SEGMENT_BYTES - SECTOR_BYTES) / ALIGNED_BYTES) as u64;
    match (number - 1) % IN_SEGMENT {
        0 => FIRST_BYTES,
        _ => ALIGNED_BYTES,
    }
}

/// The map.
pub(super) type Map = BTreeMap<u8, Rc<[u8]>>;

/// Which of the batches that [`Story::fill`] writes are synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncs {
    /// Each, before it is acknowledged.
    Always,
    /// Some, as at intervals; not the last.
    Interval,
    /// None.
    Never,
}

/// What was done so far.
#[derive(Clone, Debug)]
pub struct Story {
    /// The payloads, that of record 1 first.
    pub(super) history: Vec<Rc<[u8]>>,
    /// The newest record that was proven to be synced.
    pub acknowledged: u64,
    /// The newest record before those that [`Story::fill`] has synced last: nothing on the disk proves
    /// more, unless the log is closed.
    pub before_last_batch: u64,
    /// How often the store was opened.
    pub(super) life: u8,
    /// How it is opened.
    pub options: Options,
    /// What [`Story::fill`] syncs.
    pub syncs: Syncs,
    compression: Compression,
    /// Whether every fourth record ends with a sector, so that one that a crash has left may follow upon
    /// one that was written later.
    is_aligned: bool,
    chance: Random,
}

/// How a part of a story ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Well,
    /// The log has failed, and said so to every call since.
    Failed,
}

/// A snapshot that is being written.
struct Walk {
    writer: SnapshotWriter<Disk>,
    next_key: u8,
    entries: u64,
}

/// What is under way in one part of a story.
#[derive(Default)]
struct Hands {
    walk: Option<Walk>,
    finished: Option<FinishedSnapshot<Disk>>,
    replay: Option<(Replay<Disk>, u64)>,
    detached: Detached,
}

/// A sync beside the log.
#[derive(Default)]
enum Detached {
    #[default]
    None,
    Begun(DetachedSync<Disk>),
    Run(SyncEnd),
}

fn told<T, E: Display>(result: Result<T, E>, what: &str) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

impl Story {
    /// A new one, with settings by chance.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut chance = Random::new(seed);
        let is_aligned = chance.percent(30);
        let options = Options {
            create: Some(STORE),
            segment_bytes: match is_aligned {
                true => ALIGNED_SEGMENT_BYTES as u64,
                false => chance.one(&[512, 700, 1_500, 4_096]),
            },
            ahead_bytes: chance.one(&[0, 512, 4_096, 1 << 20]),
            snapshots_kept: chance.one(&[1, 1, 2]),
            reserve: Reserve::None,
            ..Options::new()
        };
        Self {
            history: Vec::new(),
            acknowledged: 0,
            before_last_batch: 0,
            life: 0,
            options,
            syncs: Syncs::Always,
            compression: chance.one(&[Compression::None, Compression::Lz4]),
            is_aligned,
            chance,
        }
    }

    /// Half of all stories keep room for a full disk, and end a segment before some snapshots.
    #[must_use]
    pub fn with_room(mut self, seed: u64) -> Self {
        if seed % 2 == 1 {
            self.options.reserve = Reserve::Bytes(RESERVE_BYTES_MIN);
        }
        self
    }

    /// How many records there are.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.history.len() as u64
    }

    pub(super) fn map(&self, records: u64) -> Map {
        let effects = self.history[..records as usize].iter();
        effects
            .map(|payload| (payload[0], Rc::clone(payload)))
            .collect()
    }

    fn payload(&mut self, number: u64) -> Rc<[u8]> {
        let filler = match self.chance.below(10) {
            _ if self.is_aligned => aligned_bytes(number) - HEAD_BYTES - FRAMING_BYTES,
            0 => self.chance.between(600, 1_600),
            1..=2 => self.chance.between(100, 300),
            _ => self.chance.below(40),
        };
        let mut payload = vec![self.chance.below(KEYS) as u8, self.life];
        payload.extend(number.to_le_bytes());
        // Half of a filler is easy to compress.
        payload.extend(self.chance.bytes(filler / 2));
        payload.resize(FRAMING_BYTES + filler, b'.');
        payload.into()
    }

    /// Lives on for `steps` steps, each by chance, and tells the disk what was acknowledged.
    ///
    /// # Errors
    /// What is wrong. Where no trouble was ordered, any error of the log is.
    pub fn live(
        &mut self,
        disk: &Disk,
        log: &mut Log<Disk>,
        steps: usize,
        is_troubled: bool,
    ) -> Result<Ending, String> {
        let mut hands = Hands::default();
        disk.note(self.acknowledged);
        for _ in 0..steps {
            let ending = match self.chance.below(24) {
                0..=5 => self.append(log),
                6..=9 => self.settle(log.write(), is_troubled).map(|_| Ending::Well),
                10..=13 => self.commit(log, &mut hands, is_troubled),
                14 => self.begin_snapshot(log, &mut hands, is_troubled),
                15..=16 => self.walk(log, &mut hands, is_troubled),
                17 => self.adopt(log, &mut hands, is_troubled),
                18 => self.replay(log, &mut hands),
                19..=21 => self.sync_beside(log, &mut hands, is_troubled),
                22 => match log.mark() {
                    Ok(()) => Ok(Ending::Well),
                    Err(_) if is_troubled => Ok(Ending::Failed),
                    Err(failed) => Err(format!("mark: {failed}")),
                },
                _ => match self.chance.below(6) {
                    0 => self.close(log, &mut hands, is_troubled),
                    1 => {
                        hands.walk = None;
                        Ok(Ending::Well)
                    }
                    _ => self.append(log),
                },
            }?;
            disk.note(self.acknowledged);
            if ending == Ending::Failed || log.failed().is_some() {
                return self.insist(log, is_troubled);
            }
        }
        if self.rejoin(log, &mut hands, is_troubled)? == Ending::Failed {
            return self.insist(log, is_troubled);
        }
        disk.note(self.acknowledged);
        Ok(Ending::Well)
    }

    fn append(&mut self, log: &mut Log<Disk>) -> Result<Ending, String> {
        for _ in 0..self.chance.between(1, 5) {
            let number = self.history.len() as u64 + 1;
            let payload = self.payload(number);
            let half = payload.len() / 2;
            let lsn = match self.chance.percent(50) {
                true => log.append(&payload),
                false => log.append_pieces(&[&payload[..half], &[], &payload[half..]]),
            };
            let lsn = told(lsn, "append")?.get();
            if lsn != number {
                return Err(format!("record {number} became {lsn}"));
            }
            self.history.push(payload);
        }
        Ok(Ending::Well)
    }

    /// What a write has said: whether all was written.
    fn settle(&self, result: Result<(), WriteError>, is_troubled: bool) -> Result<bool, String> {
        match result {
            Ok(()) => Ok(true),
            Err(_) if is_troubled => Ok(false),
            Err(error) => Err(format!("write: {error}")),
        }
    }

    /// The next step of a sync beside the log.
    fn sync_beside(
        &mut self,
        log: &mut Log<Disk>,
        hands: &mut Hands,
        is_troubled: bool,
    ) -> Result<Ending, String> {
        hands.detached = match std::mem::take(&mut hands.detached) {
            Detached::None => Detached::Begun(told(log.begin_sync(), "begin a sync")?),
            Detached::Begun(begun) => Detached::Run(begun.run()),
            Detached::Run(end) => match log.end_sync(end) {
                Ok(synced) => {
                    self.acknowledged = synced.lsn().get();
                    Detached::None
                }
                Err(_) if is_troubled => return Ok(Ending::Failed),
                Err(failed) => return Err(format!("end of a sync: {failed}")),
            },
        };
        Ok(Ending::Well)
    }

    /// Ends the sync beside the log, if there is one: nothing else is synced before.
    fn rejoin(
        &mut self,
        log: &mut Log<Disk>,
        hands: &mut Hands,
        is_troubled: bool,
    ) -> Result<Ending, String> {
        while !matches!(hands.detached, Detached::None) {
            if self.sync_beside(log, hands, is_troubled)? == Ending::Failed {
                return Ok(Ending::Failed);
            }
        }
        Ok(Ending::Well)
    }

    fn commit(
        &mut self,
        log: &mut Log<Disk>,
        hands: &mut Hands,
        is_troubled: bool,
    ) -> Result<Ending, String> {
        if self.rejoin(log, hands, is_troubled)? == Ending::Failed {
            return Ok(Ending::Failed);
        }
        // What was written is synced even where there is no space for more.
        let is_whole = self.settle(log.write(), is_troubled)?;
        if is_whole {
            // The reserve is taken again, where it was given up.
            drop(log.room());
        }
        match log.sync() {
            Ok(synced) => {
                if is_whole && !synced.covers(log.appended()) {
                    return Err(format!("{synced:?} does not cover {:?}", log.appended()));
                }
                self.acknowledged = synced.lsn().get();
                Ok(Ending::Well)
            }
            Err(_) if is_troubled => Ok(Ending::Failed),
            Err(failed) => Err(format!("sync: {failed}")),
        }
    }

    fn close(
        &mut self,
        log: &mut Log<Disk>,
        hands: &mut Hands,
        is_troubled: bool,
    ) -> Result<Ending, String> {
        if self.rejoin(log, hands, is_troubled)? == Ending::Failed {
            return Ok(Ending::Failed);
        }
        match log.close() {
            Ok(synced) => {
                self.acknowledged = synced.lsn().get();
                Ok(Ending::Well)
            }
            Err(WriteError::NoSpace(_)) if is_troubled => Ok(Ending::Well),
            Err(_) if is_troubled => Ok(Ending::Failed),
            Err(error) => Err(format!("close: {error}")),
        }
    }

    fn begin_snapshot(
        &mut self,
        log: &mut Log<Disk>,
        hands: &mut Hands,
        is_troubled: bool,
    ) -> Result<Ending, String> {
        let is_busy = hands.walk.is_some() || hands.finished.is_some();
        if self.options.reserve != Reserve::None && self.records().is_multiple_of(2) {
            self.settle(log.end_segment(), is_troubled)?;
        }
        match log.snapshot(self.compression) {
            Ok(_) if is_busy => Err("two snapshots at once".to_owned()),
            Ok(writer) => {
                hands.walk = Some(Walk {
                    writer,
                    next_key: 0,
                    entries: 0,
                });
                Ok(Ending::Well)
            }
            Err(SnapshotError::InProgress) if is_busy => Ok(Ending::Well),
            Err(_) if is_troubled => Ok(Ending::Well),
            Err(error) => Err(format!("snapshot: {error}")),
        }
    }

    /// Writes the next slice of the snapshot, as the map is now, and ends it after the last.
    fn walk(
        &mut self,
        log: &mut Log<Disk>,
        hands: &mut Hands,
        is_troubled: bool,
    ) -> Result<Ending, String> {
        let Some(mut walk) = hands.walk.take() else {
            return self.begin_snapshot(log, hands, is_troubled);
        };
        let until = walk.next_key + self.chance.between(1, 4) as u8;
        let (mut frame, map) = (Vec::new(), self.map(self.records()));
        for payload in map.range(walk.next_key..until).map(|(_, payload)| payload) {
            frame.extend((payload.len() as u16).to_le_bytes());
            frame.extend_from_slice(payload);
            walk.entries += 1;
        }
        walk.next_key = until;
        let written = match usize::from(until) >= KEYS {
            false => walk.writer.frame(&frame).map(|()| hands.walk = Some(walk)),
            true => walk
                .writer
                .frame(&frame)
                .and_then(|()| walk.writer.finish(walk.entries, log.appended()))
                .map(|finished| hands.finished = Some(finished)),
        };
        match written {
            Ok(()) => Ok(Ending::Well),
            Err(_) if is_troubled => Ok(Ending::Well),
            Err(error) => Err(format!("frame: {error}")),
        }
    }

    fn adopt(
        &mut self,
        log: &mut Log<Disk>,
        hands: &mut Hands,
        is_troubled: bool,
    ) -> Result<Ending, String> {
        let Some(finished) = hands.finished.take() else {
            return self.walk(log, hands, is_troubled);
        };
        match log.adopt(finished, log.synced()) {
            Ok(()) => Ok(Ending::Well),
            Err(AdoptError::NotSynced {
                snapshot, needs, ..
            }) => {
                if log.synced().covers(needs) {
                    return Err("a snapshot was refused without need".to_owned());
                }
                hands.finished = Some(snapshot);
                self.commit(log, hands, is_troubled)
            }
            Err(AdoptError::NoSpace(_)) if is_troubled => Ok(Ending::Well),
            Err(_) if is_troubled => Ok(Ending::Failed),
            Err(error) => Err(format!("adopt: {error}")),
        }
    }

    /// Begins to read while the log goes on, or reads to the end what was begun long ago.
    fn replay(&mut self, log: &Log<Disk>, hands: &mut Hands) -> Result<Ending, String> {
        let Some((mut replay, to)) = hands.replay.take() else {
            let to = log.written();
            hands.replay = Some((told(log.replay(to), "replay")?, to.get()));
            return Ok(Ending::Well);
        };
        let (mut map, mut last) = (Map::new(), 0);
        if let Some(snapshot) = replay.snapshot() {
            let read = self.read_snapshot(snapshot).map_err(Verdict::into_text)?;
            (map, last) = (read, snapshot.lsn().get());
        }
        while let Some(record) = told(replay.next_record(), "replay")? {
            last = self.apply(&mut map, last, record)?;
        }
        if last != to || map != self.map(to) {
            return Err(format!("a replay to {to} ended with {last}"));
        }
        Ok(Ending::Well)
    }

    /// After a failure everything says so, with the first error.
    fn insist(&mut self, log: &mut Log<Disk>, is_troubled: bool) -> Result<Ending, String> {
        let Some(failed) = log.failed().map(ToString::to_string) else {
            return Err("something failed and the log did not".to_owned());
        };
        if !is_troubled {
            return Err(format!("failed without trouble: {failed}"));
        }
        let answers = [
            log.append(b"x")
                .map(drop)
                .map_err(|error| error.to_string()),
            log.write().map_err(|error| error.to_string()),
            log.sync().map(drop).map_err(|error| error.to_string()),
            log.close().map(drop).map_err(|error| error.to_string()),
            log.mark().map_err(|error| error.to_string()),
            log.snapshot(self.compression)
                .map(drop)
                .map_err(|error| error.to_string()),
        ];
        match answers
            .iter()
            .find(|answer| answer.as_ref().err() != Some(&failed))
        {
            None => Ok(Ending::Failed),
            Some(answer) => Err(format!("after \"{failed}\" came {answer:?}")),
        }
    }

    /// Appends, writes and syncs, as [`Story::syncs`] says, until there are `bytes` more; for stores that
    /// tests look at afterwards.
    ///
    /// # Errors
    /// The log refuses.
    pub fn fill(&mut self, log: &mut Log<Disk>, bytes: usize) -> Result<(), String> {
        let (mut written, mut batches) = (0, 0);
        while written < bytes {
            let before = self.history.len();
            self.before_last_batch = self.records();
            self.append(log)?;
            let new = self.history[before..].iter();
            written += new.map(|payload| payload.len()).sum::<usize>();
            batches += 1;
            let is_last = written >= bytes;
            let is_synced = match self.syncs {
                Syncs::Always => true,
                Syncs::Interval => batches % BATCHES_OF_INTERVAL == 0 && !is_last,
                Syncs::Never => false,
            };
            match is_synced {
                true => drop(self.commit(log, &mut Hands::default(), false)?),
                false => told(log.write(), "write")?,
            }
        }
        Ok(())
    }

    /// Writes a whole snapshot of the present state and adopts it.
    ///
    /// # Errors
    /// The log refuses.
    pub fn snapshot(&mut self, log: &mut Log<Disk>) -> Result<Lsn, String> {
        let mut hands = Hands::default();
        self.begin_snapshot(log, &mut hands, false)?;
        while hands.walk.is_some() {
            self.walk(log, &mut hands, false)?;
        }
        self.commit(log, &mut hands, false)?;
        self.adopt(log, &mut hands, false)?;
        log.newest_snapshot()
            .ok_or_else(|| "no snapshot".to_owned())
    }
}
