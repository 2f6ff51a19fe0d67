//! Copies of the folder of a store: files, and one folder below it.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
};

/// Makes a folder that is for us only.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// Copies what is in a folder, to the disk.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    make_folder(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            copy_file(&source, &target)?;
        }
    }
    sync(to)
}

/// Its permissions are ours: a copy of a file that is read-only must be writable.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut target = File::create_new(to)?;
    io::copy(&mut File::open(from)?, &mut target)?;
    target.sync_all()
}

/// How many bytes are in a folder.
pub(crate) fn size(folder: &Path) -> io::Result<u64> {
    let mut total = 0_u64;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let bytes = if entry.file_type()?.is_dir() {
            size(&entry.path())?
        } else {
            entry.metadata()?.len()
        };
        total = total.saturating_add(bytes);
    }
    Ok(total)
}

/// Whether two folders have the same files with the same bytes.
pub(crate) fn same(one: &Path, other: &Path) -> io::Result<bool> {
    let names = file_names(one)?;
    if names != file_names(other)? {
        return Ok(false);
    }
    for name in names {
        let (one, other) = (one.join(&name), other.join(&name));
        let same = if one.is_dir() {
            other.is_dir() && same(&one, &other)?
        } else {
            fs::metadata(&one)?.len() == fs::metadata(&other)?.len()
                && fs::read(&one)? == fs::read(&other)?
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The names in a folder, in order.
pub(crate) fn file_names(folder: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let names: io::Result<Vec<_>> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect();
    let mut names = names?;
    names.sort_unstable();
    Ok(names)
}

/// A file or the names of a folder are on the disk when this returns.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A folder and all that is in it are on the disk when this returns.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_folder(&entry.path())?;
        } else {
            sync(&entry.path())?;
        }
    }
    sync(folder)
}

/// Removes a folder if it is there.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
