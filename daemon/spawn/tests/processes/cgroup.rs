//! Cgroups: children live in theirs from before their program on.

use crate::program::{input, methods, output, run};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use spawn::{Failure, PlanInput, Stage};
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

/// A cgroup of a test's own, removed with everything in it.
pub(crate) struct Group {
    path: PathBuf,
    /// Its name as /proc/PID/cgroup has it.
    pub(crate) name: String,
}

impl Group {
    /// `None`, and a word about it, where there is no v2 hierarchy to write to.
    pub(crate) fn v2() -> Option<Self> {
        let group = mount_of("cgroup2", "").and_then(|mount| Self::below(&mount));
        if group.is_none() {
            println!("skipped: there is no v2 cgroup that we may make cgroups in");
        }
        group
    }

    /// In whatever v1 hierarchy there is; cpusets are left alone, as nobody can join a new one.
    fn v1() -> Option<Self> {
        ["freezer", "pids", "name=systemd"]
            .into_iter()
            .find_map(|controller| Self::below(&mount_of("cgroup", controller)?))
    }

    pub(crate) fn below(parent: &Path) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("spawn-test-{}-{number}", std::process::id());
        let path = parent.join(&name);
        fs::create_dir(&path).ok()?;
        Some(Self { path, name })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn folder(&self) -> OwnedFd {
        File::open(&self.path).unwrap().into()
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.path.join(file), text).unwrap();
    }

    fn has_processes(&self) -> bool {
        !fs::read_to_string(self.path.join("cgroup.procs")).unwrap().is_empty()
    }

    /// Waits until `cgroup.events` says `line`.
    fn wait_for(&self, line: &str) {
        let path = self.path.join("cgroup.events");
        loop {
            // Opened before it is read: a change in between makes poll return at once.
            let file = File::open(&path).unwrap();
            if std::io::read_to_string(&file).unwrap().lines().any(|each| each == line) {
                return;
            }
            let mut events = [PollFd::new(file.as_fd(), PollFlags::POLLPRI)];
            poll(&mut events, PollTimeout::NONE).unwrap();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if self.path.join("cgroup.kill").exists() && self.has_processes() {
            self.write("cgroup.kill", "1");
            self.wait_for("populated 0");
        }
        if let Err(error) = fs::remove_dir(&self.path) {
            println!("{} is left behind: {error}", self.path.display());
        }
    }
}

/// proc_pid_mountinfo(5): the mount point is the fifth field; after " - " come the type, the source
/// and the options, among which are a v1 hierarchy's controllers.
fn mount_of(kind: &str, option: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let fits = right.next() == Some(kind)
            && right.nth(1)?.split(',').any(|each| option.is_empty() || each == option);
        fits.then(|| left.split(' ').nth(4).map(PathBuf::from)).flatten()
    })
}

fn show_cgroups() -> PlanInput {
    input("/bin/cat", &["cat", "/proc/self/cgroup"])
}

fn lines_with(text: &str, name: &str) -> usize {
    text.lines().filter(|line| line.ends_with(&format!("/{name}"))).count()
}

pub(crate) fn children_live_in_their_cgroups() {
    let Some(group) = Group::v2() else { return };
    let legacy = Group::v1();
    for method in methods() {
        let mut cat = show_cgroups();
        cat.cgroup = Some(group.folder());
        if let Some(legacy) = &legacy {
            let procs = File::options().write(true).open(legacy.path.join("cgroup.procs"));
            cat.legacy_cgroups.push(procs.unwrap().into());
        }
        let text = output(method, cat);
        assert_eq!(lines_with(&text, &group.name), 1, "{method}: {text}");
        if let Some(legacy) = &legacy {
            assert_eq!(lines_with(&text, &legacy.name), 1, "{method}: {text}");
        }
        let ours = fs::read_to_string("/proc/self/cgroup").unwrap();
        assert_eq!(output(method, show_cgroups()), ours, "without a cgroup, in ours");
    }
}

pub(crate) fn a_descriptor_of_no_cgroup_is_refused() {
    for method in methods() {
        for path in ["/dev/null", "/tmp"] {
            let mut input = show_cgroups();
            input.cgroup = Some(File::open(path).unwrap().into());
            let failure = run(method, input).unwrap_err();
            assert_eq!((failure.stage, failure.pid), (Stage::Cgroup, None), "{method} {path}");
        }
        // A read-only file fails only in the child.
        let mut input = show_cgroups();
        input.legacy_cgroups.push(File::open("/dev/null").unwrap().into());
        let failure = run(method, input).unwrap_err();
        assert_eq!((failure.stage, failure.errno), (Stage::Cgroup, Errno::EBADF), "{method}");
        assert!(failure.pid.is_some());
    }
}

/// A frozen cgroup stands for whatever holds a child up between its birth and its program.
pub(crate) fn a_kill_of_the_cgroup_ends_a_start_that_hangs() {
    for method in methods() {
        let Some(group) = Group::v2() else { return };
        let mut input = show_cgroups();
        input.cgroup = Some(group.folder());
        group.write("cgroup.freeze", "1");
        let failure = thread::scope(|scope| {
            let start = scope.spawn(|| run(method, input));
            group.wait_for("populated 1");
            group.write("cgroup.kill", "1");
            start.join().unwrap().unwrap_err()
        });
        let pid = failure.pid;
        assert!(pid.is_some(), "{method}");
        assert_eq!(failure, Failure { stage: Stage::Killed, errno: Errno::EINTR, pid }, "{method}");
    }
}
