//! What a server's directory holds is found again or refused by name: after a bit has turned while the server
//! rested and was killed, and for programs that hold something else.

use std::error::Error as _;
use std::fs;
use std::path::Path;

use shardkeep::{Durable, Store};
use shardkeep_log::format::{FileHeader, FileKind, HEAD_BYTES, MARK, find_record_head};
use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::{Scratch, Signal, run_to_end};

use crate::support::{ask, ends_cleanly, eventually, program, start};

const SEGMENT: &str = "log-00000000000000000001.skl";

/// Keys of the store, each a record of its own.
const KEYS: u64 = 40;

/// What the mark at the end of the log says is written and synced, once there is one, and where it stands.
fn mark(segment: &Path) -> Option<(u64, u64, usize)> {
    let content = fs::read(segment).unwrap();
    let (header, mut at) = FileHeader::decode(FileKind::Segment, &content).unwrap();
    let seed = header.store.records_seed();
    let mut last = None;
    while let Some((next, head)) = find_record_head(seed, &content[at..], 0..=u64::MAX >> 6) {
        last = Some((head, at + next));
        at += next + HEAD_BYTES;
    }
    let (head, at) = last.filter(|(head, _)| head.kind == MARK)?;
    Some((head.number - 1, head.synced().get(), at))
}

/// Runs the server on `dir` until it ends by itself.
fn refusal(dir: &Path) -> String {
    let dir = dir.to_string_lossy();
    let flags = ["serve", "--bind", "127.0.0.1:0", "--dir", &dir];
    let (status, output) = run_to_end(program(), &flags, &[], PATIENCE).unwrap();
    assert_eq!(status.code(), Some(1), "{output}");
    output
}

#[test]
fn a_bit_that_turns_in_the_last_burst_of_a_server_at_rest_is_refused_by_file_and_offset() {
    for (mode, is_synced) in [("always", true), ("interval", true), ("never", false)] {
        let scratch = Scratch::new().unwrap();
        let dir = scratch.path().join("store");
        let text = dir.to_string_lossy().into_owned();
        let mut server = start(&["--dir", &text, "--sync", mode]);
        let mut client = server.client().unwrap();
        for key in 1..=KEYS {
            assert_eq!(ask(&mut client, &format!("SET key:{key} value")), "OK");
        }
        let segment = dir.join(SEGMENT);
        let synced = if is_synced { KEYS } else { 0 };
        let is_marked =
            || mark(&segment).is_some_and(|(written, known, _)| (written, known) == (KEYS, synced));
        eventually("the log is marked", is_marked);
        let (.., end) = mark(&segment).unwrap();
        server.signal(Signal::KILL).unwrap();
        server.wait(PATIENCE).unwrap();
        let whole = fs::read(&segment).unwrap();
        let record = (end - 48) / KEYS as usize;
        for at in [48, 48 + record / 2, end / 2, end - record, end - 1] {
            let mut turned = whole.clone();
            turned[at] ^= 1;
            fs::write(&segment, turned).unwrap();
            let text = refusal(&dir);
            assert!(
                text.contains(&format!("{SEGMENT} is damaged at offset")),
                "{mode}: {text}"
            );
            assert_eq!(
                fs::read(&segment).unwrap().len(),
                whole.len(),
                "nothing is cut off"
            );
        }
        fs::write(&segment, &whole).unwrap();
        let mut server = start(&["--dir", &text, "--sync", mode]);
        let mut client = server.client().unwrap();
        assert_eq!(ask(&mut client, "DBSIZE"), KEYS.to_string());
        ends_cleanly(&mut server);
    }
}

#[test]
fn the_directory_of_a_server_is_refused_to_a_program_with_types_and_the_reverse() {
    let scratch = Scratch::new().unwrap();
    let dir = scratch.path().join("server");
    let mut server = start(&["--dir", &dir.to_string_lossy()]);
    let mut client = server.client().unwrap();
    assert_eq!(ask(&mut client, "SET k v"), "OK");
    ends_cleanly(&mut server);
    let open = |durable| {
        Store::<String, String>::builder()
            .durable(&dir, durable)
            .open()
    };
    let refused = open(Durable::new()).unwrap_err();
    let refused = refused.source().unwrap().to_string();
    let expected = "the store holds the keys and strings of a server, but is to be opened as keys text, \
                    values text";
    assert!(refused.contains(expected), "{refused}");
    let store = open(Durable::new().accept_other_types()).unwrap();
    assert_eq!(store.get("k").unwrap(), Some("v".to_owned()));
    drop(store);
    let text = refusal(&dir);
    let expected = "the store holds keys text, values text, but is to be opened as the keys and strings \
                    of a server";
    assert!(text.contains(expected), "{text}");
}
