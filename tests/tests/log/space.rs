//! A full disk, and the room that is kept for it.

use shardkeep_log::limits::RESERVE_BYTES_MIN;
use shardkeep_log::names::RESERVE;
use shardkeep_log::{File as _, Log, Reserve, Room, Storage as _};
use shardkeep_tests::disk::{Disk, Story, Verdict};
use shardkeep_tests::random::Random;

/// Bytes of the disk: the reserve and twice as much.
const CAPACITY: u64 = 3 * RESERVE_BYTES_MIN;

/// Not of the store.
const BALLAST: &str = "ballast";

/// A store that keeps a reserve, on a disk with some space.
fn begun(seed: u64) -> (Story, Disk, Log<Disk>) {
    let (mut story, disk) = (Story::new(seed), Disk::default());
    story.options.reserve = Reserve::Bytes(RESERVE_BYTES_MIN);
    story.options.segment_bytes = 8_192;
    story.options.ahead_bytes = 512;
    story.options.snapshots_kept = 1;
    disk.limit(CAPACITY);
    let mut log = story.open(&disk).unwrap();
    assert!(matches!(log.room(), Room::Ample));
    assert!(!log.is_reserve_spent());
    story.fill(&mut log, 4_000).unwrap();
    (story, disk, log)
}

/// Fills the disk with something else, up to so many bytes.
fn fill_up_to(disk: &Disk, free: u64) {
    let file = disk.create_new(BALLAST).unwrap();
    file.allocate(disk.free() - free).unwrap();
    assert_eq!(disk.free(), free);
}

fn is_kept(disk: &Disk) -> bool {
    disk.state().names().any(|name| name == RESERVE)
}

#[test]
fn on_a_full_disk_what_is_written_and_a_snapshot_go_into_the_reserve() {
    let (mut story, disk, mut log) = begun(1);
    fill_up_to(&disk, 2_048);
    story.fill(&mut log, 20_000).unwrap();
    assert!(log.is_reserve_spent() && !is_kept(&disk));
    assert!(log.segments() > 2, "new segments were begun on it");
    let Room::Scarce(why) = log.room() else {
        panic!("the disk is full");
    };
    assert_eq!(why.reserve, RESERVE_BYTES_MIN);
    assert_eq!(why.needed, RESERVE_BYTES_MIN / 4 * 5);
    assert_eq!(why.free, Some(disk.free()));

    log.end_segment().unwrap();
    story.snapshot(&mut log).unwrap();
    assert_eq!(log.segments(), 1, "all that was replaced is given back");
    assert!(disk.free() > RESERVE_BYTES_MIN);
    assert!(matches!(log.room(), Room::Scarce(_)), "nothing to spare");

    disk.remove(BALLAST).unwrap();
    assert!(matches!(log.room(), Room::Ample));
    assert!(!log.is_reserve_spent() && is_kept(&disk));
    story.fill(&mut log, 4_000).unwrap();
    drop(log);
    drop(story.open(&disk).unwrap());
}

#[test]
fn a_snapshot_that_replaces_the_log_makes_room_for_the_reserve_by_itself() {
    let (mut story, disk, mut log) = begun(2);
    // As much log as the reserve must have to spare, and more.
    while disk.free() > 0 && !log.is_reserve_spent() {
        story.fill(&mut log, 16_384).unwrap();
    }
    assert!(matches!(log.room(), Room::Scarce(_)));
    log.end_segment().unwrap();
    story.snapshot(&mut log).unwrap();
    assert!(matches!(log.room(), Room::Ample));
    assert!(is_kept(&disk));
}

#[test]
fn a_snapshot_begins_where_nothing_is_free() {
    let (mut story, disk, mut log) = begun(3);
    fill_up_to(&disk, 0);
    story.snapshot(&mut log).unwrap();
    assert!(log.is_reserve_spent());
}

#[test]
fn what_is_left_in_the_end_is_for_a_snapshot_alone() {
    let (mut story, disk, mut log) = begun(4);
    fill_up_to(&disk, 0);
    story.fill(&mut log, 2_000).unwrap();
    assert!(matches!(log.room(), Room::Scarce(_)));
    // Somebody else takes what was given up.
    let other = disk.create_new("other").unwrap();
    other
        .allocate(disk.free() - RESERVE_BYTES_MIN / 16)
        .unwrap();
    assert!(matches!(log.room(), Room::None(_)));
    log.end_segment().unwrap();
    story.snapshot(&mut log).unwrap();
}

#[test]
fn a_store_opens_on_a_full_disk_and_finds_its_reserve_or_gives_it_up() {
    let (mut story, disk, log) = begun(5);
    drop(log);
    fill_up_to(&disk, RESERVE_BYTES_MIN);
    let log = story.open(&disk).unwrap();
    assert!(!log.is_reserve_spent(), "it is there");
    drop(log);
    disk.remove(BALLAST).unwrap();
    fill_up_to(&disk, 0);
    let mut log = story.open(&disk).unwrap();
    assert!(log.is_reserve_spent(), "the start itself may need room");
    assert!(matches!(log.room(), Room::Scarce(_)));
    drop(log);
    disk.remove(BALLAST).unwrap();
    assert!(!story.open(&disk).unwrap().is_reserve_spent());
    story.options.reserve = Reserve::None;
    drop(story.open(&disk).unwrap());
    assert!(!is_kept(&disk), "none is wanted any more");
}

#[test]
fn a_reserve_of_another_size_becomes_one_of_this_size() {
    let (mut story, disk, log) = begun(6);
    drop(log);
    for bytes in [RESERVE_BYTES_MIN * 2, RESERVE_BYTES_MIN] {
        story.options.reserve = Reserve::Bytes(bytes);
        let log = story.open(&disk).unwrap();
        assert!(!log.is_reserve_spent());
        assert_eq!(disk.open(RESERVE).unwrap().len().unwrap(), bytes);
    }
}

#[test]
fn a_crash_at_any_step_of_giving_it_up_and_taking_it_again_loses_nothing() {
    let mut points = 0;
    for seed in 0..4 {
        let (mut story, disk, mut log) = begun(seed);
        fill_up_to(&disk, 2_048);
        disk.remember();
        disk.note(story.acknowledged);
        for _ in 0..6 {
            story.fill(&mut log, 1_500).unwrap();
            disk.note(story.acknowledged);
        }
        assert!(log.is_reserve_spent());
        log.end_segment().unwrap();
        story.snapshot(&mut log).unwrap();
        disk.remove(BALLAST).unwrap();
        assert!(matches!(log.room(), Room::Ample));
        story.fill(&mut log, 1_500).unwrap();
        let mut chance = Random::new(seed);
        for (at, moment) in disk.moments().into_iter().enumerate() {
            let mut before = story.clone();
            before.acknowledged = moment.note;
            let image = Disk::new(moment.state.crash(&mut chance));
            image.limit(CAPACITY);
            points += 1;
            let reopened = before.open(&image).map_err(Verdict::into_text);
            let mut log = match reopened {
                Ok(log) => log,
                Err(text) => panic!("seed {seed}, before {at} ({:?}): {text}", moment.call),
            };
            // Whatever was left, there is room for more.
            before.fill(&mut log, 100).unwrap();
            drop(log);
            drop(before.open(&image).unwrap());
        }
    }
    assert!(points > 200, "{points} crash points");
}

#[test]
fn a_disk_that_is_nearly_full_is_written_with_a_smaller_reserve() {
    let (mut story, disk, log) = begun(8);
    drop(log);
    disk.remove(RESERVE).unwrap();
    disk.limit(64 * RESERVE_BYTES_MIN);
    fill_up_to(&disk, 3 * RESERVE_BYTES_MIN);
    // It would be a sixteenth of the disk.
    story.options.reserve = Reserve::Fitting;
    let mut log = story.open(&disk).unwrap();
    assert!(matches!(log.room(), Room::Ample));
    let bytes = log.reserve_bytes();
    assert!(
        (RESERVE_BYTES_MIN..=3 * RESERVE_BYTES_MIN / 2).contains(&bytes),
        "{bytes}"
    );
    story.fill(&mut log, 1_500).unwrap();
    assert!(!log.is_reserve_spent());
}

#[test]
fn a_reserve_that_the_file_system_could_never_hold_is_refused_by_name() {
    let (mut story, disk, log) = begun(9);
    drop(log);
    story.options.reserve = Reserve::Bytes(CAPACITY + 1);
    let refused = format!("{:?}", story.open(&disk).map(drop).unwrap_err());
    assert!(refused.contains("disk_reserve"), "{refused}");
}
