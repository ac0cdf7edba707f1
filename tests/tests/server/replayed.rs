//! Time in a log that is read long after it was written: the log is made by hand, with expiries long past.

use std::path::Path;
use std::sync::Arc;

use shardkeep_log::{Directory, Options, Recovery, StoreId};
use shardkeep_tests::harness::{Launch, Scratch, ServerProcess, request};

use crate::support::{ask, program};

/// A moment of the year 2001, in Unix milliseconds.
const PAST: &str = "1000000000000";

/// What the log says of a key that has `value`, for ever or until [`PAST`].
fn set(key: &str, value: &str, expires: bool) -> Vec<u8> {
    let args = ["SET", key, value, "PXAT", PAST];
    request(if expires { &args } else { &args[..3] })
}

/// A store whose log has these records.
fn write(dir: &Path, records: &[Vec<u8>]) {
    let directory = Arc::new(Directory::create(dir).unwrap());
    let options = Options {
        create: Some(StoreId::new([7; 16])),
        ..Options::new()
    };
    let mut recovery = Recovery::open(directory, options).unwrap();
    assert!(recovery.next_record().unwrap().is_none());
    let (mut log, _) = recovery.into_log().unwrap();
    for record in records {
        log.append(record).unwrap();
    }
    log.close().unwrap();
}

#[test]
fn an_expiry_that_has_passed_since_ends_a_key_only_if_nothing_took_it_back() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("store");
    // SET kept; PEXPIREAT kept t; PERSIST kept; and after t: the same, but for the last.
    write(
        &dir,
        &[
            set("kept", "v", false),
            set("kept", "v", true),
            set("kept", "v", false),
            set("gone", "v", false),
            set("gone", "v", true),
            set("written", "old", true),
            set("written", "new", false),
            set("removed", "v", true),
            request(&["DEL", "removed"]),
        ],
    );
    let text = dir.to_string_lossy();
    for _ in 0..2 {
        let flags = ["--dir", &*text, "--sync", "always"];
        let server = ServerProcess::start(program(), Launch::Shardkeep, &flags).unwrap();
        let mut client = server.client().unwrap();
        assert_eq!(ask(&mut client, "GET kept"), "v");
        assert_eq!(ask(&mut client, "PTTL kept"), "-1");
        assert_eq!(ask(&mut client, "GET written"), "new");
        assert_eq!(ask(&mut client, "GET gone"), "nil");
        assert_eq!(ask(&mut client, "EXISTS gone removed"), "0");
        assert_eq!(ask(&mut client, "SAVE"), "OK");
    }
}
