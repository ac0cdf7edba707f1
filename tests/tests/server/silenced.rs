//! Commands that are refused, and that would have made what follows them mean something else.

use shardkeep_tests::harness::request;

use crate::support::{ask, start};

#[test]
fn a_connection_that_wants_fewer_replies_than_commands_ends_with_the_refusal() {
    let server = start(&[]);
    for how in ["off", "SKIP"] {
        let mut client = server.client().unwrap();
        let lines = [&["CLIENT", "REPLY", how][..], &["SET", "k", "v"]].map(request);
        client.send(&lines.concat()).unwrap();
        let (replies, _) = client.rest().unwrap();
        let replies = String::from_utf8(replies).unwrap();
        assert!(
            replies.starts_with("-ERR unknown subcommand 'REPLY'"),
            "{replies}"
        );
        assert_eq!(replies.lines().count(), 1, "{replies}");
    }
    let mut client = server.client().unwrap();
    assert!(ask(&mut client, "CLIENT REPLY ON").starts_with("-ERR unknown subcommand"));
    assert_eq!(ask(&mut client, "EXISTS k"), "0");
}
