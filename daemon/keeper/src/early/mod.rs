//! `auraed early`: what a machine needs before anything can run on it. A child of the keeper's, once at boot, so that
//! nothing that hangs or fails here is PID 1 itself.
//!
//! Invariants:
//! - What is there already stays as it is: each step looks before it does something, so that it may be executed twice.
//! - No step depends on the success of another. What fails is said, on the console and in the kernel's log, and the boot
//!   goes on; the exit status is only told.

mod machine_id;
mod mounts;
mod names;
pub(crate) mod seed;

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use keeper::mountinfo;
use nix::{
    errno::Errno,
    sys::{
        socket::{AddressFamily, SockFlag, SockType, socket},
        stat::Mode,
    },
};

use crate::{
    first::{calls, command_line::CommandLine},
    say,
};
use std::os::fd::AsFd;

/// What the names in /dev lead to that every program expects.
const LINKS: [(&str, &str); 4] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
];

/// How many steps have failed.
#[derive(Debug, Default)]
pub(crate) struct Failures(u32);

impl Failures {
    /// Says what failed, and counts it.
    pub(crate) fn note(&mut self, what: &str, done: io::Result<()>) {
        if let Err(why) = done {
            say(format_args!("early: {what}: {why}; going on without"));
            self.0 = self.0.saturating_add(1);
        }
    }
}

/// All of it; whether everything went well.
pub(crate) fn run() -> bool {
    nix::sys::prctl::set_name(c"auraed-early").ok();
    nix::sys::stat::umask(Mode::empty());
    let mut failures = Failures::default();
    mounts::all(&mut failures);
    // Otherwise the kernel drops all but ten of our lines in five seconds.
    drop(fs::write("/proc/sys/kernel/printk_devkmsg", "on"));
    for (name, target) in LINKS {
        failures.note(&format!("making the link {name}"), link(target, name));
    }
    failures.note("making /run/lock", folder("/run/lock", 0o1777));
    failures.note("making /tmp", temporary());
    failures.note("handing down the controllers of cgroups", hand_down_controllers());
    failures.note("taking the loopback interface up", loopback());
    failures.note("setting the name of the machine", names::set(&CommandLine::read()));
    failures.note("setting the machine's id", machine_id::set(Path::new("/")));
    failures.0 == 0
}

fn link(target: &str, name: &str) -> io::Result<()> {
    if fs::symlink_metadata(name).is_ok() {
        return Ok(());
    }
    symlink(target, name)
}

/// Makes a folder of this mode where nothing is.
pub(super) fn folder(path: &str, mode: u32) -> io::Result<()> {
    if Path::new(path).is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// /tmp, which programs expect: in memory where the root cannot be written, and nothing is mounted there.
fn temporary() -> io::Result<()> {
    let made = folder("/tmp", 0o1777);
    let writable = made.is_ok()
        && nix::unistd::access("/tmp", nix::unistd::AccessFlags::W_OK) != Err(Errno::EROFS);
    if writable || mountinfo::at(Path::new("/tmp")) {
        return made;
    }
    mounts::in_memory("/tmp", "mode=1777")
}

/// Lets the cgroups below the root have every controller that there is; each by itself, since one that cannot be had must
/// not keep the others away.
fn hand_down_controllers() -> io::Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let Ok(controllers) = fs::read_to_string(root.join("cgroup.controllers")) else {
        // A hierarchy of version 1 is mounted there, by somebody who knows why.
        return Ok(());
    };
    if root.join("cgroup.type").exists() {
        // Only the true root may have processes and hand something down (cgroups(7)); any other is the daemon's affair.
        return Ok(());
    }
    let mut first_error = Ok(());
    for controller in controllers.split_whitespace() {
        let done = fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"));
        let done = done.map_err(|why| io::Error::other(format!("{controller}: {why}")));
        first_error = first_error.and(done);
    }
    first_error
}

/// Brings `lo` up; the kernel gives it its addresses.
fn loopback() -> io::Result<()> {
    let family = AddressFamily::Inet;
    let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    Ok(calls::loopback_up(socket.as_fd())?)
}

/// Writes a file of which either the old or the new content is there, whatever happens.
pub(super) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = Path::new(&name);
    let write = || -> io::Result<()> {
        fs::write(new, content)?;
        fs::set_permissions(new, fs::Permissions::from_mode(mode))?;
        File::open(new)?.sync_all()?;
        fs::rename(new, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(new)))
}
