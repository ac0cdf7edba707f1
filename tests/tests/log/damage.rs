//! Bits that turn, files that end early, files that are gone or belong elsewhere.
//!
//! Here every bit of a small log turns, and some bits of one of 64 KiB; `crash-points --damage` turns all.

use std::sync::Arc;

use shardkeep_log::format::{FileHeader, FileKind, HEAD_BYTES, Head};
use shardkeep_log::{Lsn, StoreId, repair};
use shardkeep_tests::disk::{Disk, Left, Plan, STORE, Stored, Syncs, Verdict};
use shardkeep_tests::random::Random;

/// Bytes of a log of which some bits are turned, and how many are left out.
const LARGE: (usize, usize) = (64 * 1_024, 61);

/// Bytes of a log of which all bits are turned.
const SMALL: (usize, usize) = (4 * 1_024, 1);

fn stored(before_snapshot: usize, after_snapshot: usize, left: Left) -> Stored {
    let segment_bytes = 1_500.max(after_snapshot as u64 / 3);
    let plan = Plan {
        before_snapshot,
        after_snapshot,
        segment_bytes,
        left,
    };
    Stored::new(plan).unwrap()
}

fn refused(verdict: Result<u64, Verdict>, what: &str) -> String {
    match verdict {
        Err(Verdict::Refused(text)) => text,
        other => panic!("{what}: {other:?}"),
    }
}

#[test]
fn no_turned_bit_of_a_closed_log_is_accepted() {
    for (bytes, stride) in [SMALL, LARGE] {
        let tried = stored(0, bytes, Left::Closed)
            .turn_bits("log-", stride)
            .unwrap();
        assert!(tried.cases as usize >= bytes * 8 / stride);
        assert_eq!(
            tried.opened, 0,
            "all of it had been synced, and the manifest knows"
        );
    }
}

#[test]
fn a_turned_bit_of_a_crashed_log_costs_no_more_than_what_nothing_proves() {
    for (bytes, stride) in [SMALL, LARGE] {
        let tried = stored(0, bytes, Left::Crashed)
            .turn_bits("log-", stride)
            .unwrap();
        assert!(tried.opened > 0, "nothing proves the last batch");
        assert!(tried.opened < tried.cases / 2);
    }
}

#[test]
fn a_turned_bit_of_a_log_at_rest_costs_no_record_whatever_was_synced() {
    /// Bits of the mark, which is no record.
    const OF_MARK: u64 = (HEAD_BYTES * 8) as u64;
    for syncs in [Syncs::Always, Syncs::Interval, Syncs::Never] {
        for (bytes, stride) in [SMALL, LARGE] {
            let tried = stored(0, bytes, Left::AtRest(syncs))
                .turn_bits("log-", stride)
                .unwrap();
            assert!(tried.cases as usize >= bytes * 8 / stride);
            assert!(tried.opened <= OF_MARK, "{syncs:?}: {tried:?}");
            assert!(stride > 1 || tried.opened == OF_MARK);
        }
    }
}

#[test]
fn no_turned_bit_of_a_snapshot_or_manifest_is_accepted() {
    for (bytes, stride) in [SMALL, LARGE] {
        for name in ["snapshot-", "manifest"] {
            let tried = stored(bytes, 100, Left::Crashed)
                .turn_bits(name, stride)
                .unwrap();
            assert!(tried.cases > 0);
            assert_eq!(tried.opened, 0, "{name}");
        }
    }
}

#[test]
fn a_file_that_ends_early_costs_no_more_than_what_nothing_proves() {
    for (bytes, stride) in [SMALL, LARGE] {
        let closed = stored(0, bytes, Left::Closed).cut_files(stride).unwrap();
        assert_eq!(closed.opened, 0);
        let crashed = stored(1_000, bytes, Left::Crashed)
            .cut_files(stride)
            .unwrap();
        assert!(crashed.opened > 0);
    }
}

#[test]
fn a_tail_of_zeros_or_anything_else_is_cut_off() {
    for left in [Left::Closed, Left::Crashed] {
        let stored = stored(0, 2_000, left);
        let mut story = stored.story().unwrap();
        let (name, content) = stored
            .files()
            .into_iter()
            .rfind(|(name, _)| name.starts_with("log-"))
            .unwrap();
        story.acknowledged = story.records();
        let mut chance = Random::new(5);
        for bytes in [1, 23, 24, 511, 5_000, 600_000] {
            for garbage in [vec![0; bytes], chance.bytes(bytes), vec![0xff; bytes]] {
                let longer = [&content[..], &garbage].concat();
                let opened = stored.open_with(&story, &name, longer);
                assert_eq!(opened, Ok(story.records()), "{bytes} bytes");
            }
        }
    }
}

#[test]
fn a_file_that_is_gone_is_refused_by_name() {
    let stored = stored(5_000, 5_000, Left::Crashed);
    let story = stored.story().unwrap();
    for (name, _) in stored.files() {
        let mut state = stored.state.clone();
        state.take(&name);
        let opened = story
            .clone()
            .open(&Disk::new(state))
            .map(|log| log.appended().get());
        let text = refused(opened, &name);
        assert!(
            text.contains(&name) && text.contains("missing"),
            "{name}: {text}"
        );
    }
}

#[test]
fn files_that_have_changed_places_are_refused_by_name() {
    let stored = stored(5_000, 5_000, Left::Crashed);
    let story = stored.story().unwrap();
    let files = stored.files();
    for (one, one_content) in &files {
        for (other, other_content) in files.iter().filter(|(other, _)| other > one) {
            let mut state = stored.state.clone();
            state.put(one, other_content.clone());
            state.put(other, one_content.clone());
            let opened = story
                .clone()
                .open(&Disk::new(state))
                .map(|log| log.appended().get());
            let text = refused(opened, one);
            assert!(
                text.contains(one) || text.contains(other),
                "{one} for {other}: {text}"
            );
        }
    }
}

#[test]
fn a_file_of_another_store_is_refused_by_its_owner() {
    let stored = stored(5_000, 5_000, Left::Crashed);
    let story = stored.story().unwrap();
    for (name, content) in stored.files() {
        if name == "manifest" {
            continue;
        }
        // Everything of the header is right, but whose it is.
        let kind = match name.starts_with("log-") {
            true => FileKind::Segment,
            false => FileKind::Snapshot,
        };
        let (mut header, bytes) = FileHeader::decode(kind, &content).unwrap();
        header.store = StoreId::new([0xee; 16]);
        let foreign = [&header.encode()[..], &content[bytes..]].concat();
        let text = refused(stored.open_with(&story, &name, foreign), &name);
        assert!(text.contains(&name) && text.contains("eeeeeeee"), "{text}");
    }
}

#[test]
fn a_file_of_another_store_that_nothing_lists_is_refused_and_not_removed() {
    let stored = stored(5_000, 5_000, Left::Crashed);
    let story = stored.story().unwrap();
    let store = StoreId::new([0xee; 16]);
    // Names as old as those that a crash before their removal leaves.
    let (segment, snapshot) = (
        "log-00000000000000000001.skl",
        "snapshot-00000000000000000001.sks",
    );
    for (name, kind) in [(segment, FileKind::Segment), (snapshot, FileKind::Snapshot)] {
        assert!(stored.state.content(name).is_none());
        let lsn = Lsn::new(1);
        let header = FileHeader::new(kind, store, lsn).encode();
        let disk = Disk::new(stored.state.clone());
        disk.tamper(|state| state.put(name, header.to_vec()));
        let opened = story.clone().open(&disk);
        let text = refused(opened.map(|log| log.appended().get()), name);
        assert!(text.contains(name) && text.contains("eeeeeeee"), "{text}");
        assert_eq!(disk.state().content(name), Some(&header[..]));
        // A repair lays it aside.
        repair(&Arc::new(disk.clone())).unwrap();
        let aside = format!("{name}.damaged-1");
        assert_eq!(disk.state().content(&aside), Some(&header[..]));
        assert_eq!(
            story.clone().open(&disk).unwrap().appended().get(),
            story.records()
        );
        // One of the store itself is what a crash has left.
        let own = FileHeader::new(kind, STORE, lsn);
        disk.tamper(|state| state.put(name, own.encode()));
        drop(story.clone().open(&disk).unwrap());
        assert_eq!(disk.state().content(name), None);
    }
}

#[test]
fn an_older_manifest_is_refused_once_its_segments_are_gone_or_newer_ones_hold_records() {
    let older = stored(5_000, 100, Left::Crashed);
    let newer = stored(5_000, 4_500, Left::Crashed);
    let story = newer.story().unwrap();
    let manifest = older.state.content("manifest").unwrap().to_vec();
    let text = refused(newer.open_with(&story, "manifest", manifest), "it");
    assert!(
        text.contains("holds records, and the manifest does not know it"),
        "{text}"
    );
}

#[test]
fn another_version_is_refused_and_so_is_an_unknown_kind() {
    let stored = stored(5_000, 5_000, Left::Crashed);
    let story = stored.story().unwrap();
    for (name, content) in stored.files() {
        let mut other = content.clone();
        other[8] = 9;
        let checksum = crc32c::crc32c(&other[..36]);
        other[36..40].copy_from_slice(&checksum.to_le_bytes());
        let text = refused(stored.open_with(&story, &name, other), &name);
        assert!(text.contains(&name) && text.contains("version 9"), "{text}");
    }
    // The very last record, where all that is wrong otherwise is a torn tail.
    let (name_of_last, content) = stored
        .files()
        .into_iter()
        .rfind(|(name, _)| name.starts_with("log-"))
        .unwrap();
    let lsn = Lsn::new(story.records() + 1);
    let mut head = Head::record(lsn, lsn.previous(), 0, 0);
    head.kind = 2;
    let longer = [&content[..], &head.encode(STORE.records_seed())].concat();
    let text = refused(stored.open_with(&story, &name_of_last, longer), "it");
    assert!(text.contains("kind 2 is unknown"), "{text}");
    // Kinds that have a name already are refused by it.
    for (kind, name) in [
        (1, "record with its place in the replication stream"),
        (9, "cut of a walk"),
        (12, "loss of a shard"),
        (17, "first part of a large record"),
        (21, "middle part of a large record"),
        (25, "last part of a large record"),
        (29, "end of a large record that was abandoned"),
    ] {
        head.kind = kind;
        let longer = [&content[..], &head.encode(STORE.records_seed())].concat();
        let text = refused(stored.open_with(&story, &name_of_last, longer), name);
        assert!(text.contains(&format!("kind {kind} ({name})")), "{text}");
    }
}
