//! Where the store is, and what stands beside it. See the table in the crate's documentation.
//!
//! Everything here is done under the lock, and can be interrupted anywhere: [`Place::finish_interrupted`] goes on.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use crate::copy;

/// Copies of larger stores are not made at each opening.
const LARGEST_COPY: u64 = 256 << 20;
/// The first evidence, which shows how it began, and the newest three.
const EVIDENCE: usize = 4;

/// The folder of a store.
#[derive(Clone, Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.beside(".lock")
    }

    pub(crate) fn making(&self) -> PathBuf {
        self.beside(".making")
    }

    pub(crate) fn new_store(&self) -> PathBuf {
        self.beside(".new")
    }

    pub(crate) fn opening(&self) -> PathBuf {
        self.beside(".opening")
    }

    pub(crate) fn reading(&self) -> PathBuf {
        self.beside(".reading")
    }

    pub(crate) fn last_good(&self) -> PathBuf {
        self.beside(".last-good")
    }

    fn former_last_good(&self) -> PathBuf {
        self.beside(".last-good.former")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = OsString::from(&self.0);
        path.push(suffix);
        path.into()
    }

    fn parent(&self) -> &Path {
        self.0.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Whether there is a store, be it whole or not. An empty folder is none: it is often made by an installer.
    pub(crate) fn has_store(&self) -> io::Result<bool> {
        match fs::read_dir(&self.0) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn sync_parent(&self) -> io::Result<()> {
        copy::sync(self.parent())
    }

    /// Completes what a crash has interrupted, and removes what it has left.
    pub(crate) fn finish_interrupted(&self) -> io::Result<()> {
        for leftover in [self.making(), self.opening(), self.reading()] {
            copy::remove_folder(&leftover)?;
        }
        if self.new_store().is_dir() {
            self.put_in_place()?;
        }
        if self.former_last_good().is_dir() {
            if self.last_good().is_dir() {
                copy::remove_folder(&self.former_last_good())?;
            } else {
                fs::rename(self.former_last_good(), self.last_good())?;
            }
        }
        Ok(())
    }

    /// Puts the complete new store where the store is, and what is there aside. Returns where that is now.
    pub(crate) fn put_in_place(&self) -> io::Result<Option<PathBuf>> {
        let evidence = if self.has_store()? { Some(self.put_aside(&self.0)?) } else { None };
        fs::rename(self.new_store(), &self.0)?;
        self.sync_parent()?;
        Ok(evidence)
    }

    /// Copies the store before it is opened; a sentence where that is not done.
    pub(crate) fn copy_before_opening(&self) -> Result<PathBuf, String> {
        let copied = copy::size(&self.0).and_then(|size| {
            if size > LARGEST_COPY {
                return Err(io::Error::other(format!(
                    "it has {size} bytes, more than {LARGEST_COPY}"
                )));
            }
            copy::copy_folder(&self.0, &self.opening())
        });
        match copied {
            Ok(()) => Ok(self.opening()),
            Err(error) => {
                drop(copy::remove_folder(&self.opening()));
                let (from, to) = (self.0.display(), self.opening());
                Err(format!(
                    "{from} was opened without a copy: copying it to {} failed ({error}); if it gets damaged, an \
                     older copy is used",
                    to.display()
                ))
            }
        }
    }

    /// The copy is good: it takes the place of the last one.
    pub(crate) fn keep_last_good(&self, opening: &Path) -> io::Result<()> {
        if self.last_good().is_dir() {
            copy::remove_folder(&self.former_last_good())?;
            fs::rename(self.last_good(), self.former_last_good())?;
        }
        fs::rename(opening, self.last_good())?;
        self.sync_parent()?;
        copy::remove_folder(&self.former_last_good())
    }

    /// Keeps a damaged store, and returns where. One that is kept already is not kept again.
    pub(crate) fn keep_evidence(&self, opening: &Path) -> io::Result<PathBuf> {
        for (_, kept) in self.evidence()? {
            if copy::same(&kept, opening)? {
                copy::remove_folder(opening)?;
                return Ok(kept);
            }
        }
        self.put_aside(opening)
    }

    fn put_aside(&self, folder: &Path) -> io::Result<PathBuf> {
        let kept = self.evidence()?;
        let number = kept.last().map_or(1, |(last, _)| last.saturating_add(1));
        let evidence = self.beside(&format!(".damaged-{number}"));
        fs::rename(folder, &evidence)?;
        let surplus = kept.len().saturating_add(1).saturating_sub(EVIDENCE);
        for (_, old) in kept.iter().skip(1).take(surplus) {
            copy::remove_folder(old)?;
        }
        self.sync_parent()?;
        Ok(evidence)
    }

    /// What is kept, oldest first.
    fn evidence(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let prefix = self.beside(".damaged-");
        let prefix = prefix.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut kept: Vec<(u64, PathBuf)> = copy::file_names(self.parent())?
            .iter()
            .filter_map(|name| {
                let number = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
                Some((number, self.parent().join(name)))
            })
            .collect();
        kept.sort_unstable();
        Ok(kept)
    }
}
