//! What clients see of a shard that is stuck, and of a queue that is full. The test itself holds the shard.

use super::*;

/// Returns when a command for `shard` is refused at once: nobody is waited for any more.
fn until_stuck(client: &mut Client, key: &str) {
    client.send(&format!("GET {key}\r\n"));
    assert!(client.line().starts_with("-THROTTLED"));
}

#[test]
fn behind_a_shard_that_is_stuck_nobody_waits_for_a_second_deadline() {
    let server = server(Duration::from_millis(300));
    let (away, here) = (key_in(&server, 2), key_in(&server, 3));
    let held = hold(&server, 2);
    let mut client = Client::of(&server);
    until_stuck(&mut client, &away);
    let (commands, began) = (400, crate::clock::now());
    client.send(
        &format!("INCR {away}\r\nMSET {away} 1 {here} 1\r\nINCR {here}\r\n").repeat(commands / 2),
    );
    for number in 1..=commands / 2 {
        for _ in 0..2 {
            let refused = client.line();
            assert!(refused.starts_with("-THROTTLED shard=2 "), "{refused}");
        }
        client.expect(&format!(":{number}\r\n"));
    }
    // A deadline for each of them would be two minutes.
    assert!(began.elapsed() < PATIENCE);
    drop(held);
    // It is had again as soon as what was out is back.
    loop {
        client.send(&format!("INCR {away}\r\n"));
        let answer = client.line();
        if answer == ":1\r\n" {
            break;
        }
        assert!(answer.starts_with("-THROTTLED"), "{answer}");
    }
}

#[test]
fn a_patient_client_waits_for_a_shard_that_an_impatient_one_has_given_up() {
    let server = server(PATIENCE);
    let key = key_in(&server, 2);
    let held = hold(&server, 2);
    let mut clients: Vec<Client> = (0..2).map(|_| Client::of(&server)).collect();
    for hasty in &mut clients {
        hasty.send("CLIENT DEADLINE 1\r\n");
        hasty.expect("+OK\r\n");
        until_stuck(hasty, &key);
    }
    // On both reactors: the one with the fewest connections takes a new one.
    let mut patient: Vec<Client> = (0..2).map(|_| Client::of(&server)).collect();
    for client in &mut patient {
        client.send(&format!("INCR {key}\r\n"));
    }
    for hasty in &mut clients {
        until_stuck(hasty, &key);
    }
    drop(held);
    let mut numbers: Vec<String> = patient.iter_mut().map(Client::line).collect();
    numbers.sort();
    assert_eq!(numbers, [":1\r\n", ":2\r\n"]);
}

#[test]
fn one_large_reply_from_a_shard_in_other_hands_refuses_no_command_behind_it() {
    const BYTES: usize = crate::limits::WORK_REPLY_BYTES_MAX + 1;
    let server = server(PATIENCE);
    let key = key_in(&server, 2);
    let mut client = Client::of(&server);
    client.send(&format!("SETRANGE {key} {} x\r\n", BYTES - 1));
    client.expect(&format!(":{BYTES}\r\n"));
    let held = hold(&server, 2);
    client.send(&format!("GET {key}\r\nINCR other\r\nSTRLEN {key}\r\n"));
    until_mailed(&server, 1);
    drop(held);
    client.expect(&format!("${BYTES}\r\n"));
    let mut value = vec![0; BYTES + 2];
    client.0.read_exact(&mut value).unwrap();
    assert!(value.ends_with(b"x\r\n"));
    client.expect(&format!(":1\r\n:{BYTES}\r\n"));
}

#[test]
fn with_reject_what_finds_a_full_queue_is_refused_at_once_with_shard_depth_and_time() {
    let settings = Settings {
        overload: crate::config::Overload::Reject,
        reactors: Some(1),
        ..settings(PATIENCE)
    };
    let server = Server::start(settings).unwrap();
    let key = key_in(&server, 1);
    let held = hold(&server, 1);
    let full = crate::limits::REJECT_COMMANDS;
    let mut first = Client::of(&server);
    first.send(&format!("INCR {key}\r\n"));
    until_mailed(&server, 1);
    // Many more than may wait, each connection's in one piece.
    let mut clients: Vec<Client> = (0..full / 32).map(|_| Client::of(&server)).collect();
    for client in &mut clients {
        client.send(&format!("INCR {key}\r\n").repeat(64));
    }
    let reactor = &server.context.reactors[0];
    while reactor.commands.get() < 1 + 2 * full as u64 {
        std::thread::yield_now();
    }
    // The shard is still away: this is not the answer of a deadline.
    let mut late = Client::of(&server);
    late.send(&format!("INCR {key}\r\n"));
    let refused = late.line();
    let number = |name: &str| -> usize {
        let (_, rest) = refused.split_once(name).unwrap();
        let digits = rest.split_whitespace().next().unwrap();
        digits.parse().unwrap()
    };
    assert_eq!(number("-THROTTLED shard="), 1, "{refused}");
    assert!(number("depth=") >= full, "{refused}");
    assert!((1..=10_001).contains(&number("retry_in_ms=")), "{refused}");
    drop(held);
    // What was refused was not applied, what was not was.
    first.expect(":1\r\n");
    let answers = clients
        .iter_mut()
        .flat_map(|client| (0..64).map(|_| client.line()).collect::<Vec<_>>());
    let applied = 1 + answers.filter(|answer| answer.starts_with(':')).count();
    assert_eq!(applied, 1 + full);
    late.send(&format!("INCR {key}\r\n"));
    late.expect(&format!(":{}\r\n", applied + 1));
}
