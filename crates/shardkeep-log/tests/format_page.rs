//! The worked example of the README is what the program writes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::{env, fs, io, process};

use shardkeep_log::{
    BootId, Compression, Directory, DirectoryFile, Displaced, Options, Recovery, Storage, StoreId,
};

const README: &str = include_str!("../README.md");

/// Bytes of a line.
const LINE_BYTES: usize = 16;

fn dump(bytes: &[u8]) -> String {
    let mut dump = String::new();
    for (number, line) in bytes.chunks(LINE_BYTES).enumerate() {
        let mut hex = String::new();
        for (index, byte) in line.iter().enumerate() {
            let gap = if index == 8 { "  " } else { " " };
            write!(hex, "{gap}{byte:02x}").unwrap();
        }
        let text: String = line
            .iter()
            .map(|byte| {
                if byte.is_ascii_graphic() {
                    char::from(*byte)
                } else {
                    '.'
                }
            })
            .collect();
        writeln!(dump, "{:04x} {hex:<50}  {text}", number * LINE_BYTES).unwrap();
    }
    dump
}

/// The directory, in a boot that is always the same.
struct InOneBoot(Directory);

impl Storage for InOneBoot {
    type File = DirectoryFile;

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn create_new(&self, name: &str) -> io::Result<DirectoryFile> {
        self.0.create_new(name)
    }

    fn open(&self, name: &str) -> io::Result<DirectoryFile> {
        Storage::open(&self.0, name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.0.sync_directory()
    }

    fn look(&self, name: &str, file: &DirectoryFile) -> Result<u64, Displaced> {
        self.0.look(name, file)
    }

    fn boot(&self) -> Option<BootId> {
        Some(BootId::new(*b"ABCDEFGHIJKLMNOP"))
    }
}

#[test]
fn the_example_of_the_readme_is_what_is_written() {
    let path = env::temp_dir().join(format!("shardkeep-log-page-{}", process::id()));
    let directory = Arc::new(InOneBoot(Directory::create(&path).unwrap()));
    let options = Options {
        create: Some(StoreId::new(*b"0123456789abcdef")),
        ahead_bytes: 0,
        // A part of the default size would fill the page.
        part_bytes: 7,
        content: Some("words".to_owned()),
        ..Options::new()
    };
    let (mut log, _) = Recovery::open(directory, options)
        .unwrap()
        .into_log()
        .unwrap();
    for payload in ["SET k v", "APPEND k w"] {
        log.append(payload.as_bytes()).unwrap();
        log.write().unwrap();
        log.sync().unwrap();
    }
    let cut = log.append_cut().unwrap();
    log.write().unwrap();
    log.sync().unwrap();
    log.mark().unwrap();
    let mut snapshot = log.snapshot_at(cut, Compression::None).unwrap();
    snapshot.frame(b"k=vw").unwrap();
    let finished = snapshot.finish(1, cut).unwrap();
    log.adopt(finished, log.synced()).unwrap();
    let mut page = String::new();
    let mut names: Vec<_> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    for file in names {
        let content = fs::read(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if !content.is_empty() {
            writeln!(page, "{name}\n{}", dump(&content)).unwrap();
        }
    }
    drop(log);
    fs::remove_dir_all(&path).unwrap();
    let page = format!("```text\n{}\n```", page.trim_end());
    assert!(README.contains(&page), "the README should say:\n{page}");
}
