//! What can be set when a keep opens.

use std::time::Duration;

use crate::error::OpenError;
use crate::limits;

/// How a shard and its work come together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handover {
    /// An idle shard lies on its desk; whoever has work borrows it. Mail is for shards that are
    /// away. The default, and the reason for this crate.
    #[default]
    Lend,
    /// Every work travels to the shard's owner as a message (but a transaction or a closure still
    /// borrows). The textbook design; with one owner and one shard it is the single-owner design.
    Mail,
}

/// What a full mailbox does to the caller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overload {
    /// The caller waits for a place until its deadline.
    #[default]
    Block,
    /// The caller is refused at once.
    Reject,
}

/// When what was written is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Before it is acknowledged.
    Always,
    /// So often, in the background.
    Interval(Duration),
    /// When the operating system pleases, and when the keep is closed.
    Never,
}

/// How effects are kept, for states with a journal.
#[derive(Clone, Debug)]
pub struct Durability {
    /// When what was written is made durable.
    pub sync: SyncMode,
    /// How long batches are gathered before they are written together, [`limits::WINDOW_MAX`] at most;
    /// zero writes at once.
    pub window: Duration,
    /// Whether callers that wait for a sync may carry it out themselves; else the committer thread
    /// always does.
    pub lend: bool,
}

impl Default for Durability {
    fn default() -> Self {
        Self {
            sync: SyncMode::Interval(Duration::from_secs(1)),
            window: Duration::from_micros(100),
            lend: true,
        }
    }
}

/// Settings of a keep. [`Config::default`] suits the machine it runs on.
#[derive(Clone, Debug)]
pub struct Config {
    /// Shards: a power of two, 1 to 65,536. Default: 32 for each core.
    pub shards: usize,
    /// Owner threads, 1 to the number of shards. Default: one for each core.
    pub owners: usize,
    /// How a shard and its work come together.
    pub handover: Handover,
    /// Places in each mailbox, in works.
    pub mailbox_works: usize,
    /// Further places in each mailbox for posters that never wait (one each for the reactors of a
    /// server).
    pub reserved_places: usize,
    /// What a full mailbox does to the caller.
    pub overload: Overload,
    /// How long a batch of writes may stay open in [`Handover::Mail`], [`limits::WINDOW_MAX`] at most;
    /// zero applies each write as it is taken.
    pub write_window: Duration,
    /// How effects are kept; `None` where they are not.
    pub durability: Option<Durability>,
    /// Names the threads: `NAME-owner-0` and so on.
    pub name: String,
}

impl Default for Config {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            shards: (cores * limits::SHARDS_PER_CORE)
                .next_power_of_two()
                .min(limits::SHARDS_MAX),
            owners: cores.min(limits::OWNERS_MAX),
            handover: Handover::Lend,
            mailbox_works: limits::MAILBOX_WORKS_DEFAULT,
            reserved_places: 0,
            overload: Overload::Block,
            write_window: Duration::ZERO,
            durability: None,
            name: "shardkeep".to_owned(),
        }
    }
}

impl Config {
    /// Checks every setting against its limits.
    ///
    /// # Errors
    /// The first setting that is not possible, by name.
    pub fn check(&self) -> Result<(), OpenError> {
        let setting = |name, value: usize, allowed, fine: bool| {
            if fine {
                Ok(())
            } else {
                Err(OpenError::Setting {
                    name,
                    value: value as u64,
                    allowed,
                })
            }
        };
        let shards_fine = self.shards.is_power_of_two() && self.shards <= limits::SHARDS_MAX;
        setting(
            "shards",
            self.shards,
            "a power of two from 1 to 65,536",
            shards_fine,
        )?;
        let owners_fine = (1..=limits::OWNERS_MAX.min(self.shards)).contains(&self.owners);
        setting(
            "owners",
            self.owners,
            "1 to the number of shards, at most 1,024",
            owners_fine,
        )?;
        let mailbox_fine = (1..=limits::MAILBOX_WORKS_MAX).contains(&self.mailbox_works);
        setting(
            "mailbox_works",
            self.mailbox_works,
            "1 to 1,048,576",
            mailbox_fine,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_possible_on_this_machine() {
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn an_impossible_setting_is_refused_by_name() {
        let cases = [
            (
                Config {
                    shards: 0,
                    ..Config::default()
                },
                "shards = 0",
            ),
            (
                Config {
                    shards: 48,
                    ..Config::default()
                },
                "shards = 48",
            ),
            (
                Config {
                    shards: 1 << 17,
                    ..Config::default()
                },
                "shards = 131072",
            ),
            (
                Config {
                    owners: 0,
                    ..Config::default()
                },
                "owners = 0",
            ),
            (
                Config {
                    shards: 1,
                    owners: 2,
                    ..Config::default()
                },
                "owners = 2",
            ),
            (
                Config {
                    mailbox_works: 0,
                    ..Config::default()
                },
                "mailbox_works = 0",
            ),
        ];
        for (config, begins) in cases {
            let text = config.check().unwrap_err().to_string();
            assert!(text.starts_with(begins), "{text}");
        }
    }
}
