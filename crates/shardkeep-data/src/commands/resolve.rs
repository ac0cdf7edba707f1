//! The table of all commands, and finding one in it.
//!
//! The entries themselves lie beside the code of their commands; the registry has them all. Subcommands follow
//! their container.

use shardkeep_resp::Reply;

use super::index::{self, Index};
use super::{Args, CommandSpec, error};
use crate::registry::{PARTS, Part};

/// Number of a command: its index in [`TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub u16);

impl CommandId {
    /// The index of the command's entry in [`TABLE`].
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The command's entry.
    #[inline]
    pub fn spec(self) -> &'static CommandSpec {
        &TABLE[self.index()]
    }
}

const COMMANDS: usize = {
    let (mut count, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut file = 0;
        while file < PARTS[part].commands.len() {
            count += PARTS[part].commands[file].len();
            file += 1;
        }
        part += 1;
    }
    count
};

/// All commands and subcommands.
pub static TABLE: &[CommandSpec] = &ENTRIES;

static ENTRIES: [CommandSpec; COMMANDS] = {
    let mut entries = [PARTS[0].commands[0][0]; COMMANDS];
    let (mut part, mut at) = (0, 0);
    while part < PARTS.len() {
        let Part {
            group,
            categories,
            commands,
        } = PARTS[part];
        let mut file = 0;
        while file < commands.len() {
            let mut entry = 0;
            while entry < commands[file].len() {
                entries[at] = commands[file][entry].under(group, categories);
                entry += 1;
                at += 1;
            }
            file += 1;
        }
        part += 1;
    }
    entries
};

static INDEX: Index<COMMANDS, PLACES> = {
    let mut names = [""; COMMANDS];
    let mut at = 0;
    while at < COMMANDS {
        names[at] = ENTRIES[at].name;
        at += 1;
    }
    Index::new(names)
};

/// Places in the index: most names are found at first sight.
const PLACES: usize = index::places(COMMANDS);

/// The command with this name, in any case of letters; not subcommands, see [`resolve`].
///
/// ```
/// use shardkeep_data::commands::lookup;
///
/// assert_eq!(lookup(b"GeT").map(|(_, spec)| spec.name), Some("get"));
/// assert!(lookup(b"gets").is_none());
/// ```
#[inline]
pub fn lookup(name: &[u8]) -> Option<(CommandId, &'static CommandSpec)> {
    let at = INDEX.find(name)?;
    Some((CommandId(at), &ENTRIES[usize::from(at)]))
}

/// The subcommands of a command, with their numbers.
pub(super) fn subcommands(
    id: CommandId,
) -> impl Iterator<Item = (CommandId, &'static CommandSpec)> + Clone {
    (id.0 + 1..)
        .zip(&ENTRIES[id.index() + 1..])
        .take_while(|(_, spec)| spec.is_subcommand())
        .map(|(id, spec)| (CommandId(id), spec))
}

/// The subcommand of this name (without its container's).
pub(super) fn subcommand(id: CommandId, name: &[u8]) -> Option<(CommandId, &'static CommandSpec)> {
    let prefix = id.spec().name.len() + 1;
    subcommands(id).find(|(_, spec)| spec.name.as_bytes()[prefix..].eq_ignore_ascii_case(name))
}

/// The command or subcommand that these arguments call, if they may: it exists and their number
/// is right. Otherwise the error is answered.
///
/// ```
/// use shardkeep_resp::{Protocol, Reply, Span};
/// use shardkeep_data::commands::{Args, resolve};
///
/// let mut out = Vec::new();
/// let spans = [Span { start: 0, len: 3 }];
/// assert!(resolve(Args::new(b"GET", &spans), &mut Reply::new(&mut out, Protocol::Resp2)).is_none());
/// assert_eq!(out, b"-ERR wrong number of arguments for 'get' command\r\n");
/// ```
///
/// # Panics
///
/// If there is no argument at all.
#[inline]
pub fn resolve(args: Args<'_>, reply: &mut Reply<'_>) -> Option<(CommandId, &'static CommandSpec)> {
    let Some((mut id, mut spec)) = lookup(args.get(0)) else {
        error::unknown_command(args, reply);
        return None;
    };
    if args.len() > 1 && spec.has_subcommands() {
        match subcommand(id, args.get(1)) {
            Some(found) => (id, spec) = found,
            None => {
                error::unknown_subcommand(args, reply);
                return None;
            }
        }
    }
    if !spec.accepts(args.len()) {
        error::wrong_arity(spec.name, reply);
        return None;
    }
    Some((id, spec))
}

#[cfg(test)]
mod tests {
    use super::super::{Action, Flags, RouteKind};
    use super::*;

    #[test]
    fn every_command_is_found_in_any_case_and_nothing_else_is() {
        for (at, spec) in TABLE.iter().enumerate() {
            let found = lookup(spec.name.as_bytes()).map(|(id, _)| id.index());
            assert_eq!(
                found,
                (!spec.is_subcommand()).then_some(at),
                "{}",
                spec.name
            );
            let upper = spec.name.to_ascii_uppercase();
            assert_eq!(lookup(upper.as_bytes()).map(|(id, _)| id.index()), found);
            for other in [format!("{}s", spec.name), spec.name[1..].to_string()] {
                let exists = TABLE.iter().any(|spec| spec.name == other);
                assert_eq!(lookup(other.as_bytes()).is_some(), exists, "{other}");
            }
        }
        for nobody in [
            &b""[..],
            b"g",
            b"\x07et",
            b"get\0",
            b"g\x05t",
            &[b'x'; 1_000],
        ] {
            assert!(lookup(nobody).is_none());
        }
    }

    #[test]
    fn a_subcommand_follows_its_container() {
        for (at, spec) in TABLE.iter().enumerate() {
            let Some((container, name)) = spec.name.split_once('|') else {
                continue;
            };
            let (id, container) = lookup(container.as_bytes()).unwrap();
            assert!(container.has_subcommands(), "{}", container.name);
            let found = subcommand(id, name.to_ascii_uppercase().as_bytes());
            assert_eq!(found.map(|(id, _)| id.index()), Some(at));
        }
    }

    #[test]
    fn what_may_stand_in_the_log_is_named() {
        let logged = TABLE.iter().filter(|spec| spec.is_logged);
        let mut names: Vec<&str> = logged.clone().map(|spec| spec.name).collect();
        names.sort_unstable();
        let expected = ["append", "del", "persist", "pexpireat", "set", "setrange"];
        assert_eq!(names, expected);
        for spec in logged {
            assert!(spec.flags.contains(Flags::WRITE), "{}", spec.name);
        }
    }

    #[test]
    fn an_entry_does_not_contradict_itself() {
        for spec in TABLE {
            let name = spec.name;
            let has_keys = !spec.keys.is_none();
            assert_eq!(has_keys, !spec.key_specs.is_empty(), "{name}");
            match spec.action {
                Action::Shard(_) => {
                    assert_eq!(spec.route, RouteKind::FirstKey, "{name}");
                    assert!(spec.first_key > 0, "{name}");
                }
                Action::Shards(_) => {
                    assert_eq!(has_keys, spec.route == RouteKind::AllKeys, "{name}")
                }
                Action::Connection(_) | Action::Container => {
                    assert_eq!(spec.route, RouteKind::None, "{name}");
                }
            }
            let last = usize::try_from(spec.keys.range().1).unwrap_or(0);
            assert!(last < spec.arity.unsigned_abs() as usize, "{name}");
            assert!(
                !spec.flags.contains(Flags::READONLY.and(Flags::WRITE)),
                "{name}"
            );
            assert!(
                !spec.summary.is_empty() && !spec.summary.ends_with('.'),
                "{name}"
            );
        }
    }
}
