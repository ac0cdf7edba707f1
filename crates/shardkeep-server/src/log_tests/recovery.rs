//! Reading the log: at the start, and for a lost shard.

use super::*;

#[test]
fn while_the_store_is_read_commands_on_keys_are_told_that_it_loads() {
    let place = Place::new();
    let hand = Hand::new();
    let before = start(settings(&place, Sync::Always), &hand);
    Client::of(&before).ask("SET key value", "+OK\r\n");
    assert!(before.drain(PATIENCE).is_clean());

    let (server, open) = start_slowly(settings(&place, Sync::Always));
    let mut client = Client::of(&server);
    let loading = "-LOADING Redis is loading the dataset in memory\r\n";
    for command in [
        "GET key",
        "SET key 2",
        "DBSIZE",
        "PING",
        "FLUSHALL",
        "SAVE",
        "BGSAVE",
    ] {
        client.ask(command, loading);
    }
    client.ask("ECHO hello", "$5\r\nhello\r\n");
    client.ask("SELECT 0", "+OK\r\n");
    client.send("INFO persistence\r\n");
    while client.line() != "loading:1\r\n" {}
    while !client.line().starts_with("loading_eta_seconds:") {}
    while client.line() != "walk_refused:0\r\n" {}
    client.expect("\r\n");
    assert!(server.ready().is_empty());
    drop(open);
    server.ready().recv_timeout(PATIENCE).unwrap();
    client.ask("GET key", "$5\r\nvalue\r\n");
    client.ask("PING", "+PONG\r\n");
}

#[test]
fn a_server_that_is_told_to_stop_gives_its_recovery_up() {
    let place = Place::new();
    let hand = Hand::new();
    let before = start(settings(&place, Sync::Always), &hand);
    Client::of(&before).ask("SET key value", "+OK\r\n");
    assert!(before.drain(PATIENCE).is_clean());
    let (server, open) = start_slowly(settings(&place, Sync::Always));
    let report = std::thread::scope(|scope| {
        let draining = scope.spawn(|| server.drain(PATIENCE));
        drop(open);
        draining.join().unwrap()
    });
    assert!(report.is_clean(), "{report}");
    let again = start(settings(&place, Sync::Always), &hand);
    Client::of(&again).ask("GET key", "$5\r\nvalue\r\n");
}

#[test]
fn a_recovery_that_stands_still_cannot_hold_up_the_end_beyond_its_cap() {
    let place = Place::new();
    let hand = Hand::new();
    let before = start(settings(&place, Sync::Always), &hand);
    Client::of(&before).ask("SET key value", "+OK\r\n");
    assert!(before.drain(PATIENCE).is_clean());
    let (open, opened) = bounded::<()>(0);
    let (standing, stands) = bounded(1);
    let server = Server::start_with(settings(&place, Sync::Always), move |mut kept| {
        let route = kept.route;
        kept.route = Arc::new(move |key: &[u8]| {
            let _told = standing.try_send(());
            wait_for(&opened);
            (*route)(key)
        });
        kept
    });
    stands.recv_timeout(PATIENCE).unwrap();
    let report = server.unwrap().drain(Duration::from_millis(50));
    assert!(!report.is_clean(), "{report}");
    drop(open);
}

#[test]
fn a_lost_shard_comes_back_from_the_log_and_meanwhile_says_so() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(settings(&place, Sync::Always), &hand);
    let (lost, safe) = (key_in(&server, 1, 0), key_in(&server, 2, 0));
    let mut client = Client::of(&server);
    client.ask(&format!("MSET {lost} 1 {safe} 2"), "+OK\r\n");
    client.ask(&format!("INCR {lost}"), ":2\r\n");
    let call = Call::by(Deadline::after(PATIENCE));
    let mut held = server.context.keep.acquire(&[1], call).unwrap();
    // What makes it again must write what was queued first.
    let open = hand.hold(DiskStep::Sync);
    let mut other = Client::of(&server);
    other.send(&format!("SET {safe} 3\r\n"));
    while server.context.keep.log_stats().unwrap().writes < 3 {
        std::thread::yield_now();
    }
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        held.shard(1).change(|_| panic!("planted"));
    }));
    assert!(panicked.is_err());
    client.send(&format!("GET {lost}\r\n"));
    let error = client.line();
    assert!(
        error.starts_with("-TRYAGAIN shard=1 is being rebuilt"),
        "{error}"
    );
    hand.set(DiskStep::Sync, Disk::Works);
    drop(open);
    other.expect("+OK\r\n");
    let value = loop {
        client.send(&format!("GET {lost}\r\n"));
        let line = client.line();
        if !line.starts_with("-TRYAGAIN") {
            break line + &client.line();
        }
    };
    assert_eq!(value, "$1\r\n2\r\n");
    client.ask(&format!("INCR {lost}"), ":3\r\n");
    assert!(server.drain(PATIENCE).is_clean());
    let again = start(settings(&place, Sync::Always), &hand);
    Client::of(&again).ask(
        &format!("MGET {lost} {safe}"),
        "*2\r\n$1\r\n3\r\n$1\r\n3\r\n",
    );
}
