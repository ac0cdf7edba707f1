//! What a store must hold when it is opened.
//!
//! 1. A store is right when it holds the state after some record, exactly, and that record is not older than
//!    the newest that was acknowledged. A store that is refused is not wrong.

use std::rc::Rc;

use shardkeep_log::{FrameBuffer, Log, Lsn, OpenError, Record, Recovery, SnapshotReader};

use super::simulated::Disk;
use super::story::{Entry, FRAMING_BYTES, Map, Story};

/// Why a store is not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was refused, in these words.
    Refused(String),
    /// What it holds is wrong.
    Wrong(String),
}

impl Verdict {
    /// The words.
    #[must_use]
    pub fn into_text(self) -> String {
        match self {
            Self::Refused(text) => format!("refused: {text}"),
            Self::Wrong(text) => text,
        }
    }

    fn refused(error: &OpenError) -> Self {
        Self::Refused(error.to_string())
    }
}

impl From<String> for Verdict {
    fn from(text: String) -> Self {
        Self::Wrong(text)
    }
}

impl Story {
    /// Opens the store and compares what is there with what must be. Afterwards the history ends where the
    /// log ends, and all of it counts as acknowledged.
    ///
    /// # Errors
    /// It was refused, or it is wrong.
    pub fn open(&mut self, disk: &Disk) -> Result<Log<Disk>, Verdict> {
        let opened = self.recover(disk);
        match disk.complaint() {
            Some(complaint) => Err(Verdict::Wrong(complaint)),
            None => opened,
        }
    }

    fn recover(&mut self, disk: &Disk) -> Result<Log<Disk>, Verdict> {
        let refused = |error| Verdict::refused(&error);
        let opened = Recovery::open(disk.clone().into(), self.options.clone());
        let mut recovery = opened.map_err(refused)?;
        let mut map = Map::new();
        let (mut last, mut needs) = (0, 0);
        if let Some(snapshot) = recovery.snapshot() {
            map = self.read_snapshot(snapshot)?;
            (last, needs) = (snapshot.lsn().get(), snapshot.needs().get());
        }
        let covered = last;
        while let Some(record) = recovery.next_record().map_err(refused)? {
            last = self.apply(&mut map, last, record)?;
        }
        let (log, _warnings) = recovery.into_log().map_err(refused)?;
        let end = self.found_end(last, log.appended().get())?;
        let acknowledged = self.acknowledged;
        if end < acknowledged || end < needs {
            return Err(Verdict::Wrong(format!(
                "the log ends with {end}, {acknowledged} was acknowledged, {needs} is needed"
            )));
        }
        if map != self.map(self.records()) {
            let text = format!("this is not the state after record {end}");
            return Err(Verdict::Wrong(text));
        }
        if log.appended().get() != self.records() || log.synced().lsn() != log.appended() {
            let text = format!("a log of {end} records became {log:?}");
            return Err(Verdict::Wrong(text));
        }
        self.verify_last_cut(covered, log.last_cut().map_or(0, Lsn::get))?;
        self.acknowledged = self.records();
        self.life = self.life.wrapping_add(1);
        Ok(log)
    }

    /// Where a log that was opened had ended: the last record read was `last`, and it goes on behind `appended`.
    /// The history then ends there too, with the mark that parts without an end were abandoned.
    fn found_end(&mut self, last: u64, appended: u64) -> Result<u64, String> {
        let entry = |history: &[Entry], number: u64| match number {
            0 => None,
            number => history.get(number as usize - 1).cloned(),
        };
        let is_known = entry(&self.history, appended) == Some(Entry::Abandoned);
        let is_unfinished =
            appended > last + 1 && entry(&self.history, appended - 1) == Some(Entry::Part);
        let end = match is_unfinished && !is_known {
            true => appended - 1,
            false => appended,
        };
        self.passed_over(last, end)?;
        if end == appended && end > last && entry(&self.history, end) == Some(Entry::Part) {
            return Err(format!("part {end} is not the end of a record"));
        }
        self.history.truncate(end as usize);
        if end < appended {
            self.history.push(Entry::Abandoned);
        }
        Ok(end)
    }

    /// Nothing between `last` and the numbers behind `to` is a record.
    pub(super) fn passed_over(&self, last: u64, to: u64) -> Result<(), String> {
        if to < last || to > self.records() {
            return Err(format!("record {to} came after {last}"));
        }
        let between = &self.history[last as usize..to as usize];
        match between.iter().position(|entry| entry.record().is_some()) {
            Some(at) => Err(format!("record {} was left out", last + 1 + at as u64)),
            None => Ok(()),
        }
    }

    /// The newest cut is known, at least where one stands behind record `covered`; 0 is none.
    fn verify_last_cut(&self, covered: u64, cut: u64) -> Result<(), String> {
        let is_cut = |entry: &Entry| *entry == Entry::Cut;
        let newest = self.history.iter().rposition(is_cut);
        let newest = newest.map_or(0, |at| at as u64 + 1);
        match newest == cut || (cut == 0 && newest <= covered) {
            true => Ok(()),
            false => Err(format!("the newest cut is {newest}, and {cut} is said")),
        }
    }

    pub(super) fn apply(
        &self,
        map: &mut Map,
        last: u64,
        record: Record<'_>,
    ) -> Result<u64, String> {
        let number = record.lsn.get();
        if number <= last {
            return Err(format!("record {number} came after {last}"));
        }
        self.passed_over(last, number - 1)?;
        let entry = self.history.get(number as usize - 1);
        match entry.map(Entry::record) {
            Some(Some(payload)) if **payload == *record.payload => {
                map.insert(payload[0], Rc::clone(payload));
                Ok(number)
            }
            Some(_) => Err(format!("record {number} is not what was written")),
            None => Err(format!("record {number} was never written")),
        }
    }

    pub(super) fn read_snapshot(&self, snapshot: &SnapshotReader<Disk>) -> Result<Map, Verdict> {
        let (mut map, mut buffer) = (Map::new(), FrameBuffer::default());
        for index in 0..snapshot.frames() {
            let frame = snapshot.read_frame(index, &mut buffer);
            let frame = frame.map_err(|error| Verdict::refused(&error))?;
            self.read_entries(frame, snapshot.needs().get(), &mut map)?;
        }
        let (lsn, needs) = (snapshot.lsn().get(), snapshot.needs().get());
        if lsn == needs && lsn <= self.records() && map != self.map(lsn) {
            let text = format!("the snapshot is not the state after record {lsn}");
            return Err(Verdict::Wrong(text));
        }
        match map.len() as u64 {
            entries if entries == snapshot.entries() => Ok(map),
            entries => {
                let text = format!("{entries} entries, {} were counted", snapshot.entries());
                Err(Verdict::Wrong(text))
            }
        }
    }

    fn read_entries(&self, mut rest: &[u8], needs: u64, map: &mut Map) -> Result<(), String> {
        while let Some((length, more)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_le_bytes(*length));
            let (payload, more) = more.split_at_checked(length).ok_or("half an entry")?;
            let number = payload.get(2..FRAMING_BYTES).ok_or("half an entry")?;
            let number = number
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
            let known = self.history.get((number as usize).wrapping_sub(1));
            let known = known.and_then(Entry::record);
            let known = known.filter(|known| known[..] == *payload);
            let known = known.filter(|_| number <= needs);
            let known = known.ok_or_else(|| format!("entry {number} is not what was written"))?;
            map.insert(payload[0], Rc::clone(known));
            rest = more;
        }
        Ok(())
    }
}
