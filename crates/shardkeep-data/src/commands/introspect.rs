//! COMMAND: what the table knows, told to clients.

use shardkeep_resp::Reply;

use super::glob::{Case, Glob};
use super::resolve::{self, CommandId, TABLE};
use super::{Args, Begin, Categories, CommandSpec, Find, KeySpec, error, object, options};

/// Elements of the reply about one command.
const ENTRY_ELEMENTS: usize = 10;

/// Answers COMMAND with its subcommands, and every HELP: all that needs nothing but the table.
/// The arguments have passed [`super::resolve`].
pub fn introspect(args: Args<'_>, reply: &mut Reply<'_>) {
    if options::is(args.get(0), "object") {
        object::help(reply);
    } else if !options::is(args.get(0), "command") {
        help_of_container(args.get(0), reply);
    } else if args.len() == 1 {
        info_of_all(reply);
    } else {
        let does = |subcommand| options::is(args.get(1), subcommand);
        if does("count") {
            reply.integer(commands().count() as i64);
        } else if does("docs") {
            docs(args, reply);
        } else if does("getkeys") {
            getkeys(args, reply);
        } else if does("getkeysandflags") {
            getkeysandflags(args, reply);
        } else if does("info") {
            info(args, reply);
        } else if does("list") {
            list(args, reply);
        } else {
            help(reply);
        }
    }
}

fn numbered() -> impl Iterator<Item = (CommandId, &'static CommandSpec)> + Clone {
    (0..).map(CommandId).zip(TABLE)
}

/// All commands, without subcommands.
fn commands() -> impl Iterator<Item = (CommandId, &'static CommandSpec)> + Clone {
    numbered().filter(|(_, spec)| !spec.is_subcommand())
}

/// The command of this name, or the subcommand if the name is `container|subcommand`.
fn named(name: &[u8]) -> Option<(CommandId, &'static CommandSpec)> {
    match memchr::memchr(b'|', name) {
        Some(bar) => {
            let (id, _) = resolve::lookup(&name[..bar])?;
            resolve::subcommand(id, &name[bar + 1..])
        }
        None => resolve::lookup(name),
    }
}

fn subcommands(
    (id, spec): (CommandId, &'static CommandSpec),
) -> impl Iterator<Item = (CommandId, &'static CommandSpec)> + Clone {
    let has = spec.has_subcommands();
    resolve::subcommands(id).take_while(move |_| has)
}

fn info_of_all(reply: &mut Reply<'_>) {
    reply.array(commands().count());
    for command in commands() {
        entry(command, reply);
    }
}

/// COMMAND INFO [name ...]
fn info(args: Args<'_>, reply: &mut Reply<'_>) {
    if args.len() == 2 {
        info_of_all(reply);
        return;
    }
    reply.array(args.len() - 2);
    for name in args.iter_from(2) {
        match named(name) {
            Some(command) => entry(command, reply),
            None => reply.null(),
        }
    }
}

fn entry(command: (CommandId, &'static CommandSpec), reply: &mut Reply<'_>) {
    let (_, spec) = command;
    reply.array(ENTRY_ELEMENTS);
    reply.bulk(spec.name.as_bytes());
    reply.integer(i64::from(spec.arity));
    words(spec.all_flags().words(), reply);
    let (first, last, step) = spec.keys.range();
    for number in [i64::from(first), i64::from(last), i64::from(step)] {
        reply.integer(number);
    }
    words(spec.all_categories().words(), reply);
    reply.set(spec.tips.len());
    for tip in spec.tips {
        reply.bulk(tip.as_bytes());
    }
    reply.set(spec.key_specs.len());
    for key_spec in spec.key_specs {
        key_spec_entry(key_spec, reply);
    }
    let subcommands = subcommands(command);
    reply.set(subcommands.clone().count());
    for subcommand in subcommands {
        entry(subcommand, reply);
    }
}

fn words(words: impl Iterator<Item = &'static str> + Clone, reply: &mut Reply<'_>) {
    reply.set(words.clone().count());
    for word in words {
        reply.simple(word);
    }
}

fn key_spec_entry(key_spec: &KeySpec, reply: &mut Reply<'_>) {
    reply.map(if key_spec.note.is_empty() { 3 } else { 4 });
    if !key_spec.note.is_empty() {
        reply.bulk(b"notes");
        reply.bulk(key_spec.note.as_bytes());
    }
    reply.bulk(b"flags");
    words(key_spec.flags.iter().copied(), reply);
    reply.bulk(b"begin_search");
    match key_spec.begin {
        Begin::Index(at) => step("index", &[("index", at.into())], reply),
        Begin::Keyword { word, from } => {
            reply.map(2);
            reply.bulk(b"type");
            reply.bulk(b"keyword");
            reply.bulk(b"spec");
            reply.map(2);
            reply.bulk(b"keyword");
            reply.bulk(word.to_ascii_uppercase().as_bytes());
            reply.bulk(b"startfrom");
            reply.integer(from.into());
        }
    }
    reply.bulk(b"find_keys");
    match key_spec.find {
        Find::Range {
            last,
            step: by,
            limit,
        } => {
            let numbers = [
                ("lastkey", last.into()),
                ("keystep", by.into()),
                ("limit", limit.into()),
            ];
            step("range", &numbers, reply);
        }
        Find::Count {
            at,
            first,
            step: by,
        } => {
            let numbers = [
                ("keynumidx", at.into()),
                ("firstkey", first.into()),
                ("keystep", by.into()),
            ];
            step("keynum", &numbers, reply);
        }
    }
}

/// One of the two steps in which a key spec finds keys.
fn step(kind: &str, numbers: &[(&str, i64)], reply: &mut Reply<'_>) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(numbers.len());
    for (name, number) in numbers {
        reply.bulk(name.as_bytes());
        reply.integer(*number);
    }
}

/// COMMAND DOCS [name ...]
fn docs(args: Args<'_>, reply: &mut Reply<'_>) {
    if args.len() == 2 {
        reply.map(commands().count());
        for command in commands() {
            doc(command, reply);
        }
        return;
    }
    let found = args.iter_from(2).filter_map(named);
    reply.map(found.count());
    for command in args.iter_from(2).filter_map(named) {
        doc(command, reply);
    }
}

/// A name and what is documented under it.
fn doc(command: (CommandId, &'static CommandSpec), reply: &mut Reply<'_>) {
    let (_, spec) = command;
    let facts = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group.word()),
        ("complexity", spec.complexity),
    ];
    reply.bulk(spec.name.as_bytes());
    let subcommands = subcommands(command);
    let count = subcommands.clone().count();
    reply.map(facts.len() + usize::from(count > 0));
    for (name, fact) in facts {
        reply.bulk(name.as_bytes());
        reply.bulk(fact.as_bytes());
    }
    if count > 0 {
        reply.bulk(b"subcommands");
        reply.map(count);
        for subcommand in subcommands {
            doc(subcommand, reply);
        }
    }
}

/// The command whose keys are asked for, and its arguments; otherwise the error is answered.
fn called<'a>(args: Args<'a>, reply: &mut Reply<'_>) -> Option<(&'static CommandSpec, Args<'a>)> {
    let called = args.from(2);
    let found = resolve::lookup(called.get(0)).and_then(|found| match found {
        (id, spec) if spec.has_subcommands() && called.len() > 1 => {
            resolve::subcommand(id, called.get(1))
        }
        found => Some(found),
    });
    let error = match found {
        None => "ERR Invalid command specified",
        Some((_, spec)) if spec.key_specs.is_empty() => "ERR The command has no key arguments",
        Some((_, spec)) if !spec.accepts(called.len()) => {
            "ERR Invalid number of arguments specified for command"
        }
        Some((_, spec)) => return Some((spec, called)),
    };
    reply.error(error);
    None
}

/// COMMAND GETKEYS name [arg ...]
fn getkeys(args: Args<'_>, reply: &mut Reply<'_>) {
    if let Some((spec, called)) = called(args, reply) {
        let keys = spec.keys.of(called);
        reply.array(keys.clone().count());
        for key in keys {
            reply.bulk(key);
        }
    }
}

/// COMMAND GETKEYSANDFLAGS name [arg ...]
fn getkeysandflags(args: Args<'_>, reply: &mut Reply<'_>) {
    if let Some((spec, called)) = called(args, reply) {
        reply.array(spec.keys.of(called).count());
        for key_spec in spec.key_specs {
            for key in key_spec.of(called) {
                reply.array(2);
                reply.bulk(key);
                words(key_spec.flags_in(called).iter().copied(), reply);
            }
        }
    }
}

/// COMMAND LIST [FILTERBY (MODULE name | ACLCAT category | PATTERN pattern)]
fn list(args: Args<'_>, reply: &mut Reply<'_>) {
    if args.len() == 2 {
        names(|_| true, reply);
        return;
    }
    if args.len() != 5 || !options::is(args.get(2), "filterby") {
        reply.error(error::SYNTAX);
        return;
    }
    let (kind, wanted) = (args.get(3), args.get(4));
    if options::is(kind, "module") {
        names(|_| false, reply);
    } else if options::is(kind, "aclcat") {
        let category = Categories::named(wanted);
        let is_in = |spec: &CommandSpec| {
            category.is_some_and(|category| spec.all_categories().contains(category))
        };
        names(is_in, reply);
    } else if options::is(kind, "pattern") {
        match Glob::parse(wanted, Case::Ignored) {
            Ok(glob) => names(|spec| glob.matches_short(spec.name), reply),
            Err(error) => reply.error(&error.to_string()),
        }
    } else {
        reply.error(error::SYNTAX);
    }
}

fn names(wanted: impl Fn(&CommandSpec) -> bool, reply: &mut Reply<'_>) {
    let names = TABLE.iter().filter(|spec| wanted(spec));
    reply.array(names.clone().count());
    for spec in names {
        reply.bulk(spec.name.as_bytes());
    }
}

fn help(reply: &mut Reply<'_>) {
    let lines = [
        "COMMAND [<subcommand> [<arg> ...]], where the subcommand is one of",
        "(none)",
        "    What is known of every command.",
        "COUNT",
        "    How many commands there are.",
        "DOCS [<command> ...]",
        "    The documentation of these commands, or of all.",
        "GETKEYS <command> [<arg> ...]",
        "    Which arguments of a command are keys.",
        "GETKEYSANDFLAGS <command> [<arg> ...]",
        "    Which arguments of a command are keys, and how they are used.",
        "INFO [<command> ...]",
        "    What is known of these commands, or of all.",
        "LIST [FILTERBY ACLCAT <category> | PATTERN <pattern> | MODULE <name>]",
        "    The names of all commands, or of those that match.",
        "HELP",
        "    This text.",
    ];
    help_lines(&lines, reply);
}

/// HELP of a container: its subcommands, and what the table says of them.
fn help_of_container(container: &[u8], reply: &mut Reply<'_>) {
    let Some(found) = resolve::lookup(container) else {
        return reply.array(0);
    };
    let name = found.1.name.to_ascii_uppercase();
    let mut lines = vec![format!(
        "{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    )];
    for (_, spec) in subcommands(found) {
        let subcommand = spec.name.rsplit('|').next().unwrap_or_default();
        lines.push(subcommand.to_ascii_uppercase());
        lines.push(format!("    {}.", spec.summary));
    }
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    help_lines(&lines, reply);
}

/// The form in which every HELP answers.
pub(super) fn help_lines(lines: &[&str], reply: &mut Reply<'_>) {
    reply.array(lines.len());
    for line in lines {
        reply.simple(line);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Store, check};

    #[test]
    fn command_info_is_what_redis_says() {
        let get = "*10\r\n$3\r\nget\r\n:2\r\n~2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n~3\r\n\
                   +@read\r\n+@string\r\n+@fast\r\n~0\r\n~1\r\n%3\r\n$5\r\nflags\r\n~2\r\n+RO\r\n\
                   +access\r\n$12\r\nbegin_search\r\n%2\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\n\
                   spec\r\n%1\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n%2\r\n$4\r\ntype\r\n\
                   $5\r\nrange\r\n$4\r\nspec\r\n%3\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n\
                   $5\r\nlimit\r\n:0\r\n~0\r\n";
        Store::resp3().check(&[("COMMAND INFO GET nobody", &format!("*2\r\n{get}_\r\n"))]);
    }

    #[test]
    fn subcommands_are_listed_under_their_container() {
        let mut store = Store::new();
        let reply = store.line("COMMAND INFO object");
        assert_eq!(reply.matches("$15\r\nobject|encoding").count(), 1);
        assert!(
            reply.contains("*5\r\n*10\r\n$15\r\nobject|encoding"),
            "{reply}"
        );
        let alone = store.line("COMMAND INFO object|encoding");
        assert!(alone.starts_with("*1\r\n*10\r\n$15\r\nobject|encoding\r\n:3\r\n"));
        let docs = store.line("COMMAND DOCS object");
        assert!(
            docs.contains("$11\r\nsubcommands\r\n*10\r\n$15\r\nobject|encoding"),
            "{docs}"
        );
    }

    #[test]
    fn all_commands_are_as_many_as_are_counted() {
        let mut store = Store::new();
        let count = store.line("COMMAND COUNT").replace(':', "*");
        assert!(store.line("COMMAND").starts_with(&count));
        assert!(store.line("COMMAND INFO").starts_with(&count));
        let mut store = Store::resp3();
        assert!(
            store
                .line("COMMAND DOCS")
                .starts_with(&count.replace('*', "%"))
        );
    }

    #[test]
    fn docs_are_given_for_what_exists() {
        let mut store = Store::resp3();
        let reply = store.line("COMMAND DOCS nobody ECHO");
        assert!(
            reply.starts_with("%1\r\n$4\r\necho\r\n%4\r\n$7\r\nsummary\r\n"),
            "{reply}"
        );
        store.check(&[("COMMAND DOCS nobody", "%0\r\n")]);
    }

    #[test]
    fn keys_are_found_in_other_commands() {
        check(&[
            ("COMMAND GETKEYS GET a", "*1\r\n$1\r\na\r\n"),
            (
                "COMMAND GETKEYS mset a 1 b 2",
                "*2\r\n$1\r\na\r\n$1\r\nb\r\n",
            ),
            (
                "COMMAND GETKEYS DEL a b c",
                "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
            ),
            ("COMMAND GETKEYS RENAME a b", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
            ("COMMAND GETKEYS OBJECT ENCODING a", "*1\r\n$1\r\na\r\n"),
            (
                "COMMAND GETKEYS PING x",
                "-ERR The command has no key arguments\r\n",
            ),
            (
                "COMMAND GETKEYS nobody x",
                "-ERR Invalid command specified\r\n",
            ),
            (
                "COMMAND GETKEYS GET a b",
                "-ERR Invalid number of arguments specified for command\r\n",
            ),
        ]);
    }

    #[test]
    fn keys_come_with_how_they_are_used() {
        check(&[
            (
                "COMMAND GETKEYSANDFLAGS RENAME a b",
                "*2\r\n*2\r\n$1\r\na\r\n*3\r\n+RW\r\n+access\r\n+delete\r\n\
                 *2\r\n$1\r\nb\r\n*2\r\n+OW\r\n+update\r\n",
            ),
            (
                "COMMAND GETKEYSANDFLAGS SET a 1 EX 5",
                "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+OW\r\n+update\r\n",
            ),
            (
                "COMMAND GETKEYSANDFLAGS SET a 1 get",
                "*1\r\n*2\r\n$1\r\na\r\n*3\r\n+RW\r\n+access\r\n+update\r\n",
            ),
            (
                "COMMAND GETKEYSANDFLAGS PING x",
                "-ERR The command has no key arguments\r\n",
            ),
        ]);
    }

    #[test]
    fn names_are_listed_by_filter() {
        check(&[
            (
                "COMMAND LIST FILTERBY PATTERN GETD*",
                "*1\r\n$6\r\ngetdel\r\n",
            ),
            ("COMMAND LIST FILTERBY MODULE any", "*0\r\n"),
            ("COMMAND LIST FILTERBY ACLCAT nobody", "*0\r\n"),
            ("COMMAND LIST FILTERBY NOTHING x", "-ERR syntax error\r\n"),
            ("COMMAND LIST x", "-ERR syntax error\r\n"),
        ]);
        let mut store = Store::new();
        assert!(store.line("COMMAND LIST").starts_with("*"));
        assert!(
            store
                .line("COMMAND LIST FILTERBY ACLCAT string")
                .starts_with("*21\r\n")
        );
    }
}
