//! `shardkeep import-rdb FILE DIR`.

use std::fs::File;
use std::io;
use std::time::Duration;

use crate::clock::{now, unix_millis};
use crate::config::ImportFlags;
use crate::say::say;

use super::import::{ImportError, Imported, import};
use super::progress::Line;

/// Imports what `flags` say; the line that says what was done, or an error that names the file.
/// Warnings go to standard error. Blocks for the disk.
pub(crate) fn run(flags: &ImportFlags) -> Result<String, String> {
    let ImportFlags { file, dir } = flags;
    let began = now();
    let not_imported = |why: &dyn std::fmt::Display| {
        format!(
            "{} was not imported, nothing was written: {why}",
            file.display()
        )
    };
    let (source, bytes) = open(file).map_err(|error| not_imported(&error))?;
    let mut line = Line::new(bytes);
    let imported = import(source, dir, unix_millis(), &mut |progress| {
        line.step(progress, now);
    });
    drop(line);
    let imported = imported.map_err(|error| match &error {
        ImportError::File(_) | ImportError::Refused(_) => not_imported(&error),
        ImportError::Store(error) => error.to_string(),
    })?;
    for warning in warnings(&imported) {
        say(&format!("warning: {warning}"));
    }
    let took = now().saturating_duration_since(began);
    Ok(report(&imported, &dir.to_string_lossy(), took))
}

/// The file, and how long it is if it is a regular one.
fn open(path: &std::path::Path) -> io::Result<(File, Option<u64>)> {
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
            ..Imported::default()
        };
        let warnings = warnings(&doubtful);
        for (warning, begins) in warnings.iter().zip([
            "the file has no checksum",
            "the file is the base",
            "2 scripts",
        ]) {
            assert!(warning.starts_with(begins), "{warning}");
        }
        assert_eq!(warnings.len(), 3);
    }
}
