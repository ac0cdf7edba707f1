//! The table of all commands, and finding one in it.
//!
//! The entries themselves lie in one file per group. Subcommands follow their container.
//!
//! 1. Names of commands are lower case letters and `_`, and no two are the same: checked when this is
//!    compiled.
//! 2. A name of 2 to [`PLAIN_BYTES_MAX`] letters is found by one comparison of two words; the others are
//!    compared byte by byte.

mod connection;
mod key;
mod key_specs;
mod operate;
mod string;

use shardkeep_resp::Reply;

use super::{Args, CommandSpec, error};

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

const PARTS: [&[CommandSpec]; 4] = [
    &string::SPECS,
    &key::SPECS,
    &connection::SPECS,
    &operate::SPECS,
];

const COMMANDS: usize = {
    let mut count = 0;
    let mut part = 0;
    while part < PARTS.len() {
        count += PARTS[part].len();
        part += 1;
    }
    count
};

/// All commands and subcommands.
pub static TABLE: &[CommandSpec] = &ENTRIES;

static ENTRIES: [CommandSpec; COMMANDS] = {
    let mut entries = [PARTS[0][0]; COMMANDS];
    let (mut part, mut at) = (0, 0);
    while part < PARTS.len() {
        let mut entry = 0;
        while entry < PARTS[part].len() {
            entries[at] = PARTS[part][entry];
            entry += 1;
            at += 1;
        }
        part += 1;
    }
    entries
};

/// Longest name of a command that two words hold (bytes).
const PLAIN_BYTES_MAX: usize = 16;

/// A name of a command, in lower case, in two words: its first and its last bytes, which together
/// are all of one of up to [`PLAIN_BYTES_MAX`] bytes. Only letters become other letters by this, so with
/// the length it is exact for one of letters.
#[derive(Clone, Copy, PartialEq, Eq)]
struct PackedName {
    head: u64,
    tail: u64,
    len: usize,
}

/// Sets the bit that makes ASCII letters lower case in each byte.
const LOWER_CASE: u64 = 0x2020_2020_2020_2020;

#[inline]
const fn pack(name: &[u8]) -> Option<PackedName> {
    let (head, tail) =
        if let (Some(head), Some(tail)) = (name.first_chunk::<8>(), name.last_chunk::<8>()) {
            (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
        } else if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (
                u32::from_le_bytes(*head) as u64,
                u32::from_le_bytes(*tail) as u64,
            )
        } else if let (Some(head), Some(tail)) = (name.first_chunk::<2>(), name.last_chunk::<2>()) {
            (
                u16::from_le_bytes(*head) as u64,
                u16::from_le_bytes(*tail) as u64,
            )
        } else {
            return None;
        };
    Some(PackedName {
        head: head | LOWER_CASE,
        tail: tail | LOWER_CASE,
        len: name.len(),
    })
}

/// Places in the index, a power of two; enough that most names are found at first sight.
const PLACES: usize = (COMMANDS * 4).next_power_of_two();

/// In the index: no command here.
const NONE: u16 = u16::MAX;
const _: () = assert!(COMMANDS < NONE as usize);

/// The length in the index of a name that two words do not hold exactly: no name has it.
const INEXACT: usize = usize::MAX;

impl PackedName {
    const NONE: Self = Self {
        head: 0,
        tail: 0,
        len: 0,
    };

    #[inline]
    const fn place(self) -> usize {
        let mixed = (self.head ^ self.tail.rotate_left(29) ^ self.len as u64)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> (64 - PLACES.trailing_zeros())) as usize
    }

    #[inline]
    const fn is(self, other: Self) -> bool {
        self.head == other.head && self.tail == other.tail && self.len == other.len
    }
}

/// Whether two words hold it exactly.
const fn is_plain(name: &[u8]) -> bool {
    let mut byte = 0;
    let mut has_letters_alone = true;
    while byte < name.len() {
        let is_letter = name[byte].is_ascii_lowercase();
        assert!(
            is_letter || name[byte] == b'_',
            "a name is lower case letters and `_`"
        );
        has_letters_alone = has_letters_alone && is_letter;
        byte += 1;
    }
    has_letters_alone && name.len() <= PLAIN_BYTES_MAX
}

struct Index {
    names: [PackedName; COMMANDS],
    places: [u16; PLACES],
}

static INDEX: Index = {
    let mut index = Index {
        names: [PackedName::NONE; COMMANDS],
        places: [NONE; PLACES],
    };
    let mut at = 0;
    while at < COMMANDS {
        if !ENTRIES[at].is_subcommand() {
            let name = ENTRIES[at].name.as_bytes();
            let Some(mut packed) = pack(name) else {
                panic!("a name has at least 2 letters");
            };
            let mut place = packed.place();
            while index.places[place] != NONE {
                let other = ENTRIES[index.places[place] as usize].name.as_bytes();
                assert!(!name.eq_ignore_ascii_case(other), "names differ");
                place = (place + 1) % PLACES;
            }
            if !is_plain(name) {
                packed.len = INEXACT;
            }
            index.names[at] = packed;
            index.places[place] = at as u16;
        }
        at += 1;
    }
    index
};

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
    let packed = pack(name)?;
    let mut place = packed.place();
    loop {
        let at = INDEX.places[place];
        if at == NONE {
            return None;
        }
        let known = INDEX.names[at as usize];
        if known.is(packed) || known.len == INEXACT && ENTRIES[at as usize].is_named(name) {
            return Some((CommandId(at), &ENTRIES[at as usize]));
        }
        place = (place + 1) % PLACES;
    }
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
