//! `shardkeep import-rdb FILE DIR`.
//!
//! 1. A signal ends it, with nothing left behind; the second one at once.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded, select};
use shardkeep::engine::CancelToken;
use shardkeep::engine::fail_fast::{Failure, fail_fast};

use shardkeep_data::keyspace::DATABASES_DEFAULT;

use crate::clock::{now, unix_millis};
use crate::config::ImportFlags;
use crate::say::say;
use crate::signals::{Signal, SignalWatch};

use super::import::{ImportError, Imported, import};
use super::progress::Line;
use super::source::Source;

/// Imports what `flags` say; the line that says what was done, or an error that names the file.
/// Warnings go to standard error. Blocks for the disk. The second signal calls `exit`; what is not finished
/// then is refused by name the next time.
pub(crate) fn run(flags: &ImportFlags, exit: impl Fn() + Send + 'static) -> Result<String, String> {
    let ImportFlags { file, dir } = flags;
    let began = now();
    let not_imported = |why: &dyn std::fmt::Display| {
        format!(
            "{} was not imported, nothing was written: {why}",
            file.display()
        )
    };
    let (source, bytes) = open(file).map_err(|error| not_imported(&error))?;
    let signals = SignalWatch::start(exit).map_err(|error| not_imported(&error))?;
    let imported =
        import_until(signals.first(), source, bytes, dir).map_err(|error| match &error {
            Failure::Failed {
                error: ImportError::Store(error),
                ..
            } => error.to_string(),
            Failure::Failed { error, .. } => not_imported(error),
            Failure::Panicked { .. } | Failure::NotStarted { .. } => not_imported(&error),
        })?;
    for warning in warnings(&imported) {
        say(&format!("warning: {warning}"));
    }
    let took = now().saturating_duration_since(began);
    Ok(report(&imported, &dir.to_string_lossy(), took))
}

/// Imports on a thread of its own, and gives that up at the first signal.
fn import_until(
    signals: &Receiver<Signal>,
    source: File,
    bytes: Option<u64>,
    dir: &Path,
) -> Result<Imported, Failure<ImportError>> {
    let mut imported = Imported::default();
    let place = &mut imported;
    fail_fast(&CancelToken::new(), |group| {
        let (end, ended) = bounded::<()>(0);
        group.spawn("shardkeep-import", move |cancel| {
            let _end = end;
            let mut line = Line::new(bytes);
            let source = Source::new(source, cancel);
            *place = import(source, dir, unix_millis(), cancel, &mut |progress| {
                line.step(progress, now);
            })?;
            Ok(())
        });
        wait(signals, &ended, group.token());
        Ok(())
    })?;
    Ok(imported)
}

/// Until the import has `ended`, or was cancelled by a signal.
#[expect(
    clippy::disallowed_methods,
    reason = "blocking point B62: a signal, or the end of the import"
)]
fn wait(signals: &Receiver<Signal>, ended: &Receiver<()>, token: &CancelToken) {
    select! {
        recv(signals) -> signal => {
            if let Ok(signal) = signal {
                say(&format!("stopping: {}", signal.name()));
            }
            token.cancel();
        }
        recv(ended) -> _ => {}
    }
}

/// The file, and how long it is if it is a regular one.
fn open(path: &Path) -> io::Result<(File, Option<u64>)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok((file, bytes))
}

fn warnings(imported: &Imported) -> Vec<String> {
    let mut warnings = Vec::new();
    if !imported.is_verified {
        let text = "the file has no checksum (rdbchecksum no): damage in it is not noticed";
        warnings.push(text.to_owned());
    }
    if imported.is_base {
        let text = "the file is the base of an append-only file: what Redis has appended since is \
                    in other files, and was not imported";
        warnings.push(text.to_owned());
    }
    if imported.databases > DATABASES_DEFAULT {
        warnings.push(format!(
            "the file has keys in database {}: start the server with --databases {} or more",
            imported.databases - 1,
            imported.databases
        ));
    }
    if imported.scripts > 0 {
        warnings.push(format!(
            "{} scripts of Redis' cache (SCRIPT LOAD) were not imported",
            imported.scripts
        ));
    }
    warnings
}

fn report(imported: &Imported, place: &str, took: Duration) -> String {
    let Imported {
        version,
        keys,
        expiring,
        expired,
        data_bytes,
        disk_bytes,
        ..
    } = imported;
    format!(
        "imported keys={keys} expiring={expiring} expired={expired} data_bytes={data_bytes} \
         disk_bytes={disk_bytes} rdb_version={version} took={:.3}s into {place}\n",
        took.as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_one_line_of_names_and_numbers() {
        let imported = Imported {
            version: 10,
            keys: 3,
            expiring: 2,
            expired: 1,
            data_bytes: 96,
            disk_bytes: 288,
            ..Imported::default()
        };
        let expected = "imported keys=3 expiring=2 expired=1 data_bytes=96 disk_bytes=288 \
                        rdb_version=10 took=1.500s into store\n";
        let took = Duration::from_millis(1_500);
        assert_eq!(report(&imported, "store", took), expected);
    }

    #[test]
    fn what_nobody_would_notice_is_a_warning() {
        let sound = Imported {
            is_verified: true,
            ..Imported::default()
        };
        assert_eq!(warnings(&sound), [""; 0]);
        let doubtful = Imported {
            is_base: true,
            scripts: 2,
            databases: 17,
            ..Imported::default()
        };
        let warnings = warnings(&doubtful);
        for (warning, begins) in warnings.iter().zip([
            "the file has no checksum",
            "the file is the base",
            "the file has keys in database 16: start the server with --databases 17",
            "2 scripts",
        ]) {
            assert!(warning.starts_with(begins), "{warning}");
        }
        assert_eq!(warnings.len(), 4);
    }
}
