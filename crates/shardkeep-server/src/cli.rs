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
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser as _;
use crossbeam_channel::{Receiver, never, select};
use shardkeep::durable::{self, Directory};
use shardkeep::engine::fail_point;

use crate::config::{Cli, Command, ImportFlags, Machine, Outside, Resolved, ServeFlags};
use crate::notify::{self, Notifier, State};
use crate::operator::{self, OperatorWatch};
use crate::panicking::say_panics;
use crate::rdb;
use crate::rlimit;
use crate::say::{self, say};
use crate::server::{HALF_ALIVE_CAP, Server, ShutdownCause};
use crate::signals::{self, Signal, SignalWatch};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Did what was asked.
    Clean,
    /// Could not start, or could not go on.
    Fatal,
    /// The command line was not understood.
    Usage,
    /// Stopped before everything that was admitted was done.
    CutShort,
    /// The configuration was refused: EX_CONFIG of sysexits.h.
    BadConfiguration,
}

impl Exit {
    fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Fatal => 1,
            Self::Usage => 2,
            Self::CutShort => 3,
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
/// error, panics too: it replaces the panic hook of the process.
#[must_use]
pub fn main() -> ExitCode {
    say_panics();
    signals::outlive_size_limit();
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
            Command::ImportRdb(flags) => import_rdb(&flags, output),
            Command::Check(at) => answer(check(&at.dir), output),
            Command::Repair(at) => answer(repair(&at.dir), output),
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
        match start(resolved, flags.clone()) {
            Ok(exit) => exit,
            Err(error) => {
                say(&format!("error: {error}"));
                Exit::Fatal
            }
        }
    }
}

fn import_rdb(flags: &ImportFlags, output: &mut dyn io::Write) -> Exit {
    match rdb::run(flags, exit_at_once) {
        Ok(report) => print(&report, output),
        Err(error) => {
            say(&format!("error: {error}"));
            Exit::Fatal
        }
    }
}

/// What is in a directory, and whether it opens.
fn check(path: &Path) -> Result<(String, Exit), Box<dyn std::error::Error>> {
    let report = durable::check(&Arc::new(Directory::inspect(path)?))?;
    let exit = if report.is_sound() {
        Exit::Clean
    } else {
        Exit::Fatal
    };
    Ok((report.to_string(), exit))
}

fn repair(path: &Path) -> Result<(String, Exit), Box<dyn std::error::Error>> {
    let repaired = durable::repair(&Arc::new(Directory::open(path)?))?;
    Ok((repaired.to_string(), Exit::Clean))
}

fn answer(
    answer: Result<(String, Exit), Box<dyn std::error::Error>>,
    output: &mut dyn io::Write,
) -> Exit {
    match answer {
        Ok((text, exit)) => match print(&format!("{text}\n"), output) {
            Exit::Clean => exit,
            failed => failed,
        },
        Err(error) => {
            say(&format!("error: {error}"));
            Exit::Fatal
        }
    }
}

/// From the start of the server to its end.
fn start(resolved: Resolved, flags: ServeFlags) -> Result<Exit, Box<dyn std::error::Error>> {
    let mut settings = resolved.settings();
    say::set_format(settings.log_format);
    if let Some(warning) = rlimit::fit(&mut settings)? {
        say(&format!("warning: {warning}"));
    }
    let for_operator = operator::take_over()?;
    let signals = SignalWatch::start(exit_at_once)?;
    let (drain_timeout, pre_stop_delay) = (settings.drain_timeout, settings.pre_stop_delay);
    let dir = settings.dir.clone();
    let server = Server::start(settings)?;
    if let Some(file) = &resolved.file {
        server.note_config_file(file);
    }
    if let Some(address) = server.admin_address() {
        say(&format!("admin: http://{address}/"));
    }
    if let Some(dir) = dir {
        let (dir, addresses) = (dir.display(), server.addresses().join(" "));
        say(&format!("loading: {dir}; accepting on {addresses}"));
    }
    let notifier = manager().map(|notifier| server.keep_alive(notifier));
    let notify = |state| {
        if let Some(notifier) = notifier {
            notifier.tell(state);
        }
    };
    let ready = || {
        notify(State::Ready);
        for address in server.addresses() {
            say(&format!("ready: listening on {address}"));
        }
    };
    let operator = OperatorWatch::start(for_operator, server.operator(), resolved, flags)?;
    let mut end = wait(
        signals.first(),
        &server.shutdown_requests(),
        &server.ready(),
        ready,
    );
    say(&end.to_string());
    notify(State::Stopping);
    if matches!(end, End::Signal(_)) {
        server.announce_stop();
        if !pre_stop_delay.is_zero() {
            // Ends with the delay, or when the server itself asks; a second signal ends everything.
            #[expect(
                clippy::disallowed_methods,
                reason = "blocking point B43: the pre-stop delay"
            )]
            let asked = server.shutdown_requests().recv_timeout(pre_stop_delay);
            end = end.or(asked.ok());
        }
    }
    let requests = server.shutdown_requests();
    let report = server.drain(end.cap(drain_timeout));
    drop(operator);
    // A thread may have died in the drain.
    let end = requests
        .try_iter()
        .fold(end, |end, cause| end.or(Some(cause)));
    let gravity = if report.is_clean() { "" } else { "error: " };
    say(&format!("{gravity}{report}"));
    Ok(end.exit(report.is_clean()))
}

/// Without unwinding, flushing or writing: nothing may keep the second signal waiting.
fn exit_at_once() {
    signal_hook::low_level::exit(i32::from(Exit::CutShort.code()))
}

/// The service manager, if there is one that wants to be told.
fn manager() -> Option<Notifier> {
    let address = std::env::var_os(notify::SOCKET_VARIABLE)?;
    match Notifier::new(&address) {
        Ok(notifier) => Some(notifier),
        Err(error) => {
            say(&format!(
                "warning: the service manager cannot be told: {error}"
            ));
            None
        }
    }
}

/// Why the server stops.
#[derive(Debug)]
enum End {
    Signal(Signal),
    Asked(ShutdownCause),
    /// A thread that this one waits for has died.
    Abandoned,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signal(signal) => write!(f, "stopping: {}", signal.name()),
            Self::Asked(cause) if cause.is_fatal() => write!(f, "error: stopping: {cause}"),
            Self::Asked(cause) => write!(f, "stopping: {cause}"),
            Self::Abandoned => f.write_str("error: stopping: a thread of the server has died"),
        }
    }
}

impl End {
    /// What it is when the server asks as well, which is said if it changes anything: a failure.
    fn or(self, asked: Option<ShutdownCause>) -> Self {
        match asked.filter(ShutdownCause::is_fatal) {
            Some(cause) => {
                let end = Self::Asked(cause);
                say(&end.to_string());
                end
            }
            None => self,
        }
    }

    /// How long the drain may take.
    fn cap(&self, drain_timeout: Duration) -> Duration {
        match self {
            Self::Asked(ShutdownCause::ThreadDied { .. }) | Self::Abandoned => {
                drain_timeout.min(HALF_ALIVE_CAP)
            }
            Self::Signal(_) | Self::Asked(_) => drain_timeout,
        }
    }

    fn exit(&self, drained_clean: bool) -> Exit {
        let fatal = match self {
            Self::Signal(_) => false,
            Self::Asked(cause) => cause.is_fatal(),
            Self::Abandoned => true,
        };
        match (fatal, drained_clean) {
            (true, _) => Exit::Fatal,
            (false, true) => Exit::Clean,
            (false, false) => Exit::CutShort,
        }
    }
}

/// Waits as long as the server runs: until the first signal, or until the server itself asks. Calls
/// `on_ready` when the server is `ready`, once.
#[expect(
    clippy::disallowed_methods,
    reason = "blocking point B44: a signal, or the server"
)]
fn wait(
    signals: &Receiver<Signal>,
    requests: &Receiver<ShutdownCause>,
    ready: &Receiver<()>,
    on_ready: impl FnOnce(),
) -> End {
    let mut on_ready = Some(on_ready);
    let mut ready = ready.clone();
    loop {
        select! {
            recv(signals) -> signal => return signal.map_or(End::Abandoned, End::Signal),
            recv(requests) -> cause => return cause.map_or(End::Abandoned, End::Asked),
            recv(ready) -> said => {
                if let (Ok(()), Some(on_ready)) = (said, on_ready.take()) {
                    on_ready();
                }
                ready = never();
                fail_point::hit("root.wait");
            }
        }
    }
}

/// What was asked for, on standard output. A reader that has gone is none of our business.
#[expect(
    clippy::disallowed_methods,
    reason = "blocking point B45: the reader of the output"
)]
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

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may wait")]
mod tests {
    use super::*;
    use crate::config::Contents;
    use crossbeam_channel::bounded;

    /// A machine without variables and files.
    struct Bare;

    impl Outside for Bare {
        fn variables(&self, _prefix: &str) -> Vec<(String, String)> {
            Vec::new()
        }

        fn read(&self, _path: &Path, _bytes_max: usize) -> io::Result<Contents> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    fn outcome(line: &str) -> (u8, String) {
        let mut output = Vec::new();
        let arguments = line.split_whitespace().map(OsString::from);
        let exit = run(arguments, &Bare, &mut output);
        (exit.code(), String::from_utf8(output).unwrap())
    }

    #[test]
    fn every_way_to_ask_wrongly_has_its_code_and_prints_nothing() {
        let cases = [
            ("shardkeep", 2),
            ("shardkeep dance", 2),
            ("shardkeep serve --no-such-flag", 2),
            ("shardkeep serve --shards", 2),
            ("shardkeep serve --shards 1 --shards 2", 2),
            ("shardkeep serve --print-config --check-config", 2),
            ("shardkeep check", 2),
            ("shardkeep check a b", 2),
            ("shardkeep check /nonexistent/directory", 1),
            ("shardkeep repair /nonexistent/directory", 1),
            ("shardkeep serve --shards 0", 78),
            ("shardkeep serve --shards 0 --check-config", 78),
            ("shardkeep serve --bind 0.0.0.0:0 --print-config", 78),
            ("shardkeep serve --config gone", 78),
            ("shardkeep import-rdb", 2),
            ("shardkeep import-rdb dump.rdb", 2),
            ("shardkeep import-rdb no-such-file no-such-directory", 1),
        ];
        for (line, code) in cases {
            assert_eq!(outcome(line), (code, String::new()), "{line}");
        }
    }

    #[test]
    fn what_is_asked_for_is_printed() {
        let cases = [
            (
                "shardkeep --version",
                concat!("shardkeep ", env!("CARGO_PKG_VERSION"), "\n"),
            ),
            ("shardkeep --help", "An in-memory key-value store"),
            ("shardkeep serve --help", "Run the server"),
            ("shardkeep import-rdb --help", "Make a new store"),
            ("shardkeep check --help", "Look at the directory"),
            ("shardkeep repair --help", "Make the directory"),
            ("shardkeep serve --check-config", "configuration is valid\n"),
            (
                "shardkeep serve --print-config",
                "bind = [\"127.0.0.1:6379\"]",
            ),
        ];
        for (line, begins) in cases {
            let (code, output) = outcome(line);
            assert_eq!(code, 0, "{line}");
            assert!(output.starts_with(begins), "{line}: {output}");
        }
    }

    #[test]
    fn a_dead_thread_ends_the_wait_as_fatal() {
        let (signals, first) = bounded(1);
        let (_requests, requested) = bounded(1);
        drop(signals);
        let end = wait(&first, &requested, &never(), || {});
        assert!(matches!(end, End::Abandoned));
        assert_eq!(end.exit(true), Exit::Fatal);
    }

    #[test]
    fn a_thread_that_dies_after_the_signal_makes_the_end_fatal_and_a_command_does_not() {
        let signal = || End::Signal(Signal::Terminate);
        let end = signal().or(Some(ShutdownCause::Command));
        assert_eq!(end.exit(true), Exit::Clean);
        assert_eq!(signal().or(None).exit(true), Exit::Clean);
        let died = ShutdownCause::ThreadDied {
            name: "shardkeep-keeper".to_owned(),
            why: "it panicked".to_owned(),
        };
        let end = signal().or(Some(died));
        assert_eq!(
            end.to_string(),
            "error: stopping: thread shardkeep-keeper has ended: it panicked"
        );
        assert_eq!(end.exit(true), Exit::Fatal);
        assert_eq!(end.cap(Duration::from_secs(25)), HALF_ALIVE_CAP);
    }

    #[test]
    fn a_signal_ends_cleanly_if_the_drain_was_clean() {
        let (signals, first) = bounded(1);
        let (_requests, requested) = bounded(1);
        signals.send(Signal::Terminate).unwrap();
        let end = wait(&first, &requested, &never(), || {});
        assert_eq!(end.to_string(), "stopping: SIGTERM");
        assert_eq!(end.exit(true), Exit::Clean);
        assert_eq!(end.exit(false), Exit::CutShort);
    }
}
