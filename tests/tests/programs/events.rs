//! Events: each is stored once, over any end of the program.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::Signal;
use shardkeep::{Durable, Store};
use shardkeep_tests::clock::PATIENCE;
use shardkeep_tests::harness::Scratch;

use crate::support::Program;

fn line(number: u64) -> String {
    format!("kind{} event {number}", number % 5)
}

fn lines(count: u64) -> String {
    let mut text = String::new();
    for number in 0..count {
        writeln!(text, "{}", line(number)).unwrap();
    }
    text
}

fn start(scratch: &Scratch, flags: &[&str]) -> Program {
    let dir = scratch.path().join("events");
    let dir = dir.to_string_lossy().into_owned();
    let mut args = vec![dir.as_str()];
    args.extend(flags);
    Program::start(env!("CARGO_BIN_EXE_events-under-test"), &args)
}

/// What the last line says of a counter.
fn counter(said: &[String], name: &str) -> u64 {
    let line = said.iter().rfind(|line| line.contains("ended:"));
    let line = line.unwrap_or_else(|| panic!("no last line: {said:#?}"));
    let mut words = line.split(' ');
    words.find(|word| *word == name).unwrap();
    words.next().unwrap().parse().unwrap()
}

/// The store holds the first `count` lines of `source`, each once, and counts that agree.
fn check(directory: &Path, source: &str, count: u64) {
    let store = Store::<String, String>::builder();
    let store = store
        .durable(directory.join("events"), Durable::new())
        .open()
        .unwrap();
    let all: BTreeMap<String, String> = store.iter().collect::<Result<_, _>>().unwrap();
    let with = |prefix: &str| -> BTreeMap<String, String> {
        let found = all.iter().filter_map(|(key, value)| {
            let rest = key.strip_prefix(prefix)?;
            Some((rest.to_owned(), value.clone()))
        });
        found.collect()
    };
    let events = with(&format!("event/{source}/"));
    assert_eq!(events.len() as u64, count);
    for ((key, value), number) in events.iter().zip(0..) {
        assert_eq!(key.parse(), Ok(number));
        let text = line(number);
        let (kind, rest) = text.split_once(' ').unwrap();
        let words: Vec<&str> = value.splitn(3, ' ').collect();
        assert_eq!((words[0], words[2]), (kind, rest), "{key}");
    }
    // Counts would show a batch that was stored twice, or in part.
    let counts = with("count/");
    let sum: u64 = counts
        .values()
        .map(|value| value.parse::<u64>().unwrap())
        .sum();
    assert_eq!(sum, count, "{counts:?}");
    let offset = all.get(&format!("source/{source}")).unwrap();
    assert_eq!(offset.split(' ').next().unwrap().parse(), Ok(count));
}

#[test]
fn the_lines_of_a_file_are_stored_once_however_often_it_is_read() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.file("lines", &lines(3_000)).unwrap();
    let source = format!("file:{file}");
    let (code, said) = start(&scratch, &["--file", &file]).end();
    assert_eq!((code, counter(&said, "stored")), (Some(0), 3_000));
    check(scratch.path(), &source, 3_000);
    let (code, said) = start(&scratch, &["--file", &file]).end();
    assert_eq!((code, counter(&said, "read")), (Some(0), 0));
    // The last line has no end yet.
    scratch
        .file("lines", &(lines(3_500) + "kind0 event 35"))
        .unwrap();
    let (code, said) = start(&scratch, &["--file", &file]).end();
    assert_eq!((code, counter(&said, "stored")), (Some(0), 500));
    check(scratch.path(), &source, 3_500);
}

#[test]
fn a_file_is_one_source_whatever_it_is_called() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.file("lines", &lines(1_000)).unwrap();
    let alias = scratch.path().join("alias");
    std::os::unix::fs::symlink(&file, &alias).unwrap();
    let roundabout = scratch.path().join("./lines");
    for name in [&alias, &roundabout, Path::new(&file)] {
        let (code, said) = start(&scratch, &["--file", &name.to_string_lossy()]).end();
        assert_eq!(code, Some(0), "{said:#?}");
    }
    check(scratch.path(), &format!("file:{file}"), 1_000);
}

#[test]
fn a_file_in_the_place_of_another_is_refused() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.file("lines", &lines(1_000)).unwrap();
    assert_eq!(start(&scratch, &["--file", &file]).end().0, Some(0));
    let refused = |why: &str| {
        let (code, said) = start(&scratch, &["--file", &file]).end();
        assert_eq!(code, Some(1), "{said:#?}");
        let last = said.last().unwrap();
        assert!(last.contains(why), "{last}");
    };
    scratch.file("lines", &"x".repeat(100_000)).unwrap();
    refused("no line ends at byte");
    scratch.file("lines", &lines(999)).unwrap();
    refused("were stored");
    std::fs::remove_file(&file).unwrap();
    refused("No such file");
    let mode = Mode::from_raw_mode(0o600);
    mknodat(CWD, &file, FileType::Fifo, mode, 0).unwrap();
    refused("it is not a file");
    check(scratch.path(), &format!("file:{file}"), 1_000);
}

#[test]
fn the_first_failure_cancels_every_stage_and_what_is_repaired_goes_on() {
    let scratch = Scratch::new().unwrap();
    let bad = lines(2_000) + " no kind\n" + &lines(5);
    let file = scratch.file("lines", &bad).unwrap();
    let other = scratch.file("other", &lines(10)).unwrap();
    // With nobody to connect, only the failure can end what listens.
    let flags = ["--listen", "127.0.0.1:0", "--file", &file];
    let (code, said) = start(&scratch, &flags).end();
    assert_eq!(code, Some(1), "{said:#?}");
    let last = said.last().unwrap();
    assert!(last.contains("line 2001: a kind has"), "{last}");
    scratch.file("lines", &lines(2_500)).unwrap();
    let (code, _) = start(&scratch, &["--file", &file]).end();
    assert_eq!(code, Some(0));
    check(scratch.path(), &format!("file:{file}"), 2_500);
    let twice = ["--file", &other, "--file", &other];
    let (code, said) = start(&scratch, &twice).end();
    // A source is read by one at a time; the second may also come when the first has ended.
    assert!(matches!(code, Some(0 | 1)), "{said:#?}");
}

#[test]
fn readers_wait_for_the_writer_and_for_the_rate_and_the_counters_say_so() {
    let scratch = Scratch::new().unwrap();
    let file = scratch.file("lines", &lines(500)).unwrap();
    let (code, said) = start(&scratch, &["--file", &file, "--permits", "1"]).end();
    assert_eq!((code, counter(&said, "stored")), (Some(0), 500));
    assert!(counter(&said, "held-back") > 0, "{said:#?}");
    // With a permit for each line, only the rate is there to wait for.
    let file = scratch.file("others", &lines(100)).unwrap();
    let flags = ["--file", &file, "--permits", "100", "--rate", "200"];
    let (code, said) = start(&scratch, &flags).end();
    assert_eq!((code, counter(&said, "stored")), (Some(0), 100));
    assert_eq!(counter(&said, "held-back"), 0, "{said:#?}");
    assert!(counter(&said, "slowed") > 0, "{said:#?}");
}

#[test]
fn a_file_that_is_read_under_kills_is_stored_exactly_once() {
    const COUNT: u64 = 40_000;
    let scratch = Scratch::new().unwrap();
    let file = scratch.file("lines", &lines(COUNT)).unwrap();
    let flags = ["--file", &file, "--batch", "64", "--report", "3000"];
    for _ in 0..3 {
        let mut program = start(&scratch, &flags);
        program.await_line("progress: ");
        program.signal(Signal::KILL);
        assert_eq!(program.end().0, None);
    }
    let (code, said) = start(&scratch, &flags).end();
    assert_eq!(code, Some(0), "{said:#?}");
    assert!(counter(&said, "stored") <= COUNT - 9_000, "{said:#?}");
    check(scratch.path(), &format!("file:{file}"), COUNT);
}

/// A peer that sends until the program ends, or all is stored; returns the last number it was told.
fn send(to: SocketAddr, count: u64, mut told_enough: impl FnMut(u64)) -> u64 {
    let stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut words = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut next_word = || -> Option<u64> {
        let line = words.next()?.ok()?;
        let number = line.strip_prefix("stored ");
        Some(number.unwrap_or_else(|| panic!("{line}")).parse().unwrap())
    };
    (&stream).write_all(b"source tour\n").unwrap();
    let from = next_word().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut out = std::io::BufWriter::new(&stream);
            for number in from..count {
                if writeln!(out, "{}", line(number)).is_err() {
                    return;
                }
            }
            // Fails when the program has ended.
            drop(out.flush());
            drop(out);
            drop(stream.shutdown(Shutdown::Write));
        });
        let mut told = from;
        while let Some(number) = next_word() {
            assert!(number > told, "{number} after {told}");
            told = number;
            told_enough(told - from);
        }
        told
    })
}

/// Ends the program by `signal` in the middle of a peer's events, some times; then lets it come to its end.
fn what_a_peer_sends_is_stored_exactly_once_over(signal: Signal) {
    const COUNT: u64 = 60_000;
    let scratch = Scratch::new().unwrap();
    let flags = ["--listen", "127.0.0.1:0", "--batch", "64"];
    for round in 0..3 {
        let mut program = start(&scratch, &flags);
        let (to, mut is_ended) = (program.address(), false);
        let told = send(to, COUNT, |since| {
            if since >= 4_000 && !is_ended {
                program.signal(signal);
                is_ended = true;
            }
        });
        assert!(is_ended || round > 0, "all was stored before the middle");
        if !is_ended {
            program.signal(signal);
        }
        let (code, said) = program.end();
        if signal == Signal::TERM {
            assert_eq!(code, Some(0), "{said:#?}");
            // What was read is stored, and the peer knows.
            assert_eq!(counter(&said, "read"), counter(&said, "stored"));
            check(scratch.path(), "peer:tour", told);
        }
    }
    let mut program = start(&scratch, &flags);
    let to = program.address();
    assert_eq!(send(to, COUNT, |_| {}), COUNT);
    program.signal(Signal::TERM);
    assert_eq!(program.end().0, Some(0));
    check(scratch.path(), "peer:tour", COUNT);
}

#[test]
fn what_a_peer_sends_is_stored_exactly_once_over_drains() {
    what_a_peer_sends_is_stored_exactly_once_over(Signal::TERM);
}

#[test]
fn what_a_peer_sends_is_stored_exactly_once_over_kills() {
    what_a_peer_sends_is_stored_exactly_once_over(Signal::KILL);
}

#[test]
fn a_peer_that_sends_nonsense_loses_its_connection_and_nobody_else_does() {
    let scratch = Scratch::new().unwrap();
    let mut program = start(&scratch, &["--listen", "127.0.0.1:0"]);
    let to = program.address();
    let cases: [(&[u8], &str); 4] = [
        (b"hello\n", "error the first line is"),
        (b"source a/b\n", "error the first line is"),
        (b"source bad\nkind \xff\n", "error line 1: an event is text"),
        (b"source bad\n\n", "error line 1: a kind has"),
    ];
    for (bytes, expected) in cases {
        let mut stream = TcpStream::connect_timeout(&to, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(bytes).unwrap();
        let mut lines = BufReader::new(stream).lines();
        let last = lines.by_ref().map_while(Result::ok).last().unwrap();
        assert!(last.starts_with(expected), "{last}");
    }
    assert_eq!(send(to, 100, |_| {}), 100);
    program.signal(Signal::TERM);
    assert_eq!(program.end().0, Some(0));
    check(scratch.path(), "peer:tour", 100);
}

#[test]
fn a_peer_that_takes_its_time_to_say_who_it_is_loses_its_connection() {
    /// Far more than there is time for.
    const LETTERS_MAX: usize = 40;
    let scratch = Scratch::new().unwrap();
    let mut program = start(&scratch, &["--listen", "127.0.0.1:0"]);
    let mut stream = TcpStream::connect_timeout(&program.address(), PATIENCE).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let (mut told, mut letters) = ([0; 64], 0);
    let count = loop {
        letters += 1;
        assert!(letters < LETTERS_MAX, "it still listens");
        stream.write_all(b"s").unwrap();
        match stream.read(&mut told) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            answered => break answered.unwrap(),
        }
    };
    assert!(told[..count].starts_with(b"error the first line is"));
    program.signal(Signal::TERM);
    assert_eq!(program.end().0, Some(0));
}
