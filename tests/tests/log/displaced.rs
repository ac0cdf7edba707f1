//! What somebody else does to a store's files while its log is open: the log fails at the next occasion,
//! by name, and changes nothing of what is there.

use std::sync::Arc;

use shardkeep_log::{Compression, FinishedSnapshot, Log, Options, Recovery, Replay};
use shardkeep_tests::disk::{Disk, STORE};

/// The segment that gets the records.
const SEGMENT: &str = "log-00000000000000000003.skl";

/// Bytes of a record that leaves no room for another in its segment, or for zeros behind it.
const FILLING: usize = 400;

/// What somebody does, and what is said of it.
type Deed = (&'static str, fn(&Disk), &'static str);

const DEEDS: [Deed; 7] = [
    (
        "the directory is replaced",
        |disk| disk.replace_directory(true),
        "looking for the disk: moved, removed or replaced since it was opened",
    ),
    (
        "the segment is removed",
        |disk| disk.tamper(|state| state.take(SEGMENT)),
        "looking for log-00000000000000000003.skl: renamed, removed or replaced since it was opened",
    ),
    (
        "the segment is replaced",
        |disk| {
            disk.tamper(|state| {
                let content = state.content(SEGMENT).unwrap().to_vec();
                state.put(SEGMENT, content);
            });
        },
        "looking for log-00000000000000000003.skl: renamed, removed or replaced since it was opened",
    ),
    (
        "the segment gets one more name",
        |disk| disk.tamper(|state| state.share(SEGMENT, "linked")),
        "looking for log-00000000000000000003.skl: it has 2 names",
    ),
    (
        "the segment is cut to half a header",
        |disk| disk.tamper(|state| state.set_len(SEGMENT, 20)),
        "looking for log-00000000000000000003.skl: it has 20 bytes and was left with",
    ),
    (
        "the segment is cut by a byte",
        |disk| {
            disk.tamper(|state| state.set_len(SEGMENT, state.content(SEGMENT).unwrap().len() - 1))
        },
        "bytes and was left with",
    ),
    (
        "the segment is written by others",
        |disk| {
            disk.tamper(|state| state.set_len(SEGMENT, state.content(SEGMENT).unwrap().len() + 1))
        },
        "bytes and was left with",
    ),
];

/// A log with three segments, of which a replay keeps the first two, and what is under way.
struct Scene {
    disk: Disk,
    log: Log<Disk>,
    finished: Option<FinishedSnapshot<Disk>>,
    replay: Option<Replay<Disk>>,
}

impl Scene {
    fn new() -> Self {
        let disk = Disk::default();
        let options = Options {
            create: Some(STORE),
            segment_bytes: 512,
            ahead_bytes: 0,
            ..Options::new()
        };
        let recovery = Recovery::open(Arc::new(disk.clone()), options).unwrap();
        let (mut log, _) = recovery.into_log().unwrap();
        for _ in 0..3 {
            log.append(&[7; FILLING]).unwrap();
            log.write().unwrap();
        }
        log.sync().unwrap();
        assert_eq!(log.segments(), 3);
        Self {
            disk,
            log,
            finished: None,
            replay: None,
        }
    }

    fn finish_a_snapshot(&mut self) {
        let writer = self.log.snapshot(Compression::None).unwrap();
        self.finished = Some(writer.finish(0, self.log.appended()).unwrap());
    }
}

/// An occasion at which it is looked, with what comes before; says whether it went on as if all were well.
type Occasion = (&'static str, fn(&mut Scene), fn(&mut Scene) -> bool);

const OCCASIONS: [Occasion; 6] = [
    ("a look", |_| {}, |scene| scene.log.look().is_ok()),
    (
        "a new segment",
        |scene| {
            scene.log.append(&[8; FILLING]).unwrap();
        },
        |scene| scene.log.write().is_ok(),
    ),
    (
        "a snapshot begins",
        |_| {},
        |scene| scene.log.snapshot(Compression::None).is_ok(),
    ),
    ("a snapshot is adopted", Scene::finish_a_snapshot, |scene| {
        let finished = scene.finished.take().unwrap();
        scene.log.adopt(finished, scene.log.synced()).is_ok()
    }),
    (
        "files are removed",
        |scene| {
            scene.replay = Some(scene.log.replay(scene.log.written()).unwrap());
            scene.finish_a_snapshot();
            let finished = scene.finished.take().unwrap();
            scene.log.adopt(finished, scene.log.synced()).unwrap();
            // Now nothing keeps what is not needed any more, and the next occasion would remove it.
            scene.replay = None;
        },
        |scene| scene.log.close().is_ok(),
    ),
    (
        "the log is closed",
        |_| {},
        |scene| scene.log.close().is_ok(),
    ),
];

/// What must stay: everything but the snapshot that was being written, which belongs to the log.
fn kept(disk: &Disk) -> Vec<(String, Vec<u8>)> {
    let state = disk.state();
    let names = state.names().filter(|name| !name.ends_with(".tmp"));
    names
        .map(|name| (name.to_owned(), state.content(name).unwrap().to_vec()))
        .collect()
}

/// Where a displacement goes unnoticed, or is noticed too late.
pub(crate) fn displacements_show() -> Option<String> {
    for (deed, carry_out, said) in DEEDS {
        for (occasion, prepare, act) in OCCASIONS {
            let mut scene = Scene::new();
            prepare(&mut scene);
            carry_out(&scene.disk);
            let before = kept(&scene.disk);
            let name = format!("{deed}, then {occasion}");
            if act(&mut scene) {
                return Some(format!("{name}: nothing is said"));
            }
            let why = scene.log.failed().map(ToString::to_string);
            if !why.as_ref().is_some_and(|why| why.contains(said)) {
                return Some(format!("{name}: it is said {why:?}"));
            }
            if scene.log.append(b"later").is_ok() || scene.log.sync().is_ok() {
                return Some(format!("{name}: the log goes on"));
            }
            drop(scene.log);
            if before != kept(&scene.disk) {
                return Some(format!("{name}: something is changed"));
            }
        }
    }
    None
}

#[test]
fn whatever_is_displaced_fails_the_log_by_name_at_every_occasion_and_nothing_is_changed() {
    assert_eq!(displacements_show(), None);
}

#[test]
fn a_log_that_is_where_it_was_left_says_so_after_every_step() {
    for ahead_bytes in [0, 512, 1 << 20] {
        let disk = Disk::default();
        let options = Options {
            create: Some(STORE),
            segment_bytes: 4_096,
            ahead_bytes,
            ..Options::new()
        };
        let recovery = Recovery::open(Arc::new(disk.clone()), options).unwrap();
        let (mut log, _) = recovery.into_log().unwrap();
        for number in 0..200 {
            log.look().unwrap();
            log.append(&vec![1; number * 7]).unwrap();
            log.look().unwrap();
            log.write().unwrap();
            log.look().unwrap();
            log.sync().unwrap();
        }
        log.close().unwrap();
        log.look().unwrap();
    }
}

#[test]
fn a_segment_that_was_cut_is_never_made_longer_so_that_the_cut_still_shows() {
    for ahead_bytes in [0, 512] {
        let disk = Disk::default();
        let options = Options {
            create: Some(STORE),
            ahead_bytes,
            ..Options::new()
        };
        let recovery = Recovery::open(Arc::new(disk.clone()), options).unwrap();
        let (mut log, _) = recovery.into_log().unwrap();
        let segment = "log-00000000000000000001.skl";
        for _ in 0..20 {
            log.append(&[1; 40]).unwrap();
            log.write().unwrap();
        }
        let left = disk.state().content(segment).unwrap().len();
        disk.tamper(|state| state.set_len(segment, 100));
        // What was written ahead may still be used up.
        let written = (0..20).take_while(|_| {
            log.append(&[2; 40]).unwrap();
            log.write().is_ok()
        });
        assert!(written.count() < 20);
        let why = log.failed().unwrap().to_string();
        assert!(why.contains("was left with"), "{why}");
        assert!(disk.state().content(segment).unwrap().len() < left);
    }
}

#[test]
fn a_store_whose_last_segment_has_other_names_is_refused_and_not_written() {
    let scene = Scene::new();
    scene.disk.tamper(|state| state.share(SEGMENT, "linked"));
    drop(scene.log);
    let (state, operations) = (scene.disk.state(), scene.disk.operations());
    let recovery = Recovery::open(Arc::new(scene.disk.clone()), Options::new()).unwrap();
    let refused = recovery.into_log().map(drop).unwrap_err().to_string();
    assert!(refused.contains("make copies, not hard links"), "{refused}");
    assert_eq!(operations, scene.disk.operations());
    assert_eq!(state.fingerprint(), scene.disk.state().fingerprint());
}
