//! Stories in which something goes wrong without a crash.

use super::oracle::Verdict;
use super::simulated::{Disk, Order, Trouble};
use super::story::{Ending, Story};
use crate::random::Random;

/// Steps before a story ends.
const STEPS: usize = 60;

/// Images of a power cut that are looked at after each story.
const IMAGES: usize = 2;

/// Tells story `seed` with something going wrong by `order`, then ends the process, opens the store
/// again, cuts the power, and opens it once more. Says how many operations there were in all.
///
/// # Errors
/// What was acknowledged is lost, what passes has failed the log for good, or what does not pass has not.
pub fn suffer(seed: u64, order: Option<Order>) -> Result<u64, String> {
    let (mut story, disk) = (Story::new(seed).with_room(seed), Disk::default());
    let mut log = story.open(&disk).map_err(Verdict::into_text)?;
    let begun = disk.operations();
    let shifted = order.map(|order| Order {
        at: order.at + begun,
        ..order
    });
    disk.order(shifted);
    let ending = story.live(&disk, &mut log, STEPS, order.is_some())?;
    disk.order(None);
    let operations = disk.operations() - begun;
    match (ending, order.map(|order| order.trouble)) {
        (Ending::Failed, Some(Trouble::Device | Trouble::NoSpaceAtSync)) => {}
        (Ending::Failed, trouble) => {
            return Err(format!("{trouble:?} has failed the log for good"));
        }
        (Ending::Well, _) => {
            log.write()
                .map_err(|error| format!("what should have passed: {error}"))?;
            let synced = log.sync().map_err(|failed| failed.to_string())?;
            story.acknowledged = synced.lsn().get();
            if story.acknowledged != story.records() {
                return Err(format!(
                    "{} of {} records",
                    story.acknowledged,
                    story.records()
                ));
            }
        }
    }
    drop(log);
    // Another process sees what the system believes to be there.
    drop(story.open(&disk).map_err(Verdict::into_text)?);
    let (state, mut chance) = (disk.state(), Random::new(seed));
    for _ in 0..IMAGES {
        let image = Disk::new(state.crash(&mut chance));
        let reopened = story.clone().open(&image);
        drop(reopened.map_err(|verdict| format!("after a power cut: {}", verdict.into_text()))?);
    }
    Ok(operations)
}
