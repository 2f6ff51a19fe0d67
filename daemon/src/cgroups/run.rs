//! The cgroup of one run.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, ErrorKind, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{FileExt, MetadataExt},
        },
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::Pid,
};
use spawn::{Delivery, PidFd};
use units::Account;

use super::{
    folders,
    limits::{Control, LimitFailure},
    remove_all, remove_unless_shared, statistics,
    usage::{self, LiveUsage},
};
use crate::{
    clock,
    processes::{Main, read_small},
};

/// The cgroup of one run; it may not exist yet, or not any more.
#[derive(Clone, Debug)]
pub(crate) struct RunCgroup {
    path: PathBuf,
    /// Where it is limited or counted beyond what every cgroup is.
    control: Option<Arc<Control>>,
}

/// `cgroup.events`, open: a change of it wakes who polls for POLLPRI (cgroups(7), "cgroup.events file").
#[derive(Debug)]
pub(crate) struct Watch {
    events: File,
}

impl RunCgroup {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, control: None }
    }

    pub(super) fn controlled(self, control: Option<Control>) -> Self {
        Self { path: self.path, control: control.map(Arc::new) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it, and opens its folder. The folder of the name is shared by runs, and removed with the last
    /// of them, which may be this moment.
    pub(crate) fn make(&self) -> io::Result<OwnedFd> {
        let mut attempts = 0;
        loop {
            match fs::create_dir(&self.path) {
                Err(why) if why.kind() == ErrorKind::NotFound && attempts < 100 => attempts += 1,
                Err(why) => return Err(why),
                Ok(()) => return Ok(File::open(&self.path)?.into()),
            }
            if let Some(parent) = self.path.parent()
                && let Err(why) = fs::create_dir(parent)
                && why.kind() != ErrorKind::AlreadyExists
            {
                return Err(why);
            }
        }
    }

    /// Sets its limits, when it has been made and before anything lives in it; the v1 cgroups that its
    /// process joins besides, as a plan takes them. Does nothing where there are none.
    pub(crate) fn limit(&self) -> Result<Vec<OwnedFd>, LimitFailure> {
        match &self.control {
            None => Ok(Vec::new()),
            Some(control) => control.prepare(&self.path),
        }
    }

    /// Whether no process is in it. One that does not exist is empty.
    pub(crate) fn is_empty(&self) -> bool {
        match self.watch() {
            Ok(watch) => watch.is_empty(),
            Err(why) => why.kind() == ErrorKind::NotFound || is_gone(&why),
        }
    }

    /// Waits until no process is in it, until then at most.
    pub(super) fn await_empty(&self, deadline: Duration) {
        let Ok(watch) = self.watch() else { return };
        while !watch.is_empty() {
            let left = deadline.saturating_sub(clock::now().monotonic);
            if left.is_zero() {
                return;
            }
            let mut events = [PollFd::new(watch.as_fd(), PollFlags::POLLPRI)];
            // Of a wait that fails nothing is known; the look at the cgroup and the deadline remain.
            poll(&mut events, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)).ok();
        }
    }

    /// Opens what tells when it becomes empty.
    pub(crate) fn watch(&self) -> io::Result<Watch> {
        Ok(Watch { events: File::open(self.path.join("cgroup.events"))? })
    }

    /// The kernel's kill: every process in it and below it, at once, forks included (Linux 5.14).
    /// Where the kernel has none, each process by itself; the caller repeats until it is empty.
    pub(crate) fn kill(&self, main: Option<&Main>) -> io::Result<()> {
        match fs::write(self.path.join("cgroup.kill"), "1") {
            // EOPNOTSUPP: a process of it has made it threaded (cgroup-v2.rst, "Threads").
            Err(why)
                if (why.kind() == ErrorKind::NotFound && self.path.exists())
                    || why.raw_os_error() == Some(nix::libc::EOPNOTSUPP) =>
            {
                self.signal(main, &[nix::libc::SIGKILL]);
                Ok(())
            }
            Err(why) if why.kind() == ErrorKind::NotFound || is_gone(&why) => Ok(()),
            other => other,
        }
    }

    /// Sends these signals to each of its processes, and to its main one in any case: root's programs can leave their
    /// cgroup, and are the run's all the same.
    pub(crate) fn signal(&self, main: Option<&Main>, signals: &[i32]) {
        // Gone is as good as told; a stranger's process (another user namespace) cannot be.
        let tell = |process: &PidFd| {
            signals.iter().any(|signal| process.signal(*signal) == Ok(Delivery::Gone))
        };
        // Told already, without another look; where it is gone, its number may be another's.
        let told = main.filter(|main| !tell(&main.process)).map(|main| main.pid);
        for pid in self.processes().into_iter().filter(|pid| Some(*pid) != told) {
            let Ok(process) = PidFd::open(Pid::from_raw(pid)) else { continue };
            // The number may have become another process's since it was read.
            if self.has(pid) {
                tell(&process);
            }
        }
    }

    /// What it used, as far as the kernel tells. To be asked before [`RunCgroup::remove`].
    pub(crate) fn account(&self) -> Account {
        statistics::account(&self.path, self.control.as_deref())
    }

    /// What it uses now, without pressure: one file is read of a plain run, six at most.
    pub(crate) fn usage(&self) -> LiveUsage {
        usage::usage(&self.path, self.control.as_deref())
    }

    /// What it uses now, with pressure: three files more.
    pub(crate) fn detailed_usage(&self) -> LiveUsage {
        LiveUsage { pressure: usage::pressures(&self.path), ..self.usage() }
    }

    /// Removes it, with what the run made below it.
    pub(crate) fn remove(&self) {
        remove_all(&self.path);
        if let Some(control) = &self.control {
            control.remove();
        }
        if let Some(parent) = self.path.parent() {
            remove_unless_shared(parent);
        }
    }

    /// For messages.
    pub(crate) fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Its processes, and those of what the run made below it.
    fn processes(&self) -> Vec<i32> {
        let mut found = Vec::new();
        let mut open = vec![self.path.clone()];
        while let Some(folder) = open.pop() {
            let list = read_list(&folder.join("cgroup.procs"));
            // Of a threaded one only the threads can be read; the first of a process has its number.
            let list = list.or_else(|_| read_list(&folder.join("cgroup.threads")));
            let list = list.unwrap_or_default();
            found.extend(list.lines().filter_map(|pid| pid.parse::<i32>().ok()));
            open.extend(folders(&folder));
        }
        found
    }

    /// The same of one that is held, whose number is `pid` still. Newer kernels tell with less ado than by a text.
    pub(crate) fn holds(&self, process: &PidFd, pid: i32) -> bool {
        let told = process.cgroup().ok().flatten();
        let ours = || fs::metadata(&self.path).map(|folder| folder.ino()).ok();
        // It may also live in a cgroup below.
        (told.is_some() && told == ours()) || self.has(pid)
    }

    /// Whether this process is in it.
    pub(crate) fn has(&self, pid: i32) -> bool {
        let listed = read_small(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let mut lines = listed.split(|byte| *byte == b'\n');
        let own = lines.find_map(|line| line.strip_prefix(b"0::")).unwrap_or_default();
        // The run's id is in the path, and no other cgroup has it.
        let run = self.path.file_name().map_or(&b"/"[..], OsStr::as_bytes);
        own.split(|byte| *byte == b'/').any(|part| part == run)
    }
}

impl Watch {
    /// Whether no process is left; reading it arms the next wake-up.
    pub(crate) fn is_empty(&self) -> bool {
        let mut buffer = [0; 256];
        match self.events.read_at(&mut buffer, 0) {
            Ok(length) => !populated(buffer.get(..length).unwrap_or_default()),
            Err(why) => is_gone(&why),
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}

/// A list of the kernel's, to its end. It has no length to be asked for beforehand.
fn read_list(path: &Path) -> io::Result<String> {
    let mut list = String::with_capacity(512);
    File::open(path)?.take(u64::MAX).read_to_string(&mut list)?;
    Ok(list)
}

/// ENODEV: the cgroup was removed while the file was open.
fn is_gone(why: &io::Error) -> bool {
    why.raw_os_error() == Some(nix::libc::ENODEV)
}

/// The line `populated 1`.
fn populated(events: &[u8]) -> bool {
    events.split(|byte| *byte == b'\n').any(|line| line == b"populated 1")
}
