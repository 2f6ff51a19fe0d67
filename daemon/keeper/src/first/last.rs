//! The end of a machine: what is left is killed, disks are made clean, and the kernel does the rest. The end of a container
//! is our own.
//!
//! Invariant: it comes to the end within a bound, whatever a disk does. Everything that touches one is done by a child of
//! ours, for which we do not wait for longer than [`DISKS`].

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::Path,
    time::{Duration, Instant},
};

use keeper::{
    mountinfo::{self, Mount},
    protocol::Power,
};
use nix::{
    errno::Errno,
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::{
        reboot::{RebootMode, reboot},
        signalfd::SignalFd,
    },
};

use super::{
    Aim, First, calls, role,
    signals::{self, Wish},
};
use crate::{
    early::seed,
    process::{self, clock},
    say,
};

/// How long what is left may take to end after SIGTERM.
const TERMINATION: Duration = Duration::from_secs(5);
/// How long disks may take.
const DISKS: Duration = Duration::from_secs(30);
/// How often it is tried again what failed because of something that has gone since.
const ROUNDS: u32 = 16;
/// Filesystems that the kernel makes: there is nothing to be kept of them.
const NOT_ON_DISKS: [&str; 22] = [
    "proc",
    "sysfs",
    "devtmpfs",
    "devpts",
    "cgroup",
    "cgroup2",
    "mqueue",
    "securityfs",
    "debugfs",
    "tracefs",
    "configfs",
    "bpf",
    "fusectl",
    "pstore",
    "selinuxfs",
    "efivarfs",
    "hugetlbfs",
    "binfmt_misc",
    "autofs",
    "rpc_pipefs",
    "nsfs",
    "rootfs",
];

impl First {
    /// Asks everybody but us to end, and waits for a moment. Whoever asks for the end once more does not want that.
    pub(crate) fn terminate(&mut self, signals: &SignalFd) {
        if !process::reap_all() {
            return;
        }
        say(format_args!("processes that are no unit's are left, and have {TERMINATION:?} to end"));
        calls::send(-1, libc::SIGTERM).ok();
        // One that is stopped cannot heed it.
        calls::send(-1, libc::SIGCONT).ok();
        let bound = clock() + TERMINATION;
        while process::reap_all() && clock() < bound {
            process::await_signal(signals, bound);
            while let Ok(Some(signal)) = signals.read_signal() {
                if self.is_asked_again(i32::try_from(signal.ssi_signo).unwrap_or(0)) {
                    say(format_args!("asked once more: whoever is left is killed"));
                    return;
                }
            }
        }
    }

    /// Whether nobody is to be waited for any longer. Of ends what is wanted last counts.
    fn is_asked_again(&mut self, signal: i32) -> bool {
        match signals::wish(self.role, signal) {
            Wish::End(aim) => std::mem::replace(&mut self.aim, aim) == aim,
            Wish::EndNow(aim) => {
                self.aim = aim;
                true
            }
            Wish::Stop => true,
            Wish::Interrupt if self.interrupted() => {
                self.aim = Aim::Power(Power::Reboot);
                true
            }
            Wish::Interrupt | Wish::Children | Wish::Reload | Wish::Tell | Wish::Execute => false,
        }
    }
}

/// The end of a machine. Answers only where the kernel refuses it: in a container that may not end itself so.
pub(crate) fn machine(power: Power, state_dir: &Path, signals: &SignalFd) -> Errno {
    let folder = state_dir.to_path_buf();
    match process::branch(move || clean_up(&folder)) {
        Ok(child) if !ends(child, signals, clock() + DISKS) => {
            say(format_args!(
                "disks are not clean within {DISKS:?}: going on without them; look at what hangs when the machine is back"
            ));
            emergency();
        }
        Ok(_) => {}
        Err(why) => say(format_args!("cannot fork to unmount disks: {why}; going on without")),
    }
    say(format_args!("{}", told(power)));
    kernel(power)
}

/// What the kernel is asked for.
pub(crate) fn kernel(power: Power) -> Errno {
    let mode = match power {
        Power::Off => RebootMode::RB_POWER_OFF,
        Power::Reboot => RebootMode::RB_AUTOBOOT,
        Power::Halt => RebootMode::RB_HALT_SYSTEM,
        Power::Kexec => RebootMode::RB_KEXEC,
    };
    let refused = |mode| match reboot(mode) {
        Ok(never) => match never {},
        Err(why) => why,
    };
    let why = refused(mode);
    if power == Power::Kexec {
        say(format_args!("no kernel is loaded to go on with ({why}); the machine is rebooted"));
        return refused(RebootMode::RB_AUTOBOOT);
    }
    why
}

fn told(power: Power) -> &'static str {
    match power {
        Power::Off => "powering off",
        Power::Reboot => "rebooting",
        Power::Halt => "halting",
        Power::Kexec => "executing the kernel that is loaded",
    }
}

/// Waits for a child; false where it takes too long.
pub(super) fn ends(child: i32, signals: &SignalFd, bound: Instant) -> bool {
    ended(child, signals, bound).is_some()
}

/// The exit status of a child, or the signal that ended it; none where it takes too long.
pub(super) fn ended(child: i32, signals: &SignalFd, bound: Instant) -> Option<i32> {
    loop {
        if let Some(ended) = process::reap(child) {
            return Some(ended.exit.status);
        }
        if clock() >= bound {
            return None;
        }
        process::await_signal(signals, bound);
        // Orphans of the last moment, and our own child's: it is looked for by its number first.
        process::reap_all_but(child);
    }
}

/// What can still be done where a disk hangs: the kernel writes and locks what it can, by itself.
fn emergency() {
    if role::is_of_the_kernel() {
        drop(fs::write("/proc/sysrq-trigger", "s"));
        drop(fs::write("/proc/sysrq-trigger", "u"));
        process::rest(Duration::from_secs(1));
    }
}

/// In a child: the seed, and then all disks.
fn clean_up(state_dir: &Path) -> u8 {
    nix::sys::prctl::set_name(c"auraed-last").ok();
    drop(std::env::set_current_dir("/"));
    if let Err(why) = seed::save(state_dir) {
        say(format_args!("cannot save the random seed in {}: {why}", state_dir.display()));
    }
    nix::unistd::sync();
    // Swap and loop devices are the whole machine's, and not those of a namespace.
    let whole = role::is_of_the_kernel();
    for _ in 0..ROUNDS {
        let swaps = whole && swaps_off();
        let mounts = unmount();
        let loops = whole && detach_loops();
        if !(swaps || mounts || loops) {
            break;
        }
    }
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    // The same disk may be others' outside of our namespace: there it stays as it is.
    flags.set(MsFlags::MS_BIND, !whole);
    for point in left() {
        let none = None::<&str>;
        let done = mount(none, &point, none, flags, none);
        // A root in memory has nothing to lose.
        if let Err(why) = done {
            say(format_args!("cannot make {} read-only: {why}", point.display()));
        }
    }
    nix::unistd::sync();
    0
}

/// What is mounted of disks and memory, the last first.
fn left() -> impl Iterator<Item = std::path::PathBuf> {
    let all = mountinfo::all().into_iter().rev();
    let all = all.filter(|it| !NOT_ON_DISKS.contains(&it.kind.as_str()));
    let ours = |it: &Mount| it.kind == "tmpfs" && is_ours(&it.point);
    all.filter(move |it| !ours(it)).map(|it| it.point)
}

/// Whether it is in memory, and stays until the end.
fn is_ours(point: &Path) -> bool {
    ["/run", "/dev", "/dev/shm", "/tmp", "/sys/fs/cgroup"].iter().any(|it| point == Path::new(it))
}

/// Whether something was unmounted.
fn unmount() -> bool {
    let mut done = false;
    for point in left().filter(|point| point != Path::new("/")) {
        done |= umount2(&point, MntFlags::UMOUNT_NOFOLLOW).is_ok();
    }
    done
}

/// Whether some swap is used no more.
fn swaps_off() -> bool {
    let list = fs::read("/proc/swaps").unwrap_or_default();
    let mut done = false;
    for line in list.split(|byte| *byte == b'\n').skip(1) {
        let path = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        let path = CString::new(mountinfo::unescape(path)).unwrap_or_default();
        if !path.is_empty() {
            done |= calls::swap_off(&path).is_ok();
        }
    }
    done
}

/// Whether a loop device has lost its file.
fn detach_loops() -> bool {
    let detach = |name: &std::ffi::OsStr| -> io::Result<()> {
        let used = Path::new("/sys/block").join(name).join("loop/backing_file");
        fs::metadata(used)?;
        Ok(calls::detach(File::open(Path::new("/dev").join(name))?.as_fd())?)
    };
    let names = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name());
    names
        .filter(|name| name.as_bytes().starts_with(b"loop"))
        .filter(|name| detach(name).is_ok())
        .count()
        > 0
}
