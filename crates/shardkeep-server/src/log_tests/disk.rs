//! A disk that breaks, is full, or does not answer.

use super::*;

#[test]
fn after_a_failed_sync_waiting_writes_are_lost_and_later_ones_refused_while_reads_go_on() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Always), &hand);
    let (key, other_key) = (key_in(&server, 1, 0), key_in(&server, 1, 1));
    let mut client = Client::of(&server);
    client.ask(&format!("SET {other_key} safe"), "+OK\r\n");
    let error = JournalError::Failed("no more".to_owned());
    hand.set(DiskStep::Sync, Disk::Fails(error));
    client.send(&format!("SET {key} v\r\nPING\r\nGET {key}\r\n"));
    let lost = client.line();
    assert!(lost.starts_with("-LOST shard=1 the log failed"), "{lost}");
    client.expect("+PONG\r\n");
    let unknown = client.line();
    assert!(
        unknown.starts_with("-MISCONF shard=1 the log failed"),
        "{unknown}"
    );
    // The next sync would succeed; it must not be believed.
    hand.set(DiskStep::Sync, Disk::Works);
    client.send(&format!(
        "SET {other_key} w\r\nMSET {key} 1 {other_key} 2\r\n"
    ));
    for _ in 0..2 {
        let refused = client.line();
        assert!(
            refused.starts_with("-MISCONF the log has failed ("),
            "{refused}"
        );
        assert!(refused.contains("no more"), "{refused}");
    }
    client.ask(&format!("GET {other_key}"), "$4\r\nsafe\r\n");
    client.send("DBSIZE\r\n");
    assert!(client.line().starts_with("-MISCONF"));
    client.send("INFO persistence\r\n");
    while client.line() != "log_state:failed\r\n" {}
    let report = server.drain(PATIENCE);
    assert!(!report.is_clean(), "{report}");
    assert!(report.to_string().contains(" unsynced=1 "), "{report}");
}

#[test]
fn without_space_writes_are_refused_and_reads_served_until_there_is_some() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Interval), &hand);
    let mut client = Client::of(&server);
    client.ask("SET key 1", "+OK\r\n");
    let error = JournalError::NoSpace("full".to_owned());
    hand.set(DiskStep::Write, Disk::Fails(error));
    // What was admitted before anybody knew stays queued.
    let refused = loop {
        client.send("INCR key\r\n");
        let line = client.line();
        if !line.starts_with(':') {
            break line;
        }
    };
    assert!(
        refused.starts_with("-MISCONF there is no space for the log (full)"),
        "{refused}"
    );
    client.send("GET key\r\n");
    assert!(client.line().starts_with('$'));
    let value = client.line();
    hand.set(DiskStep::Write, Disk::Works);
    let resumed = loop {
        client.send("INCR key\r\n");
        let line = client.line();
        if line.starts_with(':') {
            break line;
        }
    };
    let number = |text: &str| text.trim_matches([':', '\r', '\n']).parse::<u64>().unwrap();
    assert_eq!(number(&resumed), number(&value) + 1);
    assert!(server.drain(PATIENCE).is_clean());
}

#[test]
fn a_full_queue_stops_writers_until_their_deadline_and_readers_not_at_all() {
    let place = Place::new();
    let hand = Hand::new();
    let settings = Settings {
        deadline: Duration::from_millis(200),
        ..settings(&place, Sync::Interval)
    };
    let server = start(settings, &hand);
    let open = hand.hold(DiskStep::Write);
    let mut client = Client::of(&server);
    client.ask("SET small 1", "+OK\r\n");
    // 64 MiB of them fill the queue.
    let large = format!("SET large {}\r\n", "x".repeat(60_000));
    let refused = loop {
        client.send(&large);
        let line = client.line();
        if line != "+OK\r\n" {
            break line;
        }
    };
    assert!(refused.starts_with("-THROTTLED log places="), "{refused}");
    let mut stopped = Client::of(&server);
    stopped.send(
        "PING\r\nSET small \"2 3\"\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\nGET small\r\n",
    );
    stopped.expect("+PONG\r\n");
    client.ask("GET small", "$1\r\n1\r\n");
    for _ in 0..2 {
        let refused = stopped.line();
        assert!(refused.starts_with("-THROTTLED log places="), "{refused}");
    }
    stopped.expect("$1\r\n1\r\n");
    hand.set(DiskStep::Write, Disk::Works);
    drop(open);
}

#[test]
fn a_writer_that_stopped_for_want_of_a_place_goes_on_when_there_is_one() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Interval), &hand);
    let open = hand.hold(DiskStep::Write);
    let mut client = Client::of(&server);
    let large = format!("SET large {}\r\n", "x".repeat(60_000));
    let full = || server.context.keep.log_stats().unwrap().places_taken >= 16_384;
    while !full() {
        client.send(&large);
        client.expect("+OK\r\n");
    }
    // As a line with quotes, as an array, and over several shards.
    let (a, b) = (key_in(&server, 1, 0), key_in(&server, 2, 0));
    let mut stopped = Client::of(&server);
    stopped.send(&format!(
        "SET {a} \"2 \\x41\"\r\n*3\r\n$6\r\nAPPEND\r\n${}\r\n{a}\r\n$1\r\n!\r\nMSET {b} 1 {a}x 2\r\nGET {a}\r\n",
        a.len()
    ));
    settle(&mut client);
    assert!(!stopped.has_reply());
    hand.set(DiskStep::Write, Disk::Works);
    drop(open);
    stopped.expect("+OK\r\n:4\r\n+OK\r\n$4\r\n2 A!\r\n");
    assert!(server.drain(PATIENCE).is_clean());
}

#[test]
fn a_snapshot_that_is_behind_stops_writers_until_their_deadline_and_readers_not_at_all() {
    let place = Place::new();
    let settings = Settings {
        deadline: Duration::from_millis(200),
        ..settings(&place, Sync::Interval)
    };
    let server = start(settings, &Hand::new());
    let mut client = Client::of(&server);
    client.ask("SET small 1", "+OK\r\n");
    let pressure = server.context.keep.walk_pressure();
    let half = pressure.bound() / 2;
    assert!(pressure.add(half + 1));
    let mut stopped = Client::of(&server);
    stopped.send("SET small 2\r\nDEL small\r\nMSET a 1 b 2\r\nGET small\r\n");
    client.ask("GET small", "$1\r\n1\r\n");
    let (bytes, bound) = (half + 1, half * 2);
    let told = format!("-THROTTLED walk bytes={bytes} bound={bound} retry_in_ms=1\r\n");
    stopped.expect(&told.repeat(3));
    stopped.expect("$1\r\n1\r\n");
    assert!(server.drain(PATIENCE).is_clean());
}

#[test]
fn a_writer_that_stopped_for_a_snapshot_goes_on_when_that_has_caught_up() {
    let place = Place::new();
    let server = start(settings(&place, Sync::Interval), &Hand::new());
    let mut client = Client::of(&server);
    let pressure = server.context.keep.walk_pressure();
    let bytes = pressure.bound() / 2 + 1;
    assert!(pressure.add(bytes));
    let mut stopped = Client::of(&server);
    stopped.send("SET small 3\r\nMSET a 1 b 2\r\nGET small\r\n");
    settle(&mut client);
    assert!(!stopped.has_reply());
    pressure.take(bytes);
    stopped.expect("+OK\r\n+OK\r\n$1\r\n3\r\n");
    assert!(server.drain(PATIENCE).is_clean());
}

#[test]
fn a_disk_that_does_not_answer_cannot_hold_up_the_end_beyond_its_cap() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Always), &hand);
    let open = hand.hold(DiskStep::Sync);
    Client::of(&server).send("SET key value\r\n");
    while server.context.keep.log_stats().unwrap().writes == 0 {
        std::thread::yield_now();
    }
    let cap = Duration::from_millis(300);
    let began = clock::now();
    let report = server.drain(cap);
    // Nothing waits for it again.
    assert!(clock::now() - began < PATIENCE / 3);
    assert!(!report.is_clean(), "{report}");
    assert!(report.to_string().contains(" unsynced=1 "), "{report}");
    drop(open);
}
