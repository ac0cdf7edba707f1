//! The entries of the commands on the connection and the server.

use super::super::ConnectionCommand as Does;
use super::super::{Categories, CommandSpec, Flags, Group};

const ANYTIME: Flags = Flags::LOADING.and(Flags::STALE);
const QUICK: Flags = ANYTIME.and(Flags::FAST);
const QUIET: Flags = ANYTIME.and(Flags::NOSCRIPT);
const GREETING: Flags = QUIET
    .and(Flags::FAST)
    .and(Flags::NO_AUTH)
    .and(Flags::ALLOW_BUSY);
const SAVES: Flags = Flags::ADMIN
    .and(Flags::NOSCRIPT)
    .and(Flags::NO_ASYNC_LOADING);
const VARIES: &[&str] = &["nondeterministic_output"];
const ORDER_VARIES: &[&str] = &["nondeterministic_output_order"];

const fn of_connection(name: &'static str, arity: i32, flags: Flags, does: Does) -> CommandSpec {
    CommandSpec::connection(name, arity, flags, does).in_categories(Categories::CONNECTION)
}

const fn of_server(name: &'static str, arity: i32, flags: Flags, does: Does) -> CommandSpec {
    CommandSpec::connection(name, arity, flags, does).in_group(Group::Server)
}

pub(super) const SPECS: [CommandSpec; 38] = [
    of_connection("ping", -1, Flags::FAST, Does::Ping)
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .about("1.0.0", "O(1)", "Answers PONG, or what it was given"),
    of_connection("echo", 2, QUICK, Does::Echo).about("1.0.0", "O(1)", "Answers what it was given"),
    of_connection("quit", -1, GREETING, Does::Quit).about("1.0.0", "O(1)", "Ends the connection"),
    of_connection("reset", 1, GREETING, Does::Reset).about(
        "6.2.0",
        "O(1)",
        "Puts the connection back to how it began",
    ),
    of_connection("hello", -1, GREETING, Does::Hello).about(
        "6.0.0",
        "O(1)",
        "Chooses the protocol, and may log in and name the connection",
    ),
    of_connection("auth", -2, GREETING, Does::Auth).about("1.0.0", "O(1)", "Logs in"),
    of_connection("select", 2, QUICK, Does::Select).about(
        "1.0.0",
        "O(1)",
        "Chooses the database of the connection",
    ),
    of_server("time", 1, QUICK, Does::Time).tips(VARIES).about(
        "2.6.0",
        "O(1)",
        "Tells the server's time",
    ),
    of_server(
        "shutdown",
        -1,
        QUIET
            .and(Flags::ADMIN)
            .and(Flags::NO_MULTI)
            .and(Flags::ALLOW_BUSY),
        Does::Shutdown,
    )
    .about("1.0.0", "O(1)", "Drains the server and ends it"),
    of_server("save", 1, SAVES.and(Flags::NO_MULTI), Does::Save).about(
        "1.0.0",
        "O(N), N keys",
        "Takes a snapshot and answers when it is taken; others are served meanwhile",
    ),
    of_server("bgsave", -1, SAVES, Does::Bgsave).about("1.0.0", "O(1)", "Begins a snapshot"),
    of_server("bgrewriteaof", 1, SAVES, Does::Bgrewriteaof).about(
        "1.0.0",
        "O(1)",
        "Makes the log short; here the same as BGSAVE",
    ),
    of_server("lastsave", 1, QUICK, Does::Lastsave)
        .in_categories(Categories::ADMIN.and(Categories::DANGEROUS))
        .tips(VARIES)
        .about("1.0.0", "O(1)", "Tells when the last snapshot was taken"),
    of_server("info", -1, ANYTIME, Does::Info)
        .in_categories(Categories::DANGEROUS)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ])
        .about(
            "1.0.0",
            "O(1)",
            "Tells about the server, its clients and its store",
        ),
    CommandSpec::container("client", Group::Connection).about(
        "2.4.0",
        "that of the subcommand",
        "Groups what concerns connections",
    ),
    of_connection("client|deadline", 3, QUIET, Does::ClientDeadline).about(
        "7.2.4",
        "O(1)",
        "Limits how long the connection's commands may wait before they begin, in milliseconds",
    ),
    of_connection("client|getname", 2, QUIET, Does::ClientGetname).about(
        "2.6.9",
        "O(1)",
        "Tells the connection's name",
    ),
    of_connection("client|help", 2, ANYTIME, Does::Command).about(
        "5.0.0",
        "O(1)",
        "Explains the subcommands",
    ),
    of_connection("client|id", 2, QUIET, Does::ClientId).about(
        "5.0.0",
        "O(1)",
        "Tells the connection's number",
    ),
    of_connection("client|info", 2, QUIET, Does::ClientInfo)
        .tips(VARIES)
        .about("6.2.0", "O(1)", "Tells about the connection"),
    of_connection("client|kill", -3, QUIET.and(Flags::ADMIN), Does::ClientKill).about(
        "2.4.0",
        "O(N), N connections",
        "Ends connections",
    ),
    of_connection("client|list", -2, QUIET.and(Flags::ADMIN), Does::ClientList)
        .tips(VARIES)
        .about(
            "2.4.0",
            "O(N), N connections",
            "Tells about all connections",
        ),
    of_connection("client|setinfo", 4, QUIET, Does::ClientSetinfo).about(
        "7.2.0",
        "O(1)",
        "Notes which library the client uses",
    ),
    of_connection("client|setname", 3, QUIET, Does::ClientSetname).about(
        "2.6.9",
        "O(1)",
        "Names the connection",
    ),
    of_connection("command", -1, ANYTIME, Does::Command)
        .in_group(Group::Server)
        .tips(ORDER_VARIES)
        .about("2.8.13", "O(N), N commands", "Tells about all commands"),
    of_connection("command|count", 2, ANYTIME, Does::Command)
        .in_group(Group::Server)
        .about("2.8.13", "O(1)", "Counts the commands"),
    of_connection("command|docs", -2, ANYTIME, Does::Command)
        .in_group(Group::Server)
        .tips(ORDER_VARIES)
        .about("7.0.0", "O(N), N commands asked for", "Documents commands"),
    of_connection("command|getkeys", -4, ANYTIME, Does::Command)
        .in_group(Group::Server)
        .about("2.8.13", "O(N), N arguments", "Gives the keys in a command"),
    of_connection("command|getkeysandflags", -4, ANYTIME, Does::Command)
        .in_group(Group::Server)
        .about(
            "7.0.0",
            "O(N), N arguments",
            "Gives the keys in a command and how they are used",
        ),
    of_connection("command|help", 2, ANYTIME, Does::Command)
        .in_group(Group::Server)
        .about("5.0.0", "O(1)", "Explains the subcommands"),
    of_connection("command|info", -2, ANYTIME, Does::Command)
        .in_group(Group::Server)
        .tips(ORDER_VARIES)
        .about(
            "2.8.13",
            "O(N), N commands asked for",
            "Tells about some commands",
        ),
    of_connection("command|list", -2, ANYTIME, Does::Command)
        .in_group(Group::Server)
        .tips(ORDER_VARIES)
        .about("7.0.0", "O(N), N commands", "Lists names of commands"),
    CommandSpec::container("config", Group::Server).about(
        "2.0.0",
        "that of the subcommand",
        "Groups what concerns settings",
    ),
    of_server("config|get", -3, QUIET.and(Flags::ADMIN), Does::ConfigGet).about(
        "2.0.0",
        "O(N), N settings",
        "Tells settings",
    ),
    of_server("config|help", 2, ANYTIME, Does::Command).about(
        "5.0.0",
        "O(1)",
        "Explains the subcommands",
    ),
    of_server(
        "config|resetstat",
        2,
        QUIET.and(Flags::ADMIN),
        Does::ConfigResetstat,
    )
    .about(
        "2.0.0",
        "O(N), N commands",
        "Has INFO and LATENCY HISTOGRAM count anew",
    ),
    of_server(
        "config|rewrite",
        2,
        QUIET.and(Flags::ADMIN),
        Does::ConfigRewrite,
    )
    .about("2.8.0", "O(1)", "Is refused: the file is only read"),
    of_server("config|set", -4, QUIET.and(Flags::ADMIN), Does::ConfigSet).about(
        "2.0.0",
        "O(N), N settings",
        "Changes settings that can change while the server runs",
    ),
];
