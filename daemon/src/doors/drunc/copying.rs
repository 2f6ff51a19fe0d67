//! Copying what one run prints from the log store to its file.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use logs::{Filter, Item, LogName, Position, Reader};
use nix::fcntl::OFlag;
use tokio::{sync::Semaphore, time::sleep};
use units::{Name, RunId};

use crate::{doors::Core, setting::Account};

/// Bytes that are copied at a time.
const BATCH: usize = 256 << 10;
const PIECE: usize = 64 << 10;
/// How long it takes until it is tried again what failed, and how often.
const RETRY: Duration = Duration::from_secs(2);
const TRIES: u32 = 30;

/// Makes the folder of a file, and the file empty, as this user. May block.
pub(super) fn begin(path: &Path, user: Option<&str>) -> io::Result<()> {
    as_user(user, || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        open(path, Beginning::Empty).map(drop)
    })
}

/// Does something with files as whom the process runs: it must not come to files by us that are not its.
fn as_user<T>(user: Option<&str>, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    match user.map(Account::of).transpose().map_err(io::Error::other)?.flatten() {
        Some(account) => account.with_files(act),
        None => act(),
    }
}

/// What a copy begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// The file is made, and what is in it goes.
    Empty,
    /// The file is made if it is not there.
    AsItIs,
    /// The file must be there.
    IfThere,
}

/// Opens what output can be copied to; none where it goes nowhere.
fn open(path: &Path, beginning: Beginning) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.write(true).create(beginning != Beginning::IfThere).mode(0o644);
    // A FIFO without a reader would be waited for.
    let file = options.custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_char_device() && path == Path::new("/dev/null") {
        return Ok(None);
    }
    if !kind.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    if beginning == Beginning::Empty {
        file.set_len(0)?;
    }
    Ok(Some(file))
}

/// What is copied.
pub(super) struct Copy {
    pub(super) core: Core,
    pub(super) writers: Arc<Semaphore>,
    pub(super) beginning: Beginning,
    /// When the run began: a file that was written before is not its.
    pub(super) since: i64,
    pub(super) path: PathBuf,
    /// Whom the process runs as.
    pub(super) user: Option<String>,
    pub(super) name: Name,
    pub(super) run: RunId,
}

/// How far a copy is.
struct Progress {
    reader: Reader,
    path: PathBuf,
    user: Option<String>,
    run: RunId,
    beginning: Beginning,
    since: i64,
    file: Option<File>,
    /// Bytes of the run that were read, and from where on they are not in the file yet.
    read: u64,
    from: u64,
    /// What was read and is not written, and where it belongs.
    waiting: Vec<(u64, Vec<u8>)>,
    over: bool,
}

/// What one step came to.
enum Step {
    More,
    Dry,
    Over,
}

impl Copy {
    /// Copies until the run has ended, or it is given up.
    pub(super) async fn all(self) {
        let (logs, log) = (self.core.logs.clone(), LogName::Unit(self.name.clone()));
        let run = self.run;
        let found = {
            let (logs, log) = (logs.clone(), log.clone());
            tokio::task::spawn_blocking(move || logs.locate_in(&log, run)).await
        };
        let first = match found {
            Ok(Ok(Some(located))) => located.first,
            Ok(Ok(None) | Err(_)) | Err(_) => Position(0),
        };
        let filter = Filter { run: Some(run), stream: None };
        let mut progress = Some(Progress {
            reader: logs.reader(log, first, filter),
            path: self.path.clone(),
            user: self.user.clone(),
            run,
            beginning: self.beginning,
            since: self.since,
            file: None,
            read: 0,
            from: 0,
            waiting: Vec::new(),
            over: false,
        });
        let mut failures = 0;
        while let Some(mut here) = progress.take() {
            let Ok(place) = self.writers.acquire().await else { return };
            let done = tokio::task::spawn_blocking(move || (here.step(), here)).await;
            drop(place);
            let Ok((step, mut here)) = done else { return };
            match step {
                Ok(Step::More) => failures = 0,
                Ok(Step::Dry) => {
                    if here.reader.changed().await.is_err() {
                        return;
                    }
                }
                Ok(Step::Over) => return,
                Err(why) => {
                    failures += 1;
                    if !self.bears(&why, failures) {
                        return;
                    }
                    sleep(RETRY).await;
                }
            }
            progress = Some(here);
        }
    }

    /// Whether it is tried again; what failed is told once, and that it is given up, too.
    fn bears(&self, why: &io::Error, failures: u32) -> bool {
        let (name, path) = (&self.name, self.path.display());
        if why.kind() == io::ErrorKind::NotFound && self.beginning == Beginning::IfThere {
            return false;
        }
        if failures == 1 {
            tracing::warn!(
                "cannot copy what {name} prints to {path}: {why}; trying again, and aer logs has it meanwhile"
            );
        }
        if failures > TRIES {
            tracing::error!(
                "given up copying what {name} prints to {path}: {why}; aer logs {name} has all of it"
            );
        }
        failures <= TRIES
    }
}

impl Progress {
    /// Copies a batch. May block.
    fn step(&mut self) -> io::Result<Step> {
        if self.file.is_none() {
            let opened = as_user(self.user.as_deref(), || open(&self.path, self.beginning));
            let Some(file) = opened? else { return Ok(Step::Over) };
            let metadata = file.metadata()?;
            let written = metadata
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(metadata.mtime_nsec());
            if written < self.since {
                file.set_len(0)?;
            } else {
                self.from = metadata.len();
            }
            self.file = Some(file);
            // From here on it is only opened again, should it be.
            self.beginning = Beginning::AsItIs;
        }
        let mut dry = false;
        while self.waiting.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() < BATCH && !self.over
        {
            let Some(item) = self.reader.next(PIECE).map_err(io::Error::other)? else {
                dry = true;
                break;
            };
            self.take(item);
        }
        if let Some(file) = &self.file {
            for (at, bytes) in &self.waiting {
                file.write_all_at(bytes, *at)?;
            }
        }
        self.waiting.clear();
        Ok(if self.over {
            Step::Over
        } else if dry {
            Step::Dry
        } else {
            Step::More
        })
    }

    fn take(&mut self, item: Item) {
        let count = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        match item {
            Item::Chunk { bytes, .. } => {
                let at = self.read;
                self.read = at.saturating_add(count(bytes.len()));
                let known = usize::try_from(self.from.saturating_sub(at)).unwrap_or(usize::MAX);
                if let Some(news) = bytes.get(known..).filter(|news| !news.is_empty()) {
                    let at = self.read.saturating_sub(count(news.len()));
                    self.waiting.push((at, news.to_vec()));
                }
            }
            Item::Gap { run, bytes, .. } if run.is_none_or(|run| run == self.run) && bytes > 0 => {
                let path = self.path.display();
                tracing::warn!(
                    "{bytes} bytes are missing in the log that is copied to {path}: there are NUL bytes in their place"
                );
                self.read = self.read.saturating_add(bytes);
            }
            Item::End { run, .. } => self.over |= run == self.run,
            Item::Gap { .. } | Item::Start { .. } => {}
        }
    }
}
