//! The names of a store's files.
//!
//! 1. No two files of one store can have the same name, and no name of a store means two things.

use crate::format::Lsn;

/// The name of the manifest.
pub const MANIFEST: &str = "manifest";

/// The name under which a manifest is written before it replaces the other.
pub const MANIFEST_TEMPORARY: &str = "manifest.tmp";

/// The name of the lock file, which holds nothing.
pub const LOCK: &str = "lock";

/// The name of the file that keeps room for a full disk. What is in it means nothing.
pub const RESERVE: &str = "reserve.skr";

/// The name of the segment that begins with `first`.
#[must_use]
pub fn segment_name(first: Lsn) -> String {
    format!("log-{:020}.skl", first.get())
}

/// The name of the snapshot at `lsn`.
#[must_use]
pub fn snapshot_name(lsn: Lsn) -> String {
    format!("snapshot-{:020}.sks", lsn.get())
}

/// The name of the snapshot at `lsn` while it is being written.
#[must_use]
pub fn snapshot_temporary_name(lsn: Lsn) -> String {
    format!("snapshot-{:020}.sks.tmp", lsn.get())
}

/// The name under which the `number`th torn tail of the segment that begins with `first` is laid aside.
#[must_use]
pub fn torn_name(first: Lsn, number: u64) -> String {
    format!("log-{:020}.skl.torn-{number}", first.get())
}

/// The name of the segment that begins with `first`, or a part of it, while it is being written.
#[must_use]
pub(crate) fn segment_temporary_name(first: Lsn) -> String {
    format!("log-{:020}.skl.tmp", first.get())
}

/// What a name in the store's directory means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// The manifest.
    Manifest,
    /// The segment that begins with this record.
    Segment(Lsn),
    /// The snapshot at this record.
    Snapshot(Lsn),
    /// Room kept for a full disk.
    Reserve,
    /// Something that was being written, and is worth nothing without the rest.
    Temporary,
    /// What a repair has laid aside.
    Damaged,
    /// A torn tail that an opening has laid aside.
    Torn,
    /// Not of the store.
    Foreign,
}

impl Name {
    /// What `name` means.
    #[must_use]
    pub fn of(name: &str) -> Self {
        if name == MANIFEST {
            return Self::Manifest;
        }
        if name == RESERVE {
            return Self::Reserve;
        }
        let ours = name
            .split('.')
            .next()
            .map(|stem| (stem, &name[stem.len()..]));
        let Some((stem, ending)) = ours else {
            return Self::Foreign;
        };
        let numbered = |prefix| stem.strip_prefix(prefix).and_then(number);
        let (segment, snapshot) = (numbered("log-"), numbered("snapshot-"));
        match (segment, snapshot, ending) {
            (Some(lsn), _, ".skl") => Self::Segment(lsn),
            (_, Some(lsn), ".sks") => Self::Snapshot(lsn),
            (Some(_), _, ".skl.tmp") | (_, Some(_), ".sks.tmp") => Self::Temporary,
            (Some(_), _, ending) if ending.starts_with(".skl.damaged-") => Self::Damaged,
            (_, Some(_), ending) if ending.starts_with(".sks.damaged-") => Self::Damaged,
            (Some(_), _, ending) if ending.starts_with(".skl.torn-") => Self::Torn,
            (None, None, ".tmp") if stem == MANIFEST => Self::Temporary,
            (None, None, ending) if stem == MANIFEST && ending.starts_with(".damaged-") => {
                Self::Damaged
            }
            _ => Self::Foreign,
        }
    }
}

fn number(digits: &str) -> Option<Lsn> {
    let is_number = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number
        .then(|| digits.parse().ok().map(Lsn::new))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_they_mean() {
        let cases = [
            ("manifest", Name::Manifest),
            ("manifest.tmp", Name::Temporary),
            ("manifest.damaged-1", Name::Damaged),
            ("log-00000000000000000001.skl", Name::Segment(Lsn::new(1))),
            ("log-00000000000000000001.skl.tmp", Name::Temporary),
            ("log-00000000000000000001.skl.damaged-12", Name::Damaged),
            ("log-00000000000000000001.skl.torn-2", Name::Torn),
            ("log-1.skl", Name::Foreign),
            ("log-0000000000000000000x.skl", Name::Foreign),
            ("log-99999999999999999999.skl", Name::Foreign),
            (
                "snapshot-00000000000000000000.sks",
                Name::Snapshot(Lsn::new(0)),
            ),
            ("snapshot-00000000000000000009.sks.tmp", Name::Temporary),
            ("snapshot-00000000000000000009.skl", Name::Foreign),
            ("reserve.skr", Name::Reserve),
            ("reserve.skr.tmp", Name::Foreign),
            ("lock", Name::Foreign),
            ("lost+found", Name::Foreign),
            ("", Name::Foreign),
        ];
        for (name, meaning) in cases {
            assert_eq!(Name::of(name), meaning, "{name}");
        }
        assert_eq!(
            Name::of(&segment_name(Lsn::new(7))),
            Name::Segment(Lsn::new(7))
        );
        assert_eq!(
            Name::of(&snapshot_name(Lsn::new(7))),
            Name::Snapshot(Lsn::new(7))
        );
        assert_eq!(
            Name::of(&snapshot_temporary_name(Lsn::new(7))),
            Name::Temporary
        );
    }
}
