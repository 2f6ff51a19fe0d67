//! Prints a small store of today's format as text, as `tests/stores/format-N/store.txt` has it.
//!
//! There is no binary in the repository, so a file is a line `file PATH LENGTH`, then lines with an offset in decimal and
//! bytes in hex. What no line has is zero.
//!
//! To be run once for each format that is released, by the version that is released with it:
//! `cargo run -p schedule --example write_store > schedule/tests/stores/format-1/store.txt`

#![expect(clippy::print_stdout, reason = "it prints a file")]

use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use schedule::{Change, Options, Schedule};
use units::{Door, Name, Origin};

#[path = "../tests/store/raw.rs"]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "it is of the tests")]
mod raw;

/// Files by path.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Bytes for each line of the text.
const LINE: usize = 48;

fn main() -> Result<(), Box<dyn Error>> {
    let root = tempfile::tempdir()?;
    let folder = root.path().join("schedule");
    write(&folder)?;
    // As a newer version of this format may write it: field 100, the text "newer".
    raw::edit(&folder, 5, |records| {
        if let Some(value) = records.get_mut(b"newer".as_slice()) {
            value.extend(b"\xa2\x06\x05newer");
        }
    });
    println!(
        "# A store of format 1, written by examples/write_store.rs. See tests/store/formats.rs."
    );
    print(&files(&folder, Path::new(""))?);
    Ok(())
}

fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    let by = |reason: &str| Origin {
        door: Door::Grpc,
        identity: "uid:1000 pid:4711".to_owned(),
        reason: reason.to_owned(),
    };
    let name = |text: &str| text.parse::<Name>();
    let enable = |text: &str, at| -> Result<Change, Box<dyn Error>> {
        let definition = format!("definition of {text}").into_bytes();
        Ok(Change::Enable { name: name(text)?, definition, at, by: by("first") })
    };
    let mut schedule = Schedule::open(folder, &Options::default())?;
    schedule.commit(vec![enable("web", 1)?, enable("db", 2)?, enable("gone", 3)?])?;
    schedule.commit(vec![Change::Disable { name: name("db")?, at: 4, by: by("") }])?;
    schedule.commit(vec![Change::Destroy { name: name("gone")?, at: 5, by: by("") }])?;
    schedule.commit(vec![enable("newer", 6)?])?;
    Ok(())
}

fn files(folder: &Path, inside: &Path) -> Result<Files, Box<dyn Error>> {
    let mut found = Files::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = inside.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path(), &path)?);
        } else {
            found.insert(path, fs::read(entry.path())?);
        }
    }
    Ok(found)
}

fn print(files: &Files) {
    for (path, bytes) in files {
        println!("file {} {}", path.display(), bytes.len());
        for (number, line) in bytes.chunks(LINE).enumerate() {
            let used = line.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            let hex: String = line.iter().take(used).map(|byte| format!("{byte:02x}")).collect();
            if used > 0 {
                println!("{} {hex}", number * LINE);
            }
        }
    }
}
