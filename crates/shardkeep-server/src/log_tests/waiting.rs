//! Replies that wait for a sync, and those that do not.

use super::*;

/// Does `change` with its sync held back; then `ask`, of another client, must have no reply before the
/// sync ends, and `reply` after it.
fn check_waits(change: &str, ask: &str, reply: &str) {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Always), &hand);
    let (key, same_shard) = (key_in(&server, 1, 0), key_in(&server, 1, 1));
    let there = key_in(&server, 2, 0);
    let named = |text: &str| {
        let words = text.split(' ').map(|word| match word {
            "KEY" => &key,
            "THERE" => &there,
            other => other,
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let mut other = Client::of(&server);
    other.ask(&named("SET KEY old"), "+OK\r\n");
    other.ask(&named("SET THERE there"), "+OK\r\n");
    other.ask(&format!("SET {same_shard} same"), "+OK\r\n");
    let open = hand.hold(DiskStep::Sync);
    let mut changes = Client::of(&server);
    changes.send(&format!("{}\r\n", named(change)));
    settle(&mut other);
    let mut asks = Client::of(&server);
    asks.send(&format!("{}\r\n", named(ask)));
    settle(&mut other);
    assert!(!changes.has_reply(), "{change} was answered too early");
    assert!(
        !asks.has_reply(),
        "{ask} after {change} was answered too early"
    );
    if !change.starts_with("FLUSH") {
        // Another key of the very same shard is read meanwhile.
        other.ask(&format!("GET {same_shard}"), "$4\r\nsame\r\n");
        other.ask(&format!("EXISTS {}", key_in(&server, 3, 0)), ":0\r\n");
    }
    hand.set(DiskStep::Sync, Disk::Works);
    drop(open);
    asks.expect(&named(reply));
    assert!(changes.line().starts_with(['+', ':', '$']));
    drop((other, changes, asks));
    assert!(server.drain(PATIENCE).is_clean());
}

#[test]
fn no_kind_of_reply_shows_a_change_that_is_not_durable() {
    let set = "SET KEY new";
    let del = "DEL KEY";
    let cases = [
        (set, "GET KEY", "$3\r\nnew\r\n"),
        (set, "EXISTS KEY", ":1\r\n"),
        (set, "SET KEY newer NX", "$-1\r\n"),
        (
            set,
            "INCR KEY",
            "-ERR value is not an integer or out of range\r\n",
        ),
        (set, "MGET THERE KEY", "*2\r\n$5\r\nthere\r\n$3\r\nnew\r\n"),
        (set, "TTL KEY", ":-1\r\n"),
        (set, "DBSIZE", ":3\r\n"),
        (set, "RENAMENX THERE KEY", ":0\r\n"),
        (del, "GET KEY", "$-1\r\n"),
        (del, "EXISTS KEY", ":0\r\n"),
        (del, "DEL KEY", ":0\r\n"),
        (del, "SET KEY new XX", "$-1\r\n"),
        (del, "MGET KEY THERE", "*2\r\n$-1\r\n$5\r\nthere\r\n"),
        (del, "DBSIZE", ":2\r\n"),
        (del, "KEYS KEY", "*0\r\n"),
        (
            del,
            "SCAN 0 COUNT 1000 MATCH KEY",
            "*2\r\n$1\r\n0\r\n*0\r\n",
        ),
        (del, "RENAME KEY x", "-ERR no such key\r\n"),
        ("PEXPIRE KEY 100000000", "PERSIST KEY", ":1\r\n"),
        ("GETDEL KEY", "TYPE KEY", "+none\r\n"),
        ("MSET KEY 1 THERE 2", "GET THERE", "$1\r\n2\r\n"),
        ("RENAME THERE KEY", "GET THERE", "$-1\r\n"),
        ("FLUSHALL", "GET KEY", "$-1\r\n"),
        ("FLUSHALL", "DBSIZE", ":0\r\n"),
        ("FLUSHALL", "RANDOMKEY", "$-1\r\n"),
    ];
    for (change, ask, reply) in cases {
        check_waits(change, ask, reply);
    }
}

#[test]
fn replies_behind_one_that_waits_keep_their_order_and_those_before_it_leave() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Always), &hand);
    let mut other = Client::of(&server);
    other.ask("SET there 1", "+OK\r\n");
    let open = hand.hold(DiskStep::Sync);
    let mut client = Client::of(&server);
    client.send("GET there\r\nSET key 2\r\nPING\r\nGET there\r\n");
    client.expect("$1\r\n1\r\n");
    client.send("ECHO late\r\nINCR key\r\n");
    settle(&mut other);
    assert!(!client.has_reply());
    hand.set(DiskStep::Sync, Disk::Works);
    drop(open);
    client.expect("+OK\r\n+PONG\r\n$1\r\n1\r\n$4\r\nlate\r\n:3\r\n");
}

#[test]
fn without_the_promise_nobody_waits_for_a_sync() {
    for sync in [Sync::Interval, Sync::Never] {
        let place = Place::new();
        let hand = Hand::new();
        let server = start(settings(&place, sync), &hand);
        let open = hand.hold(DiskStep::Write);
        let mut client = Client::of(&server);
        client.ask("SET key 1", "+OK\r\n");
        client.ask("MSET key 2 other 3", "+OK\r\n");
        client.ask("DBSIZE", ":2\r\n");
        drop(open);
        assert!(server.drain(PATIENCE).is_clean());
    }
}

#[test]
fn by_its_deadline_a_change_that_is_not_durable_is_lost_and_a_read_is_refused() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Always), &hand);
    let mut client = Client::of(&server);
    client.ask("CONFIG SET deadline 200ms", "+OK\r\n");
    let open = hand.hold(DiskStep::Sync);
    client.send("SET key 1\r\nGET key\r\nPING\r\n");
    let lost = client.line();
    assert!(lost.starts_with("-LOST shard="), "{lost}");
    assert!(lost.contains("the deadline passed before"), "{lost}");
    let refused = client.line();
    assert!(refused.starts_with("-TRYAGAIN shard="), "{refused}");
    client.expect("+PONG\r\n");
    hand.set(DiskStep::Sync, Disk::Works);
    drop(open);
    // As long as the machine takes.
    client.ask("CONFIG SET deadline 30s", "+OK\r\n");
    let mut patient = Client::of(&server);
    patient.ask("APPEND other x", ":1\r\n");
    patient.ask("GET key", "$1\r\n1\r\n");
}

/// The reply to a GET of a value of zeroes that is `len` bytes long.
fn zeroes(len: usize) -> String {
    format!("${len}\r\n{}\r\n", "\0".repeat(len))
}

/// A server whose key `z` has 300,000 zeroes.
fn with_zeroes(place: &Place, hand: &Hand) -> (Server, Client) {
    let server = start(settings(place, Sync::Always), hand);
    let mut client = Client::of(&server);
    client.send("*4\r\n$8\r\nSETRANGE\r\n$1\r\nz\r\n$6\r\n299999\r\n$1\r\n\0\r\n");
    client.expect(":300000\r\n");
    (server, client)
}

#[test]
fn replies_that_share_a_value_wait_in_their_order() {
    let place = Place::new();
    let hand = Hand::new();
    let (server, mut other) = with_zeroes(&place, &hand);
    let open = hand.hold(DiskStep::Sync);
    let mut client = Client::of(&server);
    client.send("GET z\r\nSET key 2\r\nGET z\r\nAPPEND z w\r\nGET z\r\nPING\r\n");
    client.expect(&zeroes(300_000));
    settle(&mut other);
    assert!(!client.has_reply());
    hand.set(DiskStep::Sync, Disk::Works);
    drop(open);
    client.expect("+OK\r\n");
    client.expect(&zeroes(300_000));
    client.expect(":300001\r\n$300001\r\n");
    client.expect(&format!("{}w\r\n+PONG\r\n", "\0".repeat(300_000)));
}

#[test]
fn of_replies_that_share_a_value_those_fail_whose_change_is_lost() {
    let place = Place::new();
    let hand = Hand::new();
    let (_server, mut client) = with_zeroes(&place, &hand);
    client.ask("CONFIG SET deadline 200ms", "+OK\r\n");
    let open = hand.hold(DiskStep::Sync);
    client.send("SET key 2\r\nGET z\r\nAPPEND z w\r\nGET z\r\nPING\r\n");
    assert!(client.line().starts_with("-LOST shard="));
    client.expect(&zeroes(300_000));
    assert!(client.line().starts_with("-LOST shard="));
    assert!(client.line().starts_with("-TRYAGAIN shard="));
    client.expect("+PONG\r\n");
    hand.set(DiskStep::Sync, Disk::Works);
    drop(open);
}

/// Each sync is let through within the deadline of the one before it, the last of them beyond that of the first.
#[test]
fn a_pipeline_of_large_values_is_waited_for_as_long_as_the_log_comes_forward() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Always), &hand);
    let mut other = Client::of(&server);
    other.ask("CONFIG SET deadline 2s", "+OK\r\n");
    let open = hand.hold(DiskStep::Sync);
    let client = Client::of(&server);
    let mut reader = Client(client.0.try_clone().unwrap());
    let value = "v".repeat(5 << 20);
    const VALUES: usize = 5;
    std::thread::scope(|scope| {
        let mut writer = client;
        scope.spawn(move || {
            for n in 0..VALUES {
                writer.send(&format!(
                    "*3\r\n$3\r\nSET\r\n$2\r\nk{n}\r\n${}\r\n",
                    value.len()
                ));
                writer.send(&value);
                writer.send("\r\n");
            }
        });
        let began = crate::clock::now();
        let reading = scope.spawn(move || reader.expect(&"+OK\r\n".repeat(VALUES)));
        while !reading.is_finished() {
            let until = crate::clock::later(crate::clock::now(), Duration::from_millis(700));
            while crate::clock::now() < until {
                // Nobody else waits with them.
                other.ask("PING", "+PONG\r\n");
            }
            // Nothing may be at its sync yet.
            let _none_waits = open.try_send(());
        }
        reading.join().unwrap();
        // At least three: no step is more than twice as large as the one before it.
        let took = crate::clock::now() - began;
        assert!(took > Duration::from_secs(2), "it was not put to the test");
        hand.set(DiskStep::Sync, Disk::Works);
        drop(open);
    });
}

#[test]
fn a_pipeline_beyond_what_the_log_queues_is_read_no_faster_and_refused_nothing() {
    use shardkeep::engine::limits::{LOG_PLACE_BYTES, LOG_PLACES};
    const VALUES: usize = 40;
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Always), &hand);
    let open = hand.hold(DiskStep::Write);
    let mut writer = Client::of(&server);
    let mut reader = Client(writer.0.try_clone().unwrap());
    let value = "v".repeat(3 << 20);
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            for n in 0..VALUES {
                writer.send(&format!(
                    "*3\r\n$3\r\nSET\r\n$3\r\nk{n:02}\r\n${}\r\n",
                    value.len()
                ));
                writer.send(&value);
                writer.send("\r\n");
            }
        });
        let stats = || server.context.keep.log_stats().unwrap();
        let until = crate::clock::later(crate::clock::now(), PATIENCE);
        while stats().places_taken < LOG_PLACES {
            assert!(crate::clock::now() < until, "{:?}", stats());
            std::thread::yield_now();
        }
        let mut other = Client::of(&server);
        settle(&mut other);
        // A write that had a place may bring a value beyond it.
        let most = LOG_PLACES + (3 << 20) / LOG_PLACE_BYTES + 1;
        assert!(stats().places_taken <= most, "{:?}", stats());
        assert!(!writing.is_finished(), "all of it was taken");
        assert!(!reader.has_reply());
        hand.set(DiskStep::Write, Disk::Works);
        drop(open);
        reader.expect(&"+OK\r\n".repeat(VALUES));
    });
}

#[test]
fn info_counts_no_key_that_a_crash_could_take_back_and_does_not_wait() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Always), &hand);
    let (first, second) = (key_in(&server, 1, 0), key_in(&server, 1, 1));
    let mut other = Client::of(&server);
    other.ask(&format!("SET {first} 1"), "+OK\r\n");
    other.ask(&format!("GET {first}"), "$1\r\n1\r\n");
    let open = hand.hold(DiskStep::Sync);
    let mut changes = Client::of(&server);
    changes.send(&format!("SET {second} 2 EX 1000\r\n"));
    settle(&mut other);
    let mut counted = |keys: &str| {
        let line = format!("db0:keys={keys},avg_ttl=0\r\n");
        let text = format!("# Keyspace\r\n{line}");
        other.ask("INFO keyspace", &format!("${}\r\n{text}\r\n", text.len()));
    };
    counted("1,expires=0");
    counted("1,expires=0");
    hand.set(DiskStep::Sync, Disk::Works);
    drop(open);
    changes.expect("+OK\r\n");
    counted("2,expires=1");
}

#[test]
fn changes_since_the_last_snapshot_are_counted() {
    let place = Place::new();
    let server = start(settings(&place, Sync::Never), &Hand::new());
    let mut client = Client::of(&server);
    let changes = |client: &mut Client| -> u64 {
        client.send("INFO persistence\r\n");
        let head = client.line();
        let mut text = vec![0; head[1..].trim_end().parse::<usize>().unwrap() + 2];
        client.0.read_exact(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let mut lines = text.lines();
        let found = lines.find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
        found.unwrap().parse().unwrap()
    };
    assert_eq!(changes(&mut client), 0);
    client.ask("MSET a 1 b 2 c 3", "+OK\r\n");
    client.ask("DEL a nobody", ":1\r\n");
    client.ask("GET b", "$1\r\n2\r\n");
    assert_eq!(changes(&mut client), 4);
    client.ask("SAVE", "+OK\r\n");
    assert_eq!(changes(&mut client), 0);
    client.ask("FLUSHALL", "+OK\r\n");
    assert_eq!(changes(&mut client), 2);
}
