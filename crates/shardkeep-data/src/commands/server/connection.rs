//! The entries of the commands on the connection and the server.

use super::super::ConnectionCommand as Does;
use super::super::spec::{ANYTIME, Categories, CommandSpec as Spec, Flags, Group};
use super::super::tips;

const QUICK: Flags = ANYTIME.and(Flags::FAST);
const QUIET: Flags = ANYTIME.and(Flags::NOSCRIPT);
const GREETING: Flags = QUIET
    .and(Flags::FAST)
    .and(Flags::NO_AUTH)
    .and(Flags::ALLOW_BUSY);
const ADMINISTERS: Flags = QUIET.and(Flags::ADMIN);
const ENDS: Flags = ADMINISTERS.and(Flags::NO_MULTI).and(Flags::ALLOW_BUSY);
const SAVES: Flags = Flags::ADMIN
    .and(Flags::NOSCRIPT)
    .and(Flags::NO_ASYNC_LOADING);

const fn of_connection(name: &'static str, arity: i32, flags: Flags, does: Does) -> Spec {
    Spec::connection(name, arity, flags, does)
        .in_group(Group::Connection)
        .in_categories(Categories::CONNECTION)
}

/// What the table of commands says.
const fn of_table(name: &'static str, arity: i32) -> Spec {
    Spec::connection(name, arity, ANYTIME, Does::Command).in_categories(Categories::CONNECTION)
}

/// The commands of this file.
#[rustfmt::skip]
pub(super) const COMMANDS: &[Spec] = &[
    of_connection("ping", -1, Flags::FAST, Does::Ping).tips(tips::EVERYWHERE_ALL)
        .about("1.0.0", "O(1)", "Answers PONG, or what it was given"),
    of_connection("echo", 2, QUICK, Does::Echo).about("1.0.0", "O(1)", "Answers what it was given"),
    of_connection("quit", -1, GREETING, Does::Quit).about("1.0.0", "O(1)", "Ends the connection"),
    of_connection("reset", 1, GREETING, Does::Reset)
        .about("6.2.0", "O(1)", "Puts the connection back to how it began"),
    of_connection("hello", -1, GREETING, Does::Hello)
        .about("6.0.0", "O(1)", "Chooses the protocol, and may log in and name the connection"),
    of_connection("auth", -2, GREETING, Does::Auth).about("1.0.0", "O(1)", "Logs in"),
    of_connection("select", 2, QUICK, Does::Select)
        .about("1.0.0", "O(1)", "Chooses the database of the connection"),
    Spec::connection("time", 1, QUICK, Does::Time).tips(tips::VARIES)
        .about("2.6.0", "O(1)", "Tells the server's time"),
    Spec::connection("shutdown", -1, ENDS, Does::Shutdown).about("1.0.0", "O(1)", "Drains the server and ends it"),
    Spec::connection("save", 1, SAVES.and(Flags::NO_MULTI), Does::Save)
        .about("1.0.0", "O(N), N keys", "Takes a snapshot and answers when it is taken; others are served meanwhile"),
    Spec::connection("bgsave", -1, SAVES, Does::Bgsave).about("1.0.0", "O(1)", "Begins a snapshot"),
    Spec::connection("bgrewriteaof", 1, SAVES, Does::Bgrewriteaof)
        .about("1.0.0", "O(1)", "Makes the log short; here the same as BGSAVE"),
    Spec::connection("lastsave", 1, QUICK, Does::Lastsave).dangerous().in_categories(Categories::ADMIN).tips(tips::VARIES)
        .about("1.0.0", "O(1)", "Tells when the last snapshot was taken"),
    Spec::connection("info", -1, ANYTIME, Does::Info).dangerous().tips(tips::VARIES_EVERYWHERE_SPECIAL)
        .about("1.0.0", "O(1)", "Tells about the server, its clients and its store"),
    Spec::container("client", Group::Connection)
        .about("2.4.0", "that of the subcommand", "Groups what concerns connections"),
    of_connection("client|deadline", 3, QUIET, Does::ClientDeadline)
        .about("7.2.4", "O(1)", "Limits how long the connection's commands may wait before they begin, in milliseconds"),
    of_connection("client|getname", 2, QUIET, Does::ClientGetname)
        .about("2.6.9", "O(1)", "Tells the connection's name"),
    of_connection("client|help", 2, ANYTIME, Does::Command)
        .about("5.0.0", "O(1)", "Explains the subcommands"),
    of_connection("client|id", 2, QUIET, Does::ClientId)
        .about("5.0.0", "O(1)", "Tells the connection's number"),
    of_connection("client|info", 2, QUIET, Does::ClientInfo).tips(tips::VARIES)
        .about("6.2.0", "O(1)", "Tells about the connection"),
    of_connection("client|kill", -3, ADMINISTERS, Does::ClientKill)
        .about("2.4.0", "O(N), N connections", "Ends connections"),
    of_connection("client|list", -2, ADMINISTERS, Does::ClientList).tips(tips::VARIES)
        .about("2.4.0", "O(N), N connections", "Tells about all connections"),
    of_connection("client|setinfo", 4, QUIET, Does::ClientSetinfo)
        .about("7.2.0", "O(1)", "Notes which library the client uses"),
    of_connection("client|setname", 3, QUIET, Does::ClientSetname)
        .about("2.6.9", "O(1)", "Names the connection"),
    of_table("command", -1).tips(tips::ORDER_VARIES)
        .about("2.8.13", "O(N), N commands", "Tells about all commands"),
    of_table("command|count", 2)
        .about("2.8.13", "O(1)", "Counts the commands"),
    of_table("command|docs", -2).tips(tips::ORDER_VARIES)
        .about("7.0.0", "O(N), N commands asked for", "Documents commands"),
    of_table("command|getkeys", -4)
        .about("2.8.13", "O(N), N arguments", "Gives the keys in a command"),
    of_table("command|getkeysandflags", -4)
        .about("7.0.0", "O(N), N arguments", "Gives the keys in a command and how they are used"),
    of_table("command|help", 2)
        .about("5.0.0", "O(1)", "Explains the subcommands"),
    of_table("command|info", -2).tips(tips::ORDER_VARIES)
        .about("2.8.13", "O(N), N commands asked for", "Tells about some commands"),
    of_table("command|list", -2).tips(tips::ORDER_VARIES)
        .about("7.0.0", "O(N), N commands", "Lists names of commands"),
    Spec::container("config", Group::Server)
        .about("2.0.0", "that of the subcommand", "Groups what concerns settings"),
    Spec::connection("config|get", -3, ADMINISTERS, Does::ConfigGet)
        .about("2.0.0", "O(N), N settings", "Tells settings"),
    Spec::connection("config|help", 2, ANYTIME, Does::Command).about("5.0.0", "O(1)", "Explains the subcommands"),
    Spec::connection("config|resetstat", 2, ADMINISTERS, Does::ConfigResetstat)
        .about("2.0.0", "O(N), N commands", "Has INFO and LATENCY HISTOGRAM count anew"),
    Spec::connection("config|rewrite", 2, ADMINISTERS, Does::ConfigRewrite)
        .about("2.8.0", "O(1)", "Is refused: the file is only read"),
    Spec::connection("config|set", -4, ADMINISTERS, Does::ConfigSet)
        .about("2.0.0", "O(N), N settings", "Changes settings that can change while the server runs"),
];
