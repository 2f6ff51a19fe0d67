//! The filesystems that the kernel makes: each where nothing is mounted yet.

use std::{io, path::Path};

use keeper::mountinfo;
use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
};

use super::{Failures, folder};

/// Whether a machine can do without.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// It has to be there, and its place is made.
    Always,
    /// Where the kernel has it, which it tells by a place for it.
    IfThere,
}

/// One of them.
struct Kind {
    point: &'static str,
    kind: &'static str,
    flags: MsFlags,
    options: &'static str,
    wanted: Wanted,
}

/// No device, no program and no change of user on a filesystem of the kernel's own.
const BARE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);
const NO_DEVICES: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);
const NO_PROGRAMS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC);

const fn always(
    point: &'static str,
    kind: &'static str,
    flags: MsFlags,
    options: &'static str,
) -> Kind {
    Kind { point, kind, flags, options, wanted: Wanted::Always }
}

const fn if_there(point: &'static str, kind: &'static str, options: &'static str) -> Kind {
    Kind { point, kind, flags: BARE, options, wanted: Wanted::IfThere }
}

/// In this order: what is within another comes after it.
const KINDS: [Kind; 17] = [
    always("/proc", "proc", BARE, ""),
    always("/sys", "sysfs", BARE, ""),
    always("/dev", "devtmpfs", NO_PROGRAMS, "mode=0755"),
    always("/dev/pts", "devpts", NO_PROGRAMS, "mode=0620,gid=5,ptmxmode=0666"),
    always("/dev/shm", "tmpfs", NO_DEVICES, "mode=1777"),
    always("/run", "tmpfs", NO_DEVICES, "mode=0755"),
    // The root of the hierarchy is ours alone: what we hand down is guarded like what is handed to a namespace.
    always("/sys/fs/cgroup", "cgroup2", BARE, "nsdelegate,memory_recursiveprot"),
    if_there("/dev/mqueue", "mqueue", ""),
    if_there("/sys/kernel/security", "securityfs", ""),
    if_there("/sys/kernel/debug", "debugfs", "mode=0700"),
    if_there("/sys/kernel/tracing", "tracefs", "mode=0700"),
    if_there("/sys/kernel/config", "configfs", ""),
    if_there("/sys/fs/bpf", "bpf", "mode=0700"),
    if_there("/sys/fs/fuse/connections", "fusectl", ""),
    if_there("/sys/fs/pstore", "pstore", ""),
    if_there("/sys/fs/selinux", "selinuxfs", ""),
    if_there("/sys/firmware/efi/efivars", "efivarfs", ""),
];

/// Mounts what is not there.
pub(super) fn all(failures: &mut Failures) {
    for kind in KINDS {
        let what = format!("mounting {} at {}", kind.kind, kind.point);
        failures.note(&what, one(&kind));
    }
}

fn one(kind: &Kind) -> io::Result<()> {
    let point = Path::new(kind.point);
    if is_mounted(point) {
        return Ok(());
    }
    match kind.wanted {
        Wanted::Always => folder(kind.point, 0o755)?,
        // devtmpfs has no place for queues; whether the kernel has them, /proc says.
        Wanted::IfThere if kind.kind == "mqueue" && Path::new("/proc/sys/fs/mqueue").is_dir() => {
            folder(kind.point, 0o755)?;
        }
        Wanted::IfThere if !point.is_dir() => return Ok(()),
        Wanted::IfThere => {}
    }
    match attempt(kind, kind.options) {
        // An older kernel does not know an option: without it is better than not at all.
        Err(Errno::EINVAL) if !kind.options.is_empty() => Ok(attempt(kind, "")?),
        // A place without its filesystem is the kernel's affair.
        Err(Errno::ENODEV) if kind.wanted == Wanted::IfThere => Ok(()),
        done => Ok(done?),
    }
}

fn attempt(kind: &Kind, options: &str) -> Result<(), Errno> {
    mount(Some(kind.kind), kind.point, Some(kind.kind), kind.flags, Some(options))
}

/// Memory, as a filesystem.
pub(super) fn in_memory(point: &str, options: &str) -> io::Result<()> {
    Ok(mount(Some("tmpfs"), point, Some("tmpfs"), NO_DEVICES, Some(options))?)
}

/// Whether something is mounted there. Only /proc can say so, and of itself only by being there.
fn is_mounted(point: &Path) -> bool {
    match point == Path::new("/proc") {
        true => Path::new("/proc/self/mountinfo").exists(),
        false => mountinfo::at(point),
    }
}
