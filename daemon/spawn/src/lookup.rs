//! Finding a program by its name.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where programs are looked for: fixed, so that a unit means the same whoever starts it. That of
/// systemd (systemd.service(5), "Command lines"; `DEFAULT_PATH_NORMAL`), and the folders of machines
/// that have not merged /bin into /usr/bin.
pub const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a name means no program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// There is no name.
    #[error("the name of the program is empty")]
    Empty,
    /// A relative path would depend on where the daemon happens to be.
    #[error(
        "{} is a relative path: give an absolute one, or a name without a slash", .0.display()
    )]
    Relative(OsString),
    /// No folder of [`SEARCH_PATH`] has it.
    #[error("no program {} in {SEARCH_PATH}", .0.display())]
    Missing(OsString),
    /// What there is cannot be executed.
    #[error("{} is no executable file, and there is no other in {SEARCH_PATH}", .0.display())]
    NotExecutable(PathBuf),
}

/// The program that `name` means. An absolute path is itself, looked at by nobody; a name without a
/// slash is the first regular executable file of that name in [`SEARCH_PATH`].
///
/// Reads folders, which can wait for a disk: call it where that may be waited for.
pub fn resolve(name: &OsStr) -> Result<PathBuf, NotFound> {
    resolve_in(name, SEARCH_PATH)
}

fn resolve_in(name: &OsStr, search_path: &str) -> Result<PathBuf, NotFound> {
    let bytes = name.as_bytes();
    if bytes.is_empty() {
        return Err(NotFound::Empty);
    }
    if bytes.starts_with(b"/") {
        return Ok(PathBuf::from(name));
    }
    if bytes.contains(&b'/') {
        return Err(NotFound::Relative(name.to_owned()));
    }
    let mut unfit = None;
    for folder in search_path.split(':') {
        let path = Path::new(folder).join(name);
        match fitness(&path) {
            Fitness::Executable => return Ok(path),
            Fitness::Unfit => unfit = unfit.or(Some(path)),
            Fitness::Absent => {}
        }
    }
    Err(unfit.map_or_else(|| NotFound::Missing(name.to_owned()), NotFound::NotExecutable))
}

enum Fitness {
    Executable,
    Unfit,
    Absent,
}

/// By its mode, not by access(2): the program may run as somebody else.
fn fitness(path: &Path) -> Fitness {
    match fs::metadata(path) {
        Ok(data) if data.is_file() && data.permissions().mode() & 0o111 != 0 => Fitness::Executable,
        Ok(_) => Fitness::Unfit,
        Err(_) => Fitness::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn find(name: &str, search_path: &str) -> Result<PathBuf, NotFound> {
        resolve_in(OsStr::new(name), search_path)
    }

    fn put(folder: &Path, name: &str, mode: u32) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, "").expect("a writable folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our own file");
        path
    }

    #[test]
    fn the_first_executable_file_is_found() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let [first, second] = ["first", "second"].map(|name| root.path().join(name));
        fs::create_dir_all(first.join("folder")).expect("a writable folder");
        fs::create_dir(&second).expect("a writable folder");
        let path = format!("/nonexistent:{}:{}", first.display(), second.display());

        let shadowed = put(&first, "both", 0o755);
        put(&second, "both", 0o755);
        assert_eq!(find("both", &path), Ok(shadowed));

        let unfit = put(&first, "unfit", 0o644);
        assert_eq!(find("unfit", &path), Err(NotFound::NotExecutable(unfit)));
        let fit = put(&second, "unfit", 0o700);
        assert_eq!(find("unfit", &path), Ok(fit), "the search goes on");

        assert_eq!(find("folder", &path), Err(NotFound::NotExecutable(first.join("folder"))));
        symlink("both", first.join("link")).expect("a writable folder");
        assert_eq!(find("link", &path), Ok(first.join("link")));
        symlink("nowhere", first.join("dangling")).expect("a writable folder");
        assert_eq!(find("dangling", &path), Err(NotFound::Missing("dangling".into())));
    }

    #[test]
    fn a_path_is_absolute_or_refused() {
        assert_eq!(find("/no/such/program", ""), Ok(PathBuf::from("/no/such/program")));
        for relative in ["./true", "bin/true", "../x", "true/"] {
            assert_eq!(find(relative, "/bin"), Err(NotFound::Relative(relative.into())));
        }
        assert_eq!(find("", "/bin"), Err(NotFound::Empty));
        assert!(resolve(OsStr::new("true")).is_ok_and(|path| path.is_absolute()));
    }
}
