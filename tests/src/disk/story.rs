//! What a store does, by chance.
//!
//! The store is a small map of keys to the payload that was written last. The history knows every payload
//! by its number, so that nothing can be lost, invented, or moved unseen; and which numbers belong to the parts
//! of a large record, to cuts, and to what a crash has left unfinished.
//!
//! 1. Whatever a [`Synced`](shardkeep_log::Synced) has covered must be there after any crash.
//! 2. What is there must be the state after some record, exactly.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::rc::Rc;

use shardkeep_log::format::{FILE_HEADER_BYTES, HEAD_BYTES};
use shardkeep_log::limits::{PAYLOAD_BYTES_MAX, RESERVE_BYTES_MIN};
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

/// Bytes of a part of a record, where records have parts.
const PART_BYTES: [usize; 2] = [64, 200];

/// How many of a hundred appends are cuts.
const CUTS: usize = 8;

/// What has a number in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A record, or the last part of one.
    Record(Rc<[u8]>),
    /// Another part of a record.
    Part,
    /// A cut.
    Cut,
    /// The mark that the parts before it were abandoned.
    Abandoned,
}

impl Entry {
    pub(super) fn record(&self) -> Option<&Rc<[u8]>> {
        match self {
            Self::Record(payload) => Some(payload),
            Self::Part | Self::Cut | Self::Abandoned => None,
        }
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
    /// What has the numbers of the log, 1 first.
    pub(super) history: Vec<Entry>,
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
    /// The map at the record at which it begins; `None`: each slice is of the map as it is then.
    at_cut: Option<Map>,
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
            part_bytes: match is_aligned || chance.percent(30) {
                true => PAYLOAD_BYTES_MAX,
                false => chance.one(&PART_BYTES),
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

    /// How many records there are, each part of a large one counted.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.history.len() as u64
    }

    pub(super) fn map(&self, records: u64) -> Map {
        let effects = self.history[..records as usize].iter();
        effects
            .filter_map(Entry::record)
            .map(|payload| (payload[0], Rc::clone(payload)))
            .collect()
    }

    /// What the next record holds, and how many parts it has.
    fn payload(&mut self) -> (Rc<[u8]>, u64) {
        let next = self.records() + 1;
        let filler = match self.chance.below(10) {
            _ if self.is_aligned => aligned_bytes(next) - HEAD_BYTES - FRAMING_BYTES,
            0 => self.chance.between(600, 1_600),
            1..=2 => self.chance.between(100, 300),
            _ => self.chance.below(40),
        };
        let parts = (FRAMING_BYTES + filler).div_ceil(self.options.part_bytes) as u64;
        let number = self.records() + parts;
        let mut payload = vec![self.chance.below(KEYS) as u8, self.life];
        payload.extend(number.to_le_bytes());
        // Half of a filler is easy to compress.
        payload.extend(self.chance.bytes(filler / 2));
        payload.resize(FRAMING_BYTES + filler, b'.');
        (payload.into(), parts)
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
            if !self.is_aligned && self.chance.percent(CUTS) {
                self.append_cut(log)?;
                continue;
            }
            let (payload, parts) = self.payload();
            let number = self.records() + parts;
            let half = payload.len() / 2;
            let lsn = match self.chance.percent(50) {
                true => log.append(&payload),
                false => log.append_pieces(&[&payload[..half], &[], &payload[half..]]),
            };
            let lsn = told(lsn, "append")?.get();
            if lsn != number {
                return Err(format!("record {number} became {lsn}"));
            }
            self.history.extend((1..parts).map(|_| Entry::Part));
            self.history.push(Entry::Record(payload));
        }
        Ok(Ending::Well)
    }

    fn append_cut(&mut self, log: &mut Log<Disk>) -> Result<Lsn, String> {
        let cut = told(log.append_cut(), "cut")?;
        self.history.push(Entry::Cut);
        match cut.get() == self.records() && log.last_cut() == Some(cut) {
            true => Ok(cut),
            false => Err(format!("cut {} became {cut}", self.records())),
        }
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
        if self.options.reserve != Reserve::None && self.records().is_multiple_of(2) {
            self.settle(log.end_segment(), is_troubled)?;
        }
        let at = match self.chance.below(5) {
            0..=2 => None,
            3 => log.last_cut(),
            _ => Some(self.some_record(log)),
        };
        // One before the newest snapshot is of no use.
        let at = at.filter(|at| Some(*at) >= log.newest_snapshot());
        self.begin_snapshot_at(at, log, hands, is_troubled)
    }

    /// A record since the newest snapshot at which a snapshot may begin.
    fn some_record(&mut self, log: &Log<Disk>) -> Lsn {
        let oldest = log.newest_snapshot().unwrap_or(Lsn::ZERO).get();
        let mut at = self.chance.between(oldest as usize, self.history.len());
        while at > 0 && self.history[at - 1] == Entry::Part {
            at -= 1;
        }
        Lsn::new(at as u64)
    }

    /// Begins a snapshot of what stands at record `at`, or one of what stands there while it is written.
    fn begin_snapshot_at(
        &self,
        at: Option<Lsn>,
        log: &mut Log<Disk>,
        hands: &mut Hands,
        is_troubled: bool,
    ) -> Result<Ending, String> {
        let is_busy = hands.walk.is_some() || hands.finished.is_some();
        let begun = match at {
            Some(at) => log.snapshot_at(at, self.compression),
            None => log.snapshot(self.compression),
        };
        match begun {
            Ok(_) if is_busy => Err("two snapshots at once".to_owned()),
            Ok(writer) => {
                hands.walk = Some(Walk {
                    writer,
                    at_cut: at.map(|at| self.map(at.get())),
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
        let now = self.map(self.records());
        let (mut frame, map) = (Vec::new(), walk.at_cut.as_ref().unwrap_or(&now));
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
                .and_then(|()| {
                    let needs = match walk.at_cut {
                        Some(_) => walk.writer.lsn(),
                        None => log.appended(),
                    };
                    walk.writer.finish(walk.entries, needs)
                })
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
        self.passed_over(last, to)?;
        if map != self.map(to) {
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
            log.append_cut()
                .map(drop)
                .map_err(|error| error.to_string()),
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
            let new = self.history[before..].iter().filter_map(Entry::record);
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
        self.snapshot_of(None, log)
    }

    /// Appends a cut and `bytes` behind it, then writes a whole snapshot of what stood at the cut and adopts it.
    ///
    /// # Errors
    /// The log refuses.
    pub fn snapshot_at_cut(&mut self, log: &mut Log<Disk>, bytes: usize) -> Result<Lsn, String> {
        let cut = self.append_cut(log)?;
        self.fill(log, bytes)?;
        self.snapshot_of(Some(cut), log)
    }

    fn snapshot_of(&mut self, at: Option<Lsn>, log: &mut Log<Disk>) -> Result<Lsn, String> {
        let mut hands = Hands::default();
        self.begin_snapshot_at(at, log, &mut hands, false)?;
        while hands.walk.is_some() {
            self.walk(log, &mut hands, false)?;
        }
        self.commit(log, &mut hands, false)?;
        self.adopt(log, &mut hands, false)?;
        log.newest_snapshot()
            .ok_or_else(|| "no snapshot".to_owned())
    }
}
