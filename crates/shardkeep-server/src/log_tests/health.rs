//! What the admin endpoint tells of a log in trouble.

use super::*;

/// With an admin endpoint.
fn seen(place: &Place, sync: Sync) -> Settings {
    Settings {
        admin: crate::config::AdminAt::At(([127, 0, 0, 1], 0).into()),
        // What the test holds back is no stall.
        stall_bound: 2 * PATIENCE,
        ..settings(place, sync)
    }
}

/// Status and body of a page.
fn get(server: &Server, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(server.admin_address().unwrap()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.to_owned(), body.to_owned())
}

#[track_caller]
fn check(server: &Server, path: &str, status: &str, body: &str) {
    assert_eq!(get(server, path), (status.to_owned(), body.to_owned()));
}

/// The value of a metric.
fn metric(server: &Server, name: &str) -> String {
    let (_, text) = get(server, "/metrics");
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap_or_default().trim().to_owned()
}

#[test]
fn a_server_that_recovers_is_alive_and_not_ready() {
    let place = Place::new();
    let before = start(settings(&place, Sync::Always), &Hand::new());
    Client::of(&before).ask("SET key value", "+OK\r\n");
    assert!(before.drain(PATIENCE).is_clean());
    let (server, open) = start_slowly(seen(&place, Sync::Always));
    let (status, body) = get(&server, "/readyz");
    assert_eq!(status, "503");
    assert!(
        body.starts_with("recovering: ") && body.ends_with(" bytes read\n"),
        "{body}"
    );
    check(&server, "/healthz", "200", "ok\n");
    drop(open);
    server.ready().recv_timeout(PATIENCE).unwrap();
    check(&server, "/readyz", "200", "ok\n");
}

#[test]
fn a_server_whose_log_has_failed_is_not_ready_for_good() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(seen(&place, Sync::Always), &hand);
    let error = JournalError::Failed("no more".to_owned());
    hand.set(DiskStep::Sync, Disk::Fails(error));
    let mut client = Client::of(&server);
    client.send("SET key value\r\n");
    assert!(client.line().starts_with("-LOST"));
    hand.set(DiskStep::Sync, Disk::Works);
    check(
        &server,
        "/readyz",
        "503",
        "log_failed: the sync failed: the log failed: no more\n",
    );
    check(&server, "/healthz", "200", "ok\n");
    assert_eq!(
        metric(&server, "shardkeep_not_ready{reason=\"log_failed\"}"),
        "1"
    );
    assert_eq!(metric(&server, "shardkeep_lost_total"), "1");
}

#[test]
fn a_server_without_space_is_ready_and_says_that_it_refuses_writes_until_there_is_some() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(seen(&place, Sync::Interval), &hand);
    let mut client = Client::of(&server);
    client.ask("SET key 1", "+OK\r\n");
    hand.set(
        DiskStep::Write,
        Disk::Fails(JournalError::NoSpace("full".to_owned())),
    );
    // What was admitted before anybody knew stays queued.
    let until = |client: &mut Client, first: &str| loop {
        client.send("INCR key\r\n");
        if client.line().starts_with(first) {
            break;
        }
    };
    until(&mut client, "-MISCONF there is no space");
    check(&server, "/readyz", "200", "degraded: no_space: full\n");
    assert_eq!(metric(&server, "shardkeep_ready"), "1");
    assert_eq!(
        metric(&server, "shardkeep_degraded{reason=\"no_space\"}"),
        "1"
    );
    hand.set(DiskStep::Write, Disk::Works);
    until(&mut client, ":");
    check(&server, "/readyz", "200", "ok\n");
    assert_eq!(
        metric(&server, "shardkeep_degraded{reason=\"no_space\"}"),
        "0"
    );
}

#[test]
fn a_server_that_has_lost_a_shard_is_not_ready_until_it_is_made_again() {
    let place = Place::new();
    let hand = Hand::new();
    let server = start(seen(&place, Sync::Always), &hand);
    let (lost, safe) = (key_in(&server, 1, 0), key_in(&server, 2, 0));
    Client::of(&server).ask(&format!("SET {lost} 1"), "+OK\r\n");
    let call = Call::by(Deadline::after(PATIENCE));
    let mut held = server.context.keep.acquire(&[1], call).unwrap();
    // What makes it again must write what was queued first.
    let open = hand.hold(DiskStep::Sync);
    let mut other = Client::of(&server);
    other.send(&format!("SET {safe} 3\r\n"));
    while server.context.keep.log_stats().unwrap().writes < 2 {
        std::thread::yield_now();
    }
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        held.shard(1).change(|_| panic!("planted"));
    }));
    assert!(panicked.is_err());
    while get(&server, "/readyz").0 == "200" {}
    check(
        &server,
        "/readyz",
        "503",
        "shard_lost: shard 1 is being made again\n",
    );
    check(&server, "/healthz", "200", "ok\n");
    assert_eq!(metric(&server, "shardkeep_shards_lost"), "1");
    hand.set(DiskStep::Sync, Disk::Works);
    drop(open);
    other.expect("+OK\r\n");
    while get(&server, "/readyz").0 == "503" {}
    assert_eq!(metric(&server, "shardkeep_shard_losses_total"), "1");
    Client::of(&server).ask(&format!("GET {lost}"), "$1\r\n1\r\n");
}
