//! Bits that turn, and files that end early.
//!
//! The oracle knows every payload: what opens must be the state after some record, no earlier than the last
//! one that something proves to have been synced. Everything else must be refused.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::oracle::Verdict;
use super::simulated::Disk;
use super::state::State;
use super::story::{Story, Syncs};

/// Threads that try damage: as many as the smallest machine has cores.
const THREADS: usize = 2;

/// Bytes of the parts of its larger records.
const PART_BYTES: usize = 200;

/// Bytes between the cut at which a snapshot begins and the snapshot.
const BEHIND_CUT_BYTES: usize = 400;

/// How a store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Closed: the manifest says how far the log goes.
    Closed,
    /// By a power cut that loses nothing: the last records are not proven.
    Crashed,
    /// At rest, by a process that was killed, with batches that were synced or not: all that was written is
    /// there, or refused.
    AtRest(Syncs),
}

/// How a store is made that is to be damaged.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Bytes written before the cut of a snapshot; none: no snapshot.
    pub before_snapshot: usize,
    /// Bytes written after it.
    pub after_snapshot: usize,
    /// Size of a segment in bytes.
    pub segment_bytes: u64,
    /// How it is left.
    pub left: Left,
}

/// A store on a disk, and what it held.
#[derive(Clone, Debug)]
pub struct Stored {
    plan: Plan,
    /// The disk.
    pub state: State,
}

/// What came of some damage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many were tried.
    pub cases: u64,
    /// How many opened, with a right answer. The others were refused.
    pub opened: u64,
}

impl Stored {
    /// Makes it.
    ///
    /// # Errors
    /// The log refuses.
    pub fn new(plan: Plan) -> Result<Self, String> {
        let state = State::default();
        let mut stored = Self { plan, state };
        let (_, disk) = stored.tell()?;
        stored.state = disk.state();
        Ok(stored)
    }

    /// The same store with what has become of its disk.
    #[must_use]
    pub fn with(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// The story of it, the same each time.
    ///
    /// # Errors
    /// The log refuses.
    pub fn story(&self) -> Result<Story, String> {
        Ok(self.tell()?.0)
    }

    fn tell(&self) -> Result<(Story, Disk), String> {
        let (mut story, disk) = (Story::new(1), Disk::default());
        story.options.segment_bytes = self.plan.segment_bytes;
        story.options.part_bytes = PART_BYTES;
        story.options.ahead_bytes = 0;
        story.options.snapshots_kept = 1;
        if let Left::AtRest(syncs) = self.plan.left {
            story.syncs = syncs;
        }
        let mut log = story.open(&disk).map_err(Verdict::into_text)?;
        if self.plan.before_snapshot > 0 {
            story.fill(&mut log, self.plan.before_snapshot)?;
            story.snapshot_at_cut(&mut log, BEHIND_CUT_BYTES)?;
        }
        story.fill(&mut log, self.plan.after_snapshot)?;
        match self.plan.left {
            Left::Closed => drop(log.close().map_err(|error| error.to_string())?),
            // Nothing says that the last batch was synced.
            Left::Crashed => {
                story.acknowledged = story.before_last_batch;
                return Ok((story, Disk::new(disk.state().booted_anew())));
            }
            Left::AtRest(_) => {
                log.mark().map_err(|failed| failed.to_string())?;
                story.acknowledged = story.records();
            }
        }
        Ok((story, disk))
    }

    /// Its files and what they hold, in the order of their names.
    #[must_use]
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let content = |name: &str| self.state.content(name).unwrap_or_default().to_vec();
        let names = self.state.names();
        names.map(|name| (name.to_owned(), content(name))).collect()
    }

    /// Opens it with `content` in place of what `name` held, and says how many records there are.
    ///
    /// # Errors
    /// It is refused, or it is wrong.
    pub fn open_with(&self, story: &Story, name: &str, content: Vec<u8>) -> Result<u64, Verdict> {
        let mut state = self.state.clone();
        state.put(name, content);
        let log = story.clone().open(&Disk::new(state))?;
        Ok(log.appended().get())
    }

    /// Turns each `stride`th bit of every file whose name begins with `prefix`, one at a time.
    ///
    /// # Errors
    /// One of them leads to a wrong answer.
    pub fn turn_bits(&self, prefix: &str, stride: usize) -> Result<Outcome, String> {
        let mut outcome = Outcome::default();
        for (name, content) in self.files() {
            if name.starts_with(prefix) {
                let bits = content.len() * 8;
                let turned = |story: &Story, case: usize| {
                    let (bit, mut content) = (case * stride, content.clone());
                    content[bit / 8] ^= 1 << (bit % 8);
                    self.open_with(story, &name, content)
                };
                let tried = self.try_all(
                    &name,
                    self.story()?.acknowledged,
                    bits.div_ceil(stride),
                    turned,
                );
                outcome.add(tried?);
            }
        }
        Ok(outcome)
    }

    /// Cuts every file at each `stride`th length.
    ///
    /// # Errors
    /// One of them leads to a wrong answer, or something is accepted without the records it needs.
    pub fn cut_files(&self, stride: usize) -> Result<Outcome, String> {
        let (files, mut outcome) = (self.files(), Outcome::default());
        let last = files.iter().rposition(|(name, _)| name.starts_with("log-"));
        for (index, (name, content)) in files.iter().enumerate() {
            // What would prove more than that it is a prefix has gone with the rest.
            let acknowledged = match Some(index) == last && self.plan.left == Left::Crashed {
                true => 0,
                false => self.story()?.acknowledged,
            };
            let cut = |story: &Story, case: usize| {
                self.open_with(story, name, content[..case * stride].to_vec())
            };
            let cases = content.len().div_ceil(stride);
            outcome.add(self.try_all(name, acknowledged, cases, cut)?);
        }
        Ok(outcome)
    }

    /// Tries `cases` of damage to file `name`, several at a time.
    fn try_all(
        &self,
        name: &str,
        acknowledged: u64,
        cases: usize,
        case: impl Fn(&Story, usize) -> Result<u64, Verdict> + Sync,
    ) -> Result<Outcome, String> {
        let (next, opened) = (AtomicUsize::new(0), AtomicU64::new(0));
        let wrong = Mutex::new(None);
        let work = || {
            let mut story = self.story()?;
            story.acknowledged = acknowledged;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= cases {
                    return Ok(());
                }
                match case(&story, number) {
                    Ok(_) => drop(opened.fetch_add(1, Ordering::Relaxed)),
                    Err(Verdict::Refused(_)) => {}
                    Err(Verdict::Wrong(text)) => {
                        return Err(format!("{name}, case {number}: {text}"));
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    if let Err(text) = work() {
                        *wrong.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
                    }
                });
            }
        });
        match wrong.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(text) => Err(text),
            None => Ok(Outcome {
                cases: cases as u64,
                opened: opened.into_inner(),
            }),
        }
    }
}

impl Outcome {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.opened += other.opened;
    }
}
