//! What is known of a command without running it.
//!
//! Plain data; the words are those that Redis uses in its reply to COMMAND.

use shardkeep_resp::Reply;

use super::positions::{KeyPositions, KeySpec};
use super::{Args, ShardSet};
use crate::keyspace::Keyspace;

/// Runs a command on the shard of its key, whose hash comes with it.
pub type OnShard = fn(&mut Keyspace, u64, Args<'_>, &mut Reply<'_>);

/// Runs a command on several shards that are in hand together.
pub type OnShards = fn(&mut dyn ShardSet, Args<'_>, &mut Reply<'_>);

/// Where a command runs.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// On the one shard its key belongs to.
    Shard(OnShard),
    /// On all shards its route names, atomically.
    Shards(OnShards),
    /// On the connection, without a shard.
    Connection(ConnectionCommand),
    /// Nowhere: it only groups its subcommands, which [`super::resolve`] finds.
    Container,
}

/// The commands that concern the connection or the server, not the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the command of its name")]
pub enum ConnectionCommand {
    Auth,
    Bgrewriteaof,
    Bgsave,
    ClientDeadline,
    ClientGetname,
    ClientId,
    ClientInfo,
    ClientKill,
    ClientList,
    ClientSetinfo,
    ClientSetname,
    /// COMMAND with its subcommands, and every HELP: [`super::introspect`] answers them all.
    Command,
    ConfigGet,
    ConfigResetstat,
    ConfigRewrite,
    ConfigSet,
    Discard,
    Echo,
    Exec,
    Hello,
    Info,
    Lastsave,
    /// LATENCY DOCTOR, GRAPH, HISTORY, LATEST and RESET.
    LatencyEvents,
    LatencyHistogram,
    MemoryPurge,
    MemoryStats,
    Multi,
    Ping,
    Quit,
    Reset,
    Save,
    Select,
    Shutdown,
    SlowlogGet,
    SlowlogLen,
    SlowlogReset,
    Time,
    Unwatch,
    Watch,
}

/// Which shards a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// None.
    None,
    /// That of its first key, argument number [`CommandSpec::first_key`].
    FirstKey,
    /// Those of all its keys.
    AllKeys,
    /// All.
    WholeStore,
    /// From the one that its cursor names ([`super::cursor_shard`]) up to the last.
    Cursor,
}

macro_rules! bit_set {
    ($(#[$doc:meta])* $name:ident { $($bit:ident = $at:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name(u32);

        impl $name {
            /// None of them.
            pub const NONE: Self = Self(0);
            $(
                #[doc = concat!("`", $text, "`")]
                pub const $bit: Self = Self(1 << $at);
            )*
            /// Each with the word Redis has for it, in the order in which Redis lists them.
            const WORDS: &[(Self, &str)] = &[$((Self::$bit, $text)),*];

            /// These and those.
            pub const fn and(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Whether all of `other` are among these.
            #[inline]
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// The words for these.
            pub fn words(self) -> impl Iterator<Item = &'static str> + Clone {
                Self::WORDS
                    .iter()
                    .filter(move |(bit, _)| self.contains(*bit))
                    .map(|(_, word)| *word)
            }
        }
    };
}

bit_set! {
    /// What a command is and when it may run.
    Flags {
        WRITE = 0, "write";
        READONLY = 1, "readonly";
        DENYOOM = 2, "denyoom";
        ADMIN = 3, "admin";
        NOSCRIPT = 4, "noscript";
        LOADING = 5, "loading";
        STALE = 6, "stale";
        FAST = 7, "fast";
        NO_AUTH = 8, "no_auth";
        NO_ASYNC_LOADING = 11, "no_async_loading";
        NO_MULTI = 9, "no_multi";
        ALLOW_BUSY = 10, "allow_busy";
        MOVABLE_KEYS = 12, "movablekeys";
        SKIP_SLOWLOG = 13, "skip_slowlog";
    }
}

bit_set! {
    /// The categories by which access may be granted.
    Categories {
        KEYSPACE = 0, "@keyspace";
        READ = 1, "@read";
        WRITE = 2, "@write";
        STRING = 3, "@string";
        ADMIN = 4, "@admin";
        FAST = 5, "@fast";
        SLOW = 6, "@slow";
        DANGEROUS = 7, "@dangerous";
        CONNECTION = 8, "@connection";
        TRANSACTION = 9, "@transaction";
    }
}

/// Under which heading a command is documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Commands on strings.
    String,
    /// Commands on keys, whatever their values.
    Generic,
    /// Commands on the connection.
    Connection,
    /// Commands on the server.
    Server,
    /// Commands that open, end and guard transactions.
    Transactions,
}

impl Group {
    /// The word Redis has for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Generic => "generic",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Transactions => "transactions",
        }
    }
}

/// Flags of commands that read, write, or may make a value larger; and of those of them that take a short time.
pub(crate) const READS: Flags = Flags::READONLY;
pub(crate) const READS_FAST: Flags = READS.and(Flags::FAST);
pub(crate) const WRITES: Flags = Flags::WRITE;
pub(crate) const WRITES_FAST: Flags = WRITES.and(Flags::FAST);
pub(crate) const GROWS: Flags = WRITES.and(Flags::DENYOOM);
pub(crate) const GROWS_FAST: Flags = GROWS.and(Flags::FAST);
/// Of those that run at any time.
pub(crate) const ANYTIME: Flags = Flags::LOADING.and(Flags::STALE);

/// One command, or one subcommand (`object|encoding`).
#[derive(Clone, Copy, Debug)]
pub struct CommandSpec {
    /// In lower case; a subcommand's follows that of its container and `|`.
    pub name: &'static str,
    /// How many arguments it takes, its name included; at least so many if negative.
    pub arity: i32,
    /// What it is and when it may run.
    pub flags: Flags,
    /// Beyond those that follow from the flags.
    pub categories: Categories,
    /// Which arguments are keys.
    pub keys: KeyPositions,
    /// Number of the first key where its route is [`RouteKind::FirstKey`]; else 0.
    pub first_key: u16,
    /// How the keys are used.
    pub key_specs: &'static [KeySpec],
    /// Which shards it needs.
    pub route: RouteKind,
    /// Where it runs.
    pub action: Action,
    /// Whether it may stand in the log: its effect on one key follows from its arguments and that key's own
    /// state alone, without clock or chance.
    pub is_logged: bool,
    /// Whether it changes nothing but by removing keys: it goes on where there is no space for other writes.
    pub only_removes: bool,
    /// Whether its time depends on how much is stored, or how large a value is: it is timed by itself.
    pub is_heavy: bool,
    /// Hints for clients and proxies.
    pub tips: &'static [&'static str],
    /// Where it is documented.
    pub group: Group,
    /// The version of Redis that brought it.
    pub since: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// What it does.
    pub summary: &'static str,
}

impl Categories {
    /// The category of this name, without its `@`.
    pub fn named(name: &[u8]) -> Option<Self> {
        let has_name = |word: &str| word.as_bytes()[1..].eq_ignore_ascii_case(name);
        Self::WORDS
            .iter()
            .find(|(_, word)| has_name(word))
            .map(|(category, _)| *category)
    }
}

impl CommandSpec {
    /// A command without keys that runs on the connection.
    pub(crate) const fn connection(
        name: &'static str,
        arity: i32,
        flags: Flags,
        command: ConnectionCommand,
    ) -> Self {
        Self::new(name, arity, flags, Action::Connection(command))
    }

    /// A name that only groups its subcommands.
    pub(crate) const fn container(name: &'static str, group: Group) -> Self {
        Self::new(name, -2, Flags::NONE, Action::Container).in_group(group)
    }

    /// A command on one key.
    pub(crate) const fn on_key(
        name: &'static str,
        arity: i32,
        flags: Flags,
        run: OnShard,
        key_specs: &'static [KeySpec],
    ) -> Self {
        let spec = Self::new(name, arity, flags, Action::Shard(run));
        let mut spec = spec.with_keys(key_specs);
        spec.route = RouteKind::FirstKey;
        spec.first_key = spec.keys.range().0;
        spec
    }

    /// A command on several keys.
    pub(crate) const fn on_keys(
        name: &'static str,
        arity: i32,
        flags: Flags,
        run: OnShards,
        key_specs: &'static [KeySpec],
    ) -> Self {
        let mut spec = Self::new(name, arity, flags, Action::Shards(run));
        spec.route = RouteKind::AllKeys;
        spec.with_keys(key_specs)
    }

    /// A command on the store.
    pub(crate) const fn on_store(
        name: &'static str,
        arity: i32,
        flags: Flags,
        run: OnShards,
        route: RouteKind,
    ) -> Self {
        let mut spec = Self::new(name, arity, flags, Action::Shards(run));
        spec.route = route;
        spec.is_heavy = true;
        spec
    }

    /// Its time depends on the size of a value that is there.
    pub(crate) const fn heavy(mut self) -> Self {
        self.is_heavy = true;
        self
    }

    /// It may stand in the log, and is replayed from there.
    pub(crate) const fn logged(mut self) -> Self {
        self.is_logged = true;
        self
    }

    /// It changes nothing but by removing keys.
    pub(crate) const fn removing(mut self) -> Self {
        self.only_removes = true;
        self
    }

    const fn new(name: &'static str, arity: i32, flags: Flags, action: Action) -> Self {
        Self {
            name,
            arity,
            flags,
            categories: Categories::NONE,
            keys: KeyPositions::None,
            first_key: 0,
            key_specs: &[],
            route: RouteKind::None,
            action,
            is_logged: false,
            only_removes: false,
            is_heavy: false,
            tips: &[],
            group: Group::Generic,
            since: "1.0.0",
            complexity: "O(1)",
            summary: "",
        }
    }

    pub(crate) const fn with_keys(mut self, key_specs: &'static [KeySpec]) -> Self {
        self.keys = KeyPositions::new(key_specs);
        self.key_specs = key_specs;
        self
    }

    pub(crate) const fn in_group(mut self, group: Group) -> Self {
        self.group = group;
        self
    }

    /// It may do harm where it is called by mistake.
    pub(crate) const fn dangerous(self) -> Self {
        self.in_categories(Categories::DANGEROUS)
    }

    /// As it stands in the table, under the heading of its part.
    pub(crate) const fn under(mut self, group: Group, categories: Categories) -> Self {
        if matches!(self.group, Group::Generic) {
            self.group = group;
        }
        match self.action {
            Action::Container => self,
            Action::Shard(_) | Action::Shards(_) | Action::Connection(_) => {
                self.in_categories(categories)
            }
        }
    }

    pub(crate) const fn in_categories(mut self, categories: Categories) -> Self {
        self.categories = self.categories.and(categories);
        self
    }

    pub(crate) const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    pub(crate) const fn about(
        mut self,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Self {
        self.since = since;
        self.complexity = complexity;
        self.summary = summary;
        self
    }

    /// Whether it only groups subcommands, or has some beside being a command itself.
    #[inline]
    pub const fn has_subcommands(&self) -> bool {
        match self.action {
            Action::Container => true,
            Action::Connection(ConnectionCommand::Command) => !self.is_subcommand(),
            Action::Shard(_) | Action::Shards(_) | Action::Connection(_) => false,
        }
    }

    /// Whether it is a subcommand.
    pub const fn is_subcommand(&self) -> bool {
        let mut at = 0;
        while at < self.name.len() {
            if self.name.as_bytes()[at] == b'|' {
                return true;
            }
            at += 1;
        }
        false
    }

    /// The keys among the arguments whose entries it may make, or make larger.
    pub fn written_keys<'a>(&self, args: Args<'a>) -> impl Iterator<Item = &'a [u8]> {
        let grows = self.flags.contains(Flags::DENYOOM);
        let writes = move |key_spec: &&KeySpec| {
            let is = |word| key_spec.flags.contains(&word);
            is("OW") || grows && is("RW")
        };
        let key_specs = self.key_specs.iter().filter(writes);
        key_specs.flat_map(move |key_spec| key_spec.of(args))
    }

    /// Whether it takes this many arguments, its name included.
    #[inline]
    pub const fn accepts(&self, args: usize) -> bool {
        let least = self.arity.unsigned_abs() as usize;
        args == least || (self.arity < 0 && args > least)
    }

    /// Its flags, and what follows from its keys.
    pub const fn all_flags(&self) -> Flags {
        match self.keys.are_movable() {
            true => self.flags.and(Flags::MOVABLE_KEYS),
            false => self.flags,
        }
    }

    /// All categories it is in.
    pub const fn all_categories(&self) -> Categories {
        let mut all = self.categories;
        if self.flags.contains(Flags::WRITE) {
            all = all.and(Categories::WRITE);
        }
        if self.flags.contains(Flags::READONLY) {
            all = all.and(Categories::READ);
        }
        if self.flags.contains(Flags::ADMIN) {
            all = all.and(Categories::ADMIN).and(Categories::DANGEROUS);
        }
        if self.flags.contains(Flags::FAST) {
            all.and(Categories::FAST)
        } else {
            all.and(Categories::SLOW)
        }
    }
}
