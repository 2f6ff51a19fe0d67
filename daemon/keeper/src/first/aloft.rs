//! Our own program in memory, for the end of a machine on which it was replaced: a file without a name stays on its disk as
//! long as somebody executes it, and a disk with such a file can be neither unmounted nor made read-only (EBUSY, mount(2)).
//!
//! A copy of what we are is executed in our place, with nothing left to do but the end. It maps the libraries that have names.

use std::{
    ffi::{CString, OsString},
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::ffi::OsStringExt},
    path::{Path, PathBuf},
};

use keeper::protocol::Power;
use nix::{
    fcntl::AtFlags,
    sys::memfd::{MFdFlags, memfd_create},
    unistd::execveat,
};

use crate::say;

/// The word by which the copy knows what it is for. A kernel gives its init no such one unless somebody asks for it.
const WORD: &str = "--last";

/// Goes on in memory where that is needed. Answers where it is not, or cannot be had.
pub(crate) fn go(power: Power, state_dir: &Path) {
    if !holds_a_nameless_file(&fs::read_to_string("/proc/self/maps").unwrap_or_default()) {
        return;
    }
    if let Err(why) = execute(power, state_dir) {
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
    let power = words.next()?.to_str().and_then(named)?;
    words.next().filter(|_| wanted).map(|folder| (power, folder.into()))
}

/// Whether these maps (proc(5)) have a file that was removed or replaced.
fn holds_a_nameless_file(maps: &str) -> bool {
    let paths = maps.lines().filter_map(|line| line.find('/').and_then(|at| line.get(at..)));
    let in_memory =
        |path: &str| ["/memfd:", "/dev/", "/SYSV"].iter().any(|it| path.starts_with(it));
    paths.filter(|path| !in_memory(path)).any(|path| path.ends_with(" (deleted)"))
}

fn execute(power: Power, state_dir: &Path) -> io::Result<()> {
    let mut copy = File::from(memfd_create(c"auraed", MFdFlags::MFD_CLOEXEC)?);
    io::copy(&mut File::open("/proc/self/exe")?, &mut copy)?;
    let words: [OsString; 4] = ["auraed".into(), WORD.into(), name(power).into(), state_dir.into()];
    let words = words.map(|word| CString::new(word.into_vec()).unwrap_or_default());
    let environment: Vec<CString> = std::env::vars_os()
        .filter_map(|(mut name, value)| {
            name.push("=");
            name.push(value);
            CString::new(name.into_vec()).ok()
        })
        .collect();
    match execveat(copy.as_fd(), c"", &words, &environment, AtFlags::AT_EMPTY_PATH)? {}
}

fn name(power: Power) -> &'static str {
    match power {
        Power::Off => "off",
        Power::Reboot => "reboot",
        Power::Halt => "halt",
        Power::Kexec => "kexec",
    }
}

fn named(word: &str) -> Option<Power> {
    [Power::Off, Power::Reboot, Power::Halt, Power::Kexec].into_iter().find(|it| name(*it) == word)
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

    #[test]
    fn every_end_has_its_word() {
        for power in [Power::Off, Power::Reboot, Power::Halt, Power::Kexec] {
            assert_eq!(named(name(power)), Some(power));
        }
        assert_eq!(named("single"), None);
    }
}
