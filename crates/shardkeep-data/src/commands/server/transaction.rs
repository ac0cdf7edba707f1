//! The entries of the commands that open, end and guard transactions.

use super::super::ConnectionCommand as Does;
use super::super::key_specs as keys;
use super::super::spec::{ANYTIME, Categories, CommandSpec as Spec, Flags, Group};

const QUIET: Flags = ANYTIME.and(Flags::NOSCRIPT);
const QUICK: Flags = QUIET.and(Flags::FAST).and(Flags::ALLOW_BUSY);

const fn of_transaction(name: &'static str, arity: i32, flags: Flags, does: Does) -> Spec {
    Spec::connection(name, arity, flags, does)
        .in_group(Group::Transactions)
        .in_categories(Categories::TRANSACTION)
}

/// The commands of this file.
#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    of_transaction("multi", 1, QUICK, Does::Multi)
        .about("1.2.0", "O(1)", "Opens a transaction: what follows is queued"),
    of_transaction("exec", 1, QUIET.and(Flags::SKIP_SLOWLOG), Does::Exec)
        .about("1.2.0", "that of the queued commands", "Runs what was queued, as one"),
    of_transaction("discard", 1, QUICK, Does::Discard)
        .about("2.0.0", "O(N), N queued commands", "Ends a transaction without running it"),
    of_transaction("watch", -2, QUICK, Does::Watch).with_keys(keys::INSPECT_ALL)
        .about("2.2.0", "O(N), N keys", "Has the next transaction run only if these keys have not changed"),
    of_transaction("unwatch", 1, QUICK, Does::Unwatch)
        .about("2.2.0", "O(1)", "Forgets the keys that are watched"),
];
