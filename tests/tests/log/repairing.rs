//! Looking at a store that does not open, and making one that does.

use std::sync::Arc;

use shardkeep_log::{RepairError, Repaired, check, repair};
use shardkeep_tests::disk::{Disk, Left, Plan, State, Stored, Story, Verdict};
use shardkeep_tests::random::Random;

/// Bits that are left out between two that are turned.
const STRIDE: usize = 211;

/// A store with two snapshots, the log behind the older, and several segments.
fn stored() -> (Stored, Story) {
    let stored = Stored::new(Plan {
        before_snapshot: 3_000,
        after_snapshot: 3_000,
        segment_bytes: 1_500,
        left: Left::Closed,
    });
    let stored = stored.unwrap();
    let mut story = stored.story().unwrap();
    story.options.snapshots_kept = 2;
    // Another snapshot: now there is an older one.
    let disk = Disk::new(stored.state.clone());
    let mut log = story.open(&disk).unwrap();
    story.snapshot(&mut log).unwrap();
    story.fill(&mut log, 3_000).unwrap();
    log.close().unwrap();
    (stored.with(disk.state()), story)
}

/// Repairs `disk`, and verifies that everything that was there still is, and that what opens is the state
/// after the record that the repair names.
fn repaired(disk: &Disk, story: &Story) -> Result<Repaired, RepairError> {
    let before = disk.state();
    let report = repair(&Arc::new(disk.clone()))?;
    let after = disk.state();
    let kept: Vec<&[u8]> = after
        .names()
        .filter_map(|name| after.content(name))
        .collect();
    for name in before.names() {
        let content = before.content(name).unwrap();
        let is_replaced = name.starts_with("manifest") || name.ends_with(".tmp");
        assert!(is_replaced || kept.contains(&content), "{name} is gone");
    }
    let mut story = story.clone();
    story.acknowledged = 0;
    let log = story.open(disk).unwrap();
    // Where the log ends in the middle of a large record, the mark that it was abandoned follows.
    let end = match report.unfinished {
        Some(_) => report.last.next(),
        None => report.last,
    };
    assert_eq!(log.appended(), end, "{report}");
    Ok(report)
}

#[test]
fn a_sound_store_is_left_as_it_is() {
    let (stored, story) = stored();
    let disk = Disk::new(stored.state.clone());
    let report = check(&Arc::new(disk.clone())).unwrap();
    assert_eq!(report.verdict.as_ref().unwrap().get(), story.records());
    let repaired = repair(&Arc::new(disk.clone())).unwrap();
    assert!(repaired.was_sound && repaired.laid_aside.is_empty());
    assert_eq!(disk.operations(), 0);
}

#[test]
fn whatever_is_turned_check_says_what_opening_says_and_repair_makes_the_latest_state_that_is_left()
{
    let (stored, story) = stored();
    let (mut repairs, mut lossless) = (0, 0);
    for (name, content) in stored.files() {
        for bit in (0..content.len() * 8).step_by(STRIDE) {
            let mut state = stored.state.clone();
            let mut turned = content.clone();
            turned[bit / 8] ^= 1 << (bit % 8);
            state.put(&name, turned);
            let disk = Disk::new(state.clone());
            let report = check(&Arc::new(disk.clone())).unwrap();
            assert_eq!(disk.operations(), 0, "check writes nothing");
            let opened = story.clone().open(&Disk::new(state)).map(drop);
            match opened {
                Ok(()) => assert!(report.is_sound(), "{name}, bit {bit}"),
                Err(Verdict::Refused(_)) => assert!(!report.is_sound(), "{name}, bit {bit}"),
                Err(Verdict::Wrong(text)) => panic!("{name}, bit {bit}: {text}"),
            }
            let shown = report.to_string();
            let row = shown.lines().find(|line| line.starts_with(&name)).unwrap();
            assert!(
                row.contains("; ") || row.contains("unreadable"),
                "{name}, bit {bit}: {row}"
            );
            match repaired(&disk, &story) {
                Ok(report) => {
                    repairs += 1;
                    lossless += u32::from(report.last.get() == story.records());
                    let lost = report.lost.map_or(story.records(), |(_, last)| last.get());
                    assert_eq!(lost, story.records(), "{name}, bit {bit}: {report}");
                }
                Err(error) => {
                    assert!(name.starts_with("log-"), "{name}, bit {bit}: {error}");
                    assert_eq!(disk.operations(), 0, "nothing was changed");
                }
            }
        }
    }
    println!("{repairs} repairs, {lossless} of them without loss");
    assert!(repairs > 100 && lossless > 50);
}

#[test]
fn a_newest_snapshot_that_is_damaged_or_gone_costs_nothing_while_an_older_one_is_kept() {
    let (stored, story) = stored();
    let snapshots = stored
        .files()
        .into_iter()
        .filter(|(name, _)| name.starts_with("snapshot-"));
    let (name, mut content) = snapshots.max().unwrap();
    content[60] ^= 1;
    for content in [Some(content), None] {
        let mut state = stored.state.clone();
        match content {
            Some(content) => state.put(&name, content),
            None => state.take(&name),
        }
        let report = repaired(&Disk::new(state), &story).unwrap();
        assert_eq!((report.last.get(), report.lost), (story.records(), None));
    }
}

#[test]
fn a_manifest_that_is_damaged_or_gone_costs_nothing() {
    let (stored, story) = stored();
    for content in [Some(vec![0; 9]), Some(Vec::new()), None] {
        let mut state = stored.state.clone();
        match content {
            Some(content) => state.put("manifest", content),
            None => state.take("manifest"),
        }
        let report = repaired(&Disk::new(state), &story).unwrap();
        assert_eq!((report.last.get(), report.lost), (story.records(), None));
    }
}

#[test]
fn nothing_is_made_of_files_that_are_not_enough_or_of_two_stores() {
    let (stored, _) = stored();
    let mut state = stored.state.clone();
    for (name, _) in stored.files() {
        if name.starts_with("snapshot-") {
            state.take(&name);
        }
    }
    let disk = Disk::new(state);
    let error = repair(&Arc::new(disk.clone())).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot be repaired: there is no whole snapshot, and record 1 cannot be read"
    );
    assert_eq!(disk.operations(), 0);

    let mut other = Story::new(3);
    other.options.create = Some(shardkeep_log::StoreId::new([0xbb; 16]));
    let other_disk = Disk::default();
    drop(other.open(&other_disk).unwrap());
    let mut state = stored.state.clone();
    state.take("manifest");
    let first = "log-00000000000000000001.skl";
    state.put(first, other_disk.state().content(first).unwrap().to_vec());
    let error = repair(&Arc::new(Disk::new(state))).unwrap_err();
    assert!(matches!(error, RepairError::Ambiguous { .. }), "{error}");
}

/// A crash at every operation of a repair, then the whole repair.
fn crash_a_repair(state: &State, story: &Story, chance: &mut Random) -> usize {
    let disk = Disk::new(state.clone());
    disk.remember();
    let whole = repair(&Arc::new(disk.clone())).unwrap();
    let moments = disk.moments();
    for moment in &moments {
        for _ in 0..4 {
            let disk = Disk::new(moment.state.crash(chance));
            let last = match repaired(&disk, story) {
                Ok(report) => report.last,
                Err(error) => panic!("before {:?}: {error}", moment.call),
            };
            assert_eq!(last, whole.last, "before {:?}", moment.call);
        }
    }
    moments.len()
}

#[test]
fn a_repair_that_a_crash_has_ended_can_be_called_again() {
    let (stored, story) = stored();
    let mut chance = Random::new(11);
    let mut operations = 0;
    for (name, content) in stored.files() {
        for at in [9, 30, content.len() / 2, content.len() - 3] {
            let mut state = stored.state.clone();
            let mut turned = content.clone();
            turned[at] ^= 0x10;
            state.put(&name, turned);
            if check(&Arc::new(Disk::new(state.clone())))
                .unwrap()
                .is_sound()
            {
                continue;
            }
            if repair(&Arc::new(Disk::new(state.clone()))).is_ok() {
                operations += crash_a_repair(&state, &story, &mut chance);
            }
        }
    }
    assert!(operations > 100, "{operations} operations");
}

#[test]
fn reports_say_what_is_there_what_was_done_and_what_is_lost() {
    let stored = Stored::new(Plan {
        before_snapshot: 0,
        after_snapshot: 2_000,
        segment_bytes: 1_500,
        left: Left::Closed,
    });
    let stored = stored.unwrap();
    let (name, mut content) = stored.files().remove(0);
    content[1_300] ^= 1;
    let mut state = stored.state.clone();
    state.put(&name, content);
    let disk = Disk::new(state);
    let report = check(&Arc::new(disk.clone())).unwrap().to_string();
    let repaired = repair(&Arc::new(disk.clone())).unwrap().to_string();
    let after = check(&Arc::new(disk)).unwrap().to_string();
    // What is damaged is the last part of a large record.
    assert_eq!(
        report,
        "store 612073746f7265206f66207465737473\n\
         log-00000000000000000001.skl                       1392 bytes  records 1 to 5; from offset \
         1168 on: the checksum of record 6 is wrong\n\
         log-00000000000000000007.skl                       1487 bytes  records 7 to 28\n\
         manifest                                             96 bytes  segments: 2, snapshots: 0, \
         synced up to 28\n\
         does not open: log-00000000000000000001.skl is damaged at offset 1168: the checksum of record \
         6 is wrong"
    );
    assert_eq!(
        repaired,
        "log-00000000000000000001.skl (1392 bytes) is kept as log-00000000000000000001.skl.damaged-1\n\
         log-00000000000000000007.skl (1487 bytes) is kept as log-00000000000000000007.skl.damaged-1\n\
         log-00000000000000000001.skl was cut at offset 1168\n\
         the store begins with record 1, without a snapshot\n\
         lost: records 1 to 28\n\
         sound up to record 5; the large record that begins with 1 has no end and is abandoned by the next \
         opening"
    );
    assert_eq!(
        after,
        "store 612073746f7265206f66207465737473\n\
         log-00000000000000000001.skl                       1168 bytes  records 1 to 5\n\
         log-00000000000000000001.skl.damaged-1             1392 bytes  laid aside by a repair\n\
         log-00000000000000000007.skl.damaged-1             1487 bytes  laid aside by a repair\n\
         manifest                                             88 bytes  segments: 1, snapshots: 0, \
         synced up to 5\n\
         sound up to record 5; the next opening abandons the large record that begins with 1 and has no end"
    );
}
