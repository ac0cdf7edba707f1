//! The command line: what `--help` teaches.
//!
//! Takes every value as text; what it means, and whether it is allowed, is decided in one place for
//! flags, environment and file. So a bad value is a bad configuration wherever it stands, and only
//! an unknown or repeated flag is a usage error.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand};

use super::origin::{Given, Origin};
use super::table::{SETTINGS, Setting};

const AFTER_HELP: &str = "\
Exit codes: 0 clean, 1 fatal, 2 usage, 3 drain cut short, 78 bad configuration.";

const AFTER_SERVE_HELP: &str = "\
Every setting can be given in three places, of which the first wins:
  a flag                      --max-clients 500
  the environment             SHARDKEEP_MAX_CLIENTS=500
  the file named by --config  max_clients = 500
Then come the defaults. Sizes are bytes or 512mb, 2gb; durations are 500ms, 1s, 2m or plain seconds.

When the server serves it says `ready: listening on ADDR:PORT` on standard error, one line for each
address. With --dir it accepts connections before, and answers -LOADING while it reads the directory. SIGTERM or SIGINT drains it: no new connections, what was read is answered,
then it exits. A second signal ends it at once.

Exit codes: 0 clean, 1 fatal, 2 usage, 3 drain cut short, 78 bad configuration.

Examples:
  shardkeep serve
  shardkeep serve --bind 127.0.0.1:0 --max-memory 512mb
  shardkeep serve --bind 0.0.0.0:6379 --password-file shardkeep.password
  shardkeep serve --dir data --sync always
  shardkeep serve --config shardkeep.toml --print-config";

const AFTER_IMPORT_HELP: &str = "\
Reads a file that Redis has written with SAVE or BGSAVE (dump.rdb), versions 9 to 11, which is Redis
5.0 to 7.2. Strings are imported with their expiry; keys that have expired already are counted, and
vanish when the store is opened.

Nothing is dropped silently: if the file has a value of another type, keys in another database than
0, functions or modules' data, each is named (the first 20, the rest is counted) and nothing is
imported. A file that is damaged or not whole is refused, by its checksum or the place of the damage.

DIR gets its name only when all is imported and durable. Until then the store is in DIR.unfinished;
what an interrupted import leaves there can be removed.

When done it prints one line on standard output:
  imported keys=3 expiring=1 expired=0 data_bytes=96 disk_bytes=288 rdb_version=10 took=... into DIR

Exit codes: 0 imported, 1 not imported, 2 usage.

Examples:
  redis-cli SAVE
  shardkeep import-rdb /var/lib/redis/dump.rdb store";

/// An in-memory key-value store that every Redis client can talk to.
#[derive(Debug, Parser)]
#[command(
    name = "shardkeep",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = AFTER_HELP
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server until it is told to stop.
    #[command(allow_negative_numbers = true, after_long_help = AFTER_SERVE_HELP)]
    Serve(Box<ServeFlags>),

    /// Make a new store from a file that Redis has saved (RDB).
    #[command(after_long_help = AFTER_IMPORT_HELP)]
    ImportRdb(ImportFlags),

    /// Look at the directory of a server that does not run: what is there, and whether it opens.
    ///
    /// Reads all of it and writes nothing. Exit code 0: it opens; 1: it does not, or cannot be read.
    Check(AtDirectory),

    /// Make the directory of a server that does not run open again, by giving up what is damaged.
    ///
    /// Says what is lost, and keeps every file that it gives up beside the others, under another name.
    /// Does nothing where all is sound. `shardkeep check` tells before what there is to repair.
    Repair(AtDirectory),
}

/// The arguments of `import-rdb`.
#[derive(Debug, Args)]
pub(crate) struct ImportFlags {
    /// The file that Redis has saved.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Where the new store is to be: nothing may be there, or an empty directory.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// The directory to look at, or to repair.
#[derive(Debug, Args)]
pub(crate) struct AtDirectory {
    /// What was given to `serve --dir`.
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// The flags of `serve`: one for each row of the table, and three more.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServeFlags {
    /// The settings among them, as they were written.
    pub(super) given: Vec<Given>,
    pub(super) config: Option<String>,
    pub(crate) check_config: bool,
    pub(crate) print_config: bool,
}

/// The flags that are no settings.
const CONFIG: &str = "config";
const CHECK_CONFIG: &str = "check_config";
const PRINT_CONFIG: &str = "print_config";

impl Args for ServeFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        command
            .args(SETTINGS.iter().map(flag_of))
            .arg(
                Arg::new(CONFIG)
                    .long("config")
                    .value_name("FILE")
                    .help("Read settings from this TOML file (also SHARDKEEP_CONFIG)"),
            )
            .arg(
                Arg::new(CHECK_CONFIG)
                    .long("check-config")
                    .action(ArgAction::SetTrue)
                    .conflicts_with(PRINT_CONFIG)
                    .help("Check the configuration, say so, and exit"),
            )
            .arg(
                Arg::new(PRINT_CONFIG)
                    .long("print-config")
                    .action(ArgAction::SetTrue)
                    .help("Print the settings in force as TOML, each with where it came from, and exit"),
            )
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServeFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = SETTINGS.iter().filter_map(|setting| {
            let texts = matches.get_many::<String>(setting.name)?;
            Some(flag(setting.name, texts.cloned().collect()))
        });
        Ok(Self {
            given: given.collect(),
            config: matches.get_one::<String>(CONFIG).cloned(),
            check_config: matches.get_flag(CHECK_CONFIG),
            print_config: matches.get_flag(PRINT_CONFIG),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The flag of a row: `-h` has its sentence and default, `--help` the rest too.
fn flag_of(setting: &Setting) -> Arg {
    let short = format!("{} [default: {}]", setting.help, setting.default_shown());
    let flag = Arg::new(setting.name)
        .long(setting.name.replace('_', "-"))
        .value_name(setting.value)
        .action(match setting.takes_many() {
            true => ArgAction::Append,
            false => ArgAction::Set,
        });
    match setting.more {
        "" => flag.help(short),
        more => flag.long_help(format!("{short}\n\n{more}")).help(short),
    }
}

/// The configuration file that a flag names.
pub(super) fn config_given(path: &str) -> Given {
    flag(CONFIG, vec![path.to_owned()])
}

fn flag(key: &str, texts: Vec<String>) -> Given {
    Given {
        key: key.to_owned(),
        texts,
        origin: Origin::Flag(key.replace('_', "-")),
    }
}
