//! The program: from the command line to the exit code.
//!
//! Joins the configuration, the server and the signals; knows nothing about any of them but when
//! each has its turn. Standard output carries what was asked for (`--help`, `--print-config`),
//! standard error the rest, a line each.
//!
//! 1. Signals are taken over before the server starts, so none is missed.
//! 2. The server is drained on every way out but the second signal.
//! 3. Every end has its own exit code.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::Parser as _;

use crate::config::{Cli, Command, Machine, Outside, Resolved, ServeFlags, Settings};
use crate::rlimit;
use crate::say::say;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Did what was asked.
    Clean,
    /// Could not start, or could not go on.
    Fatal,
    /// The command line was not understood.
    Usage,
    /// The configuration was refused: EX_CONFIG of sysexits.h.
    BadConfiguration,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Fatal => 1,
            Self::Usage => 2,
            Self::BadConfiguration => 78,
        }
    }
}

/// Runs the program `shardkeep` on the arguments and environment of this process.
///
/// Blocks until the server has stopped: after the first SIGTERM or SIGINT, a SHUTDOWN command or a
/// failure it drains, at most for the drain timeout. The second signal ends the process from
/// another thread, with code 3. A program calls this once, as all of its `main`:
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     shardkeep_server::cli::main()
/// }
/// ```
///
/// The exit code is 0 for a clean end, 1 for a fatal error, 2 for wrong usage, 3 for a drain that
/// was cut short and 78 for a configuration that is refused; whatever is wrong is said on standard
/// error.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os(), &Machine, &mut io::stdout()).code())
}

fn run(
    arguments: impl IntoIterator<Item = OsString>,
    outside: &dyn Outside,
    output: &mut dyn io::Write,
) -> Exit {
    match Cli::try_parse_from(arguments) {
        Ok(cli) => match cli.command {
            Command::Serve(flags) => serve(&flags, outside, output),
        },
        Err(error) if error.use_stderr() => {
            say(error.render().to_string().trim_end());
            Exit::Usage
        }
        // Help and version are no errors.
        Err(answer) => print(&answer.render().to_string(), output),
    }
}

fn serve(flags: &ServeFlags, outside: &dyn Outside, output: &mut dyn io::Write) -> Exit {
    let resolved = match Resolved::new(flags, outside) {
        Ok(resolved) => resolved,
        Err(error) => {
            say(&format!("error: {error}"));
            return Exit::BadConfiguration;
        }
    };
    for warning in &resolved.warnings {
        say(&format!("warning: {warning}"));
    }
    if flags.print_config {
        print(&resolved.to_toml(), output)
    } else if flags.check_config {
        print("configuration is valid\n", output)
    } else {
        match start(&resolved.settings()) {
            Ok(exit) => exit,
            Err(error) => {
                say(&format!("error: {error}"));
                Exit::Fatal
            }
        }
    }
}

/// The server itself is not part of this build yet.
fn start(settings: &Settings) -> Result<Exit, Box<dyn std::error::Error>> {
    rlimit::raise_open_files(rlimit::needed_for(settings))?;
    Err("this build can check its configuration, but not serve yet".into())
}

/// What was asked for, on standard output. A reader that has gone is none of our business.
fn print(text: &str, output: &mut dyn io::Write) -> Exit {
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Ok(()) => Exit::Clean,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Clean,
        Err(error) => {
            say(&format!("error: cannot write to standard output: {error}"));
            Exit::Fatal
        }
    }
}
