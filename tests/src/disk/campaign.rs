//! Crashes at every operation of many stories.
//!
//! A crash point is an operation of a story, and one of the images that a crash there can leave: those of a
//! power cut, in another boot of the system, and that of a process that was killed, in the same. The same
//! image at the same operation counts once.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::oracle::Verdict;
use super::simulated::{Disk, Moment};
use super::state::State;
use super::story::Story;
use crate::random::Random;

/// Steps of a story's first life.
const STEPS: usize = 60;

/// Steps of a life after a crash.
const STEPS_AFTER: usize = 8;

/// Images tried for each operation.
const IMAGES: u64 = 8;

/// Images tried for each operation of a recovery, and of a life after a crash.
const IMAGES_AFTER: u64 = 1;

/// How many of a hundred crashes only end the process.
const KILLS: usize = 20;

/// How many of a hundred crashes are followed by another one, at each operation of the recovery and of the
/// life after it: of the first crashes, of the second. There are never more than three in a row.
const FOLLOWED: [usize; 2] = [15, 2];

/// What was explored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Stories told.
    pub stories: u64,
    /// Different crash points in their first lives.
    pub first: u64,
    /// Different crash points in recoveries.
    pub recoveries: u64,
    /// Different crash points in lives after a crash.
    pub later: u64,
    /// Crashes that left what had been seen before; not counted among the others.
    pub repeated: u64,
}

impl Tally {
    /// Different crash points.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.first + self.recoveries + self.later
    }

    /// Adds what another one has explored.
    pub fn add(&mut self, other: Self) {
        self.stories += other.stories;
        self.first += other.first;
        self.recoveries += other.recoveries;
        self.later += other.later;
        self.repeated += other.repeated;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} different crash points ({} in first lives, {} in recoveries, {} in later lives) of {} \
             stories; {} repeated",
            self.points(),
            self.first,
            self.recoveries,
            self.later,
            self.stories,
            self.repeated
        )
    }
}

/// Something that must not happen.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The story: [`explore`] with it fails again.
    pub seed: u64,
    /// Which crashes led to it.
    pub path: String,
    /// What happened.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "story {}, {}: {}", self.seed, self.path, self.text)
    }
}

/// Tells story `seed` and crashes at every operation of it.
///
/// # Errors
/// Something that was acknowledged is lost, something is there that was never written, or a store that
/// has only crashed is refused.
pub fn explore(seed: u64) -> Result<Tally, Failure> {
    explore_to(seed, FOLLOWED.len())
}

/// As [`explore`], with no second crash behind the first: a tenth of the work.
///
/// # Errors
/// As for [`explore`].
pub fn explore_first(seed: u64) -> Result<Tally, Failure> {
    explore_to(seed, 0)
}

fn explore_to(seed: u64, depth: usize) -> Result<Tally, Failure> {
    let mut explorer = Explorer {
        depth,
        seen: HashSet::new(),
        tally: Tally::default(),
        chance: Random::new(!seed),
        path: Vec::new(),
    };
    match explorer.explore(seed) {
        Ok(()) => Ok(explorer.tally),
        Err(text) => Err(Failure {
            seed,
            path: explorer.path.join(", then "),
            text,
        }),
    }
}

#[derive(Clone, Copy)]
enum Phase {
    First,
    Recovery,
    Later,
}

struct Explorer {
    /// After how many crashes in a row there may be another one.
    depth: usize,
    seen: HashSet<u64>,
    tally: Tally,
    chance: Random,
    path: Vec<String>,
}

impl Explorer {
    fn explore(&mut self, seed: u64) -> Result<(), String> {
        self.tally.stories += 1;
        let (mut story, disk) = (Story::new(seed).with_room(seed), Disk::default());
        disk.remember();
        let mut log = story.open(&disk).map_err(Verdict::into_text)?;
        let opening = disk.moments();
        story.live(&disk, &mut log, STEPS, false)?;
        drop(log);
        let moments = [opening, disk.moments()].concat();
        self.crash_at_each(&moments, &story, Phase::First, 0)
    }

    fn crash_at_each(
        &mut self,
        moments: &[Moment],
        story: &Story,
        phase: Phase,
        depth: u32,
    ) -> Result<(), String> {
        let images = match phase {
            Phase::First => IMAGES,
            Phase::Recovery | Phase::Later => IMAGES_AFTER,
        };
        for (index, moment) in moments.iter().enumerate() {
            for _ in 0..images {
                let (how, image) = match self.chance.percent(KILLS) {
                    true => ("kill", moment.state.clone()),
                    false => ("cut", moment.state.crash(&mut self.chance)),
                };
                let mut hasher = DefaultHasher::new();
                (&self.path, index, how, image.fingerprint()).hash(&mut hasher);
                if !self.seen.insert(hasher.finish()) {
                    self.tally.repeated += 1;
                    continue;
                }
                match phase {
                    Phase::First => self.tally.first += 1,
                    Phase::Recovery => self.tally.recoveries += 1,
                    Phase::Later => self.tally.later += 1,
                }
                self.path.push(format!(
                    "{how} before operation {index} ({:?})",
                    moment.call
                ));
                let mut story = story.clone();
                story.acknowledged = moment.note;
                self.recover(image, story, depth + 1)?;
                self.path.pop();
            }
        }
        Ok(())
    }

    /// Opens what a crash has left; at times crashes meanwhile, and at times afterwards.
    fn recover(&mut self, image: State, mut story: Story, depth: u32) -> Result<(), String> {
        let disk = Disk::new(image);
        disk.note(story.acknowledged);
        let followed = FOLLOWED[..self.depth].get(depth as usize - 1);
        let goes_on = followed.is_some_and(|percent| self.chance.percent(*percent));
        if goes_on {
            disk.remember();
        }
        let before = goes_on.then(|| story.clone());
        let mut log = story.open(&disk).map_err(Verdict::into_text)?;
        let Some(before) = before else {
            return Ok(());
        };
        let of_recovery = disk.moments();
        story.live(&disk, &mut log, STEPS_AFTER, false)?;
        drop(log);
        let of_life = disk.moments();
        self.crash_at_each(&of_recovery, &before, Phase::Recovery, depth)?;
        self.crash_at_each(&of_life, &story, Phase::Later, depth)
    }
}
