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
    let settings = Settings {
        deadline: Duration::from_millis(200),
        ..settings(&place, Sync::Always)
    };
    let server = start(settings, &hand);
    let open = hand.hold(DiskStep::Sync);
    let mut client = Client::of(&server);
    client.send("SET key 1\r\nGET key\r\nPING\r\n");
    let lost = client.line();
    assert!(lost.starts_with("-LOST shard="), "{lost}");
    assert!(lost.contains("the deadline passed before"), "{lost}");
    let refused = client.line();
    assert!(refused.starts_with("-TRYAGAIN shard="), "{refused}");
    client.expect("+PONG\r\n");
    hand.set(DiskStep::Sync, Disk::Works);
    drop(open);
    let mut patient = Client::of(&server);
    patient.ask("APPEND other x", ":1\r\n");
    patient.ask("GET key", "$1\r\n1\r\n");
}
