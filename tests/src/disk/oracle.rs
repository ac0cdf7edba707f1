//! What a store must hold when it is opened.
//!
//! 1. A store is right when it holds the state after some record, exactly, and that record is not older than
//!    the newest that was acknowledged. A store that is refused is not wrong.

use std::rc::Rc;

use shardkeep_log::{FrameBuffer, Log, OpenError, Record, Recovery, SnapshotReader};

use super::simulated::Disk;
use super::story::{FRAMING_BYTES, Map, Story};

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
        while let Some(record) = recovery.next_record().map_err(refused)? {
            last = self.apply(&mut map, last, record)?;
        }
        let (log, _warnings) = recovery.into_log().map_err(refused)?;
        let acknowledged = self.acknowledged;
        if last < acknowledged || last < needs {
            return Err(Verdict::Wrong(format!(
                "the log ends with {last}, {acknowledged} was acknowledged, {needs} is needed"
            )));
        }
        if map != self.map(last) {
            let text = format!("this is not the state after record {last}");
            return Err(Verdict::Wrong(text));
        }
        if log.appended().get() != last || log.synced().lsn().get() != last {
            let text = format!("a log of {last} records became {log:?}");
            return Err(Verdict::Wrong(text));
        }
        self.history.truncate(last as usize);
        self.acknowledged = last;
        self.life = self.life.wrapping_add(1);
        Ok(log)
    }

    pub(super) fn apply(
        &self,
        map: &mut Map,
        last: u64,
        record: Record<'_>,
    ) -> Result<u64, String> {
        let number = record.lsn.get();
        if number != last + 1 {
            return Err(format!("record {number} came after {last}"));
        }
        match self.history.get(last as usize) {
            Some(payload) if **payload == *record.payload => {
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
            let known = known.filter(|known| known[..] == *payload);
            let known = known.filter(|_| number <= needs);
            let known = known.ok_or_else(|| format!("entry {number} is not what was written"))?;
            map.insert(payload[0], Rc::clone(known));
            rest = more;
        }
        Ok(())
    }
}
