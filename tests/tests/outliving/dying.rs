//! Processes that die in the middle of a change, in ways that no handler can stop.
//!
//! The child is this very program, told by its environment what to do.

use std::env;
use std::hash::{Hash, Hasher};
use std::io::{Write as _, stdout};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use shardkeep::codec::DecodeError;
use shardkeep::{Durable, Encode, Store, SyncMode};
use shardkeep_tests::clock::{self, PATIENCE};
use shardkeep_tests::harness::Scratch;

const HOW: &str = "SHARDKEEP_TESTS_DIES_BY";
const WHERE: &str = "SHARDKEEP_TESTS_DIRECTORY";

/// Keys of each of the child's threads.
const KEYS: u64 = 150;

/// From now on comparing keys, which happens with the shard in hand, kills the process.
static IS_ARMED: AtomicBool = AtomicBool::new(false);

#[derive(Clone, Debug)]
struct Deadly(u64);

impl Hash for Deadly {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl PartialEq for Deadly {
    fn eq(&self, other: &Self) -> bool {
        if IS_ARMED.load(SeqCst) {
            die(&env::var(HOW).unwrap());
        }
        self.0 == other.0
    }
}

impl Eq for Deadly {}

impl Encode for Deadly {
    fn encode(&self, into: &mut Vec<u8>) {
        self.0.encode(into);
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        u64::decode(bytes).map(Self)
    }
}

/// Panics when it is dropped.
struct Again;

impl Drop for Again {
    fn drop(&mut self) {
        panic!("a second time");
    }
}

fn die(how: &str) {
    match how {
        "a double panic" => {
            let _again = Again;
            panic!("a first time");
        }
        "a stack overflow" => assert!(deep(1) > 0),
        "an allocation that fails" => {
            let bytes: Vec<u8> = Vec::with_capacity(isize::MAX as usize);
            assert!(std::hint::black_box(bytes).is_empty());
        }
        other => panic!("{other}?"),
    }
}

/// As deep as the stack.
#[expect(unconditional_recursion, reason = "that is what it is for")]
fn deep(level: u64) -> u64 {
    let frame = std::hint::black_box([level; 128]);
    deep(level + 1) + frame[0]
}

fn open(directory: &Path) -> Store<Deadly, u64> {
    let durable = Durable::new().sync(SyncMode::Always);
    Store::builder()
        .shards(4)
        .durable(directory, durable)
        .open()
        .unwrap()
}

#[test]
fn the_child_of_these_tests_writes_until_it_dies_as_its_environment_says() {
    let Some(directory) = env::var_os(WHERE) else {
        return;
    };
    let store = open(Path::new(&directory));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let store = &store;
            scope.spawn(move || {
                for key in (0..KEYS).map(|key| 2 * key + thread) {
                    store.insert(Deadly(key), !key).unwrap();
                    writeln!(stdout(), "acknowledged {key}").unwrap();
                }
            });
        }
    });
    IS_ARMED.store(true, SeqCst);
    // It is there, so it is compared.
    drop(store.insert(Deadly(0), 0));
    writeln!(stdout(), "survived").unwrap();
}

#[test]
fn nothing_acknowledged_is_missing_after_a_death_that_nobody_can_handle() {
    for how in [
        "a double panic",
        "a stack overflow",
        "an allocation that fails",
    ] {
        let scratch = Scratch::new().unwrap();
        let place = scratch.path().join("store");
        let name = "dying::the_child_of_these_tests_writes_until_it_dies_as_its_environment_says";
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .envs([(HOW, how.as_ref()), (WHERE, place.as_os_str())])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // What it says fits into the pipe.
        let deadline = clock::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            if clock::left(deadline).is_none() {
                child.kill().unwrap();
            }
            std::thread::yield_now();
        }
        let output = child.wait_with_output().unwrap();
        let signal = output.status.signal();
        assert!(matches!(signal, Some(6 | 11)), "{how}: {output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let acknowledged: Vec<u64> = said
            .lines()
            .filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok())
            .collect();
        assert_eq!(acknowledged.len() as u64, 2 * KEYS, "{how}: {said}");
        let store = open(&place);
        for key in acknowledged {
            assert_eq!(store.get(&Deadly(key)).unwrap(), Some(!key), "{how}: {key}");
        }
    }
}
