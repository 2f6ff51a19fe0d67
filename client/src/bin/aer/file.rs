//! Files of units that are named on the command line.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use client::unit_file::UnitFileError;
use thiserror::Error;

/// The largest file of one unit. The daemon takes no larger request.
pub(crate) const LARGEST_UNIT: u64 = 4 << 20;
/// The largest file of many units: more than a hundred thousand. It is held in memory.
pub(crate) const LARGEST_SCHEDULE: u64 = 64 << 20;

/// What is wrong with a file.
#[derive(Debug, Error)]
pub(crate) enum FileError {
    #[error("reading {file}")]
    Read { file: String, source: io::Error },
    #[error("reading {file}: it is larger than {} MiB", .limit >> 20)]
    TooLarge { file: String, limit: u64 },
    #[error("reading {file}, {fault}")]
    Content { file: String, fault: UnitFileError },
}

/// What a file says, `-` being standard input. Beside the runtime's thread, which must go on answering the
/// daemon while a pipe is silent.
pub(crate) async fn read<T: Send + 'static>(
    path: PathBuf,
    limit: u64,
    parse: fn(&[u8]) -> Result<T, UnitFileError>,
) -> Result<T, FileError> {
    let file = if is_stdin(&path) { "standard input".into() } else { path.display().to_string() };
    let named = file.clone();
    let read = tokio::task::spawn_blocking(move || {
        let content = match content(&path, limit) {
            Ok(Some(content)) => content,
            Ok(None) => return Err(FileError::TooLarge { file, limit }),
            Err(source) => return Err(FileError::Read { file, source }),
        };
        parse(&content).map_err(|fault| FileError::Content { file, fault })
    });
    // It ends early only where the runtime does, or by a mistake of ours.
    read.await.unwrap_or_else(|error| {
        Err(FileError::Read { file: named, source: io::Error::other(error) })
    })
}

/// None where it is too large.
fn content(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    let beyond = limit.saturating_add(1);
    let length = if is_stdin(path) {
        io::stdin().lock().take(beyond).read_to_end(&mut content)?
    } else {
        File::open(path)?.take(beyond).read_to_end(&mut content)?
    };
    Ok(u64::try_from(length).is_ok_and(|length| length <= limit).then_some(content))
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}
