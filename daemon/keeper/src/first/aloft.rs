//! Our own program in memory, for the end of a machine on which it was replaced: a file without a name stays on its disk as
//! long as somebody executes it, and a disk with such a file can be neither unmounted nor made read-only (EBUSY, mount(2)).
//!
//! A copy of what we are is executed in our place, with nothing left to do but the end. It maps the libraries that have names.
//!
//! Invariant: the first process reads no disk for that. A child makes the copy and executes it before us, so that all of it is in
//! memory by then; where that takes too long, the disk hangs, and is left as it is.

use std::{
    ffi::{CString, OsString},
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::ffi::OsStringExt},
    path::{Path, PathBuf},
    time::Duration,
};

use keeper::protocol::Power;
use nix::{
    fcntl::AtFlags,
    sys::{
        memfd::{MFdFlags, memfd_create},
        signalfd::SignalFd,
    },
    unistd::execveat,
};

use super::last;
use crate::{
    process::{self, clock},
    say,
};

/// The word by which the copy knows what it is for. A kernel gives its init no such one unless somebody asks for it.
pub(crate) const WORD: &str = "--last";

/// How long the copy may take.
const COPYING: Duration = Duration::from_secs(10);

/// Goes on in memory where that is needed. Answers where it is not, or cannot be had.
pub(crate) fn go(power: Power, state_dir: &Path, signals: &SignalFd) {
    if !holds_a_nameless_file(&fs::read_to_string("/proc/self/maps").unwrap_or_default()) {
        return;
    }
    if let Err(why) = execute(power, state_dir, signals) {
        say(format_args!(
            "auraed was replaced on the disk while it ran, and cannot go on in memory: {why}; so that disk cannot be made \
             read-only, and is checked at the next boot"
        ));
    }
}

/// What the copy has left to do.
pub(crate) fn wanted() -> Option<(Power, PathBuf)> {
    let mut words = std::env::args_os().skip(1);
    let wanted = words.next()? == WORD;
    let power = Power::of(words.next()?.to_str()?.parse().ok()?).ok()?;
    words.next().filter(|_| wanted).map(|folder| (power, folder.into()))
}

/// Whether these maps (proc(5)) have a file that was removed or replaced.
fn holds_a_nameless_file(maps: &str) -> bool {
    let paths = maps.lines().filter_map(|line| line.find('/').and_then(|at| line.get(at..)));
    let in_memory =
        |path: &str| ["/memfd:", "/dev/", "/SYSV"].iter().any(|it| path.starts_with(it));
    paths.filter(|path| !in_memory(path)).any(|path| path.ends_with(" (deleted)"))
}

fn execute(power: Power, state_dir: &Path, signals: &SignalFd) -> io::Result<()> {
    let copy = File::from(memfd_create(c"auraed", MFdFlags::MFD_CLOEXEC)?);
    let power = power.number().to_string();
    let words: [OsString; 4] = ["auraed".into(), WORD.into(), power.into(), state_dir.into()];
    let words = words.map(|word| CString::new(word.into_vec()).unwrap_or_default());
    let execute = || become_the_copy(&copy, &words);
    let tried = process::branch(|| {
        let copied = File::open("/proc/self/exe").and_then(|mut us| io::copy(&mut us, &mut &copy));
        // As somebody else than the first process it ends at once, and well.
        u8::from(copied.is_err() || execute().is_err())
    })?;
    match last::ended(tried, signals, clock() + COPYING) {
        Some(0) => execute(),
        Some(status) => Err(io::Error::other(format!("the copy ends with status {status}"))),
        None => Err(io::Error::other(format!("the copy is not made within {COPYING:?}"))),
    }
}

fn become_the_copy(copy: &File, words: &[CString]) -> io::Result<()> {
    // It is no keeper's successor.
    let environment = process::environment_without(&[process::VARIABLE, super::VARIABLE]);
    match execveat(copy.as_fd(), c"", words, &environment, AtFlags::AT_EMPTY_PATH)? {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_name_is_found() {
        let replaced = "55d0-55d1 r-xp 00001000 103:02 9 /usr/sbin/auraed (deleted)\n";
        assert!(holds_a_nameless_file(replaced));
        let named =
            "55d0-55d1 r-xp 00001000 103:02 9 /usr/sbin/auraed\n7f-80 rw-p 0 0:0 0 [heap]\n";
        assert!(!holds_a_nameless_file(named));
        assert!(!holds_a_nameless_file("7f-80 rw-s 0 0:1 3 /memfd:auraed (deleted)\n"));
    }
}
