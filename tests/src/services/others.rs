//! Other supervisors, started beside ours.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{cgroup::Cage, process::Process, procfs, wait::eventually};

/// A supervisor that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// s6-svscan of s6.
    S6,
    /// runsvdir of runit.
    Runit,
}

/// One that runs, in a cgroup of its own. Everything of it is gone when it is dropped.
#[derive(Debug)]
pub struct Supervision {
    /// Dropped first: what its folder holds is written by those who live in it.
    cage: Cage,
    process: Process,
    count: usize,
    _folder: TempDir,
}

impl Other {
    /// Both.
    pub const ALL: [Self; 2] = [Self::S6, Self::Runit];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::S6 => "s6-svscan",
            Self::Runit => "runsvdir",
        }
    }

    /// Debian's package of it.
    #[must_use]
    pub fn package(self) -> &'static str {
        match self {
            Self::S6 => "s6",
            Self::Runit => "runit",
        }
    }

    /// Why it cannot be started here; none where it can.
    #[must_use]
    pub fn missing(self) -> Option<String> {
        let path = Path::new("/usr/bin").join(self.name());
        (!path.exists()).then(|| format!("skipped: needs {}", self.package()))
    }

    /// Writes a folder of services that sleep; [`Supervision::start`] does the rest.
    ///
    /// # Panics
    /// Where it cannot be written.
    #[must_use]
    pub fn furnish(self, count: usize) -> TempDir {
        let folder = tempfile::Builder::new().prefix("aurae-").tempdir_in("/dev/shm");
        let folder = folder.expect("a folder in memory");
        for number in 0..count {
            let service = folder.path().join(format!("service-{number:05}"));
            fs::create_dir(&service).expect("our folder");
            let run = service.join("run");
            fs::write(&run, "#!/bin/sh\nexec /bin/sleep infinity\n").expect("our folder");
            fs::set_permissions(&run, Permissions::from_mode(0o755)).expect("our file");
        }
        folder
    }
}

impl Supervision {
    /// Starts it over a furnished folder of as many services.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(other: Other, folder: TempDir, count: usize) -> Self {
        let cage = Cage::make().expect("a cgroup v2 hierarchy that is ours to write");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", r#"echo 0 > "$0/cgroup.procs" && exec "$@""#]).arg(cage.path());
        command.arg(PathBuf::from("/usr/bin").join(other.name()));
        match other {
            // It takes 500 services unless it is told.
            Other::S6 => command.args(["-c", &(count + 10).to_string()]).arg(folder.path()),
            Other::Runit => command.arg(folder.path()),
        };
        let process = Process::start(command, || {});
        Self { cage, process, count, _folder: folder }
    }

    /// Waits until as many services sleep.
    ///
    /// # Panics
    /// Where they do not.
    pub fn await_all(&self) {
        // The supervisor, and for each service one that watches and one that is watched.
        let enough = 1 + 2 * self.count;
        let all = || self.cage.processes();
        eventually("the processes are there", || {
            let ended = self.process.end_within(std::time::Duration::ZERO);
            assert!(ended.is_none(), "it ended with {ended:?}: {}", self.process.log());
            all().len() >= enough
        });
        eventually("they sleep", || {
            let sleeping = |pid: &&i32| procfs::command(**pid) == "sleep";
            all().iter().filter(sleeping).count() >= self.count
        });
    }

    /// What it needs, all but the services themselves, in KiB.
    #[must_use]
    pub fn pss_kib(&self) -> u64 {
        let own = self.cage.processes().into_iter();
        own.filter(|&pid| procfs::command(pid) != "sleep").filter_map(procfs::pss_kib).sum()
    }
}
