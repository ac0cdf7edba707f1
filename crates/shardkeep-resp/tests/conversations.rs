//! Whole conversations with a small server built on this crate.

mod cases;

use cases::Case;
use shardkeep_resp::Limits;

fn check(cases: Vec<Case>, limits: Limits) {
    for Case { sent, reply } in cases {
        for piece in [usize::MAX, 1, 7] {
            let answered = cases::serve(&sent, limits, piece);
            let shown = sent[..sent.len().min(80)].escape_ascii();
            assert_eq!(
                answered.escape_ascii().to_string(),
                reply.escape_ascii().to_string(),
                "{shown} in pieces of {piece}"
            );
        }
    }
}

#[test]
fn replies_are_those_of_redis() {
    check(cases::same_as_redis(), Limits::default());
}

#[test]
fn a_stranger_gets_the_replies_that_redis_gives_to_strangers() {
    check(
        cases::same_as_redis_unauthenticated(),
        Limits::unauthenticated(),
    );
}

#[test]
fn what_redis_lets_pass_or_waits_for_is_refused() {
    check(cases::stricter_than_redis(), Limits::default());
}
