//! `auraed` as PID 1, at native speed: in namespaces of its own, below which reboot(2) ends nothing but these (a signal to
//! PID 1 tells which end it was: SIGHUP for a reboot, SIGINT for the others).

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{
    binaries,
    cgroup::Cage,
    process::{Output, Process, Seen},
    procfs,
    wait::{Deadline, PATIENCE, eventually},
};

/// How a namespace ends by reboot(2), as `cradle` tells it.
pub const REBOOTED: i32 = 128 + 1;
/// The same of power off and halt.
pub const SWITCHED_OFF: i32 = 128 + 2;

/// What PID 1 finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A machine: the kernel has mounted nothing but /dev.
    #[default]
    Machine,
    /// A container, whose maker has mounted everything, with PID 1 as this user.
    Container(u32),
    /// The same as Docker makes it by default: root without CAP_SYS_ADMIN and the like, /sys and cgroups read-only.
    Docker,
    /// A container in which cgroups are not even mounted.
    WithoutCgroups,
}

/// Its root, which a test furnishes before it starts.
#[derive(Debug)]
pub struct Cradle {
    kind: Kind,
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// PID 1 and all below it.
#[derive(Debug)]
pub struct Machine {
    process: Process,
    pid: i32,
    cradle: Cradle,
    cage: Option<Cage>,
}

/// Whether namespaces may be made here.
#[must_use]
pub fn allowed() -> bool {
    let cradle = Cradle::new(Kind::Container(0));
    let machine = cradle.launch(&["/bin/true"]);
    machine.process.end_within(PATIENCE).is_some_and(|status| status.success())
}

impl Cradle {
    /// A new one, with an empty /etc and /var.
    ///
    /// # Panics
    /// Where no folder can be made.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let folder = tempfile::Builder::new().prefix("aurae-").tempdir().expect("a folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        let cradle = Self { kind, folder, environment: Vec::new() };
        cradle.furnish("console", "");
        cradle.furnish("etc/hostname", "node7\n");
        cradle.furnish("etc/machine-id", "");
        fs::create_dir(cradle.root().join("var")).expect("our folder");
        fs::create_dir(cradle.root().join("work")).expect("our folder");
        let open = fs::Permissions::from_mode(0o1777);
        fs::set_permissions(cradle.root().join("work"), open).expect("ours");
        cradle
    }

    /// Puts a file there.
    ///
    /// # Panics
    /// Where that fails.
    pub fn furnish(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("our folder");
        fs::write(path, content).expect("our folder");
    }

    /// Gives PID 1 a variable.
    #[must_use]
    pub fn environment(mut self, key: &str, value: &str) -> Self {
        self.environment.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a program there as PID 1.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn launch(self, words: &[&str]) -> Machine {
        let cage = Cage::make();
        let mut command = Command::new("/bin/sh");
        // The shell goes in and becomes the program: its cgroup is the root of the new namespace's.
        let enter = r#"if [ -n "$0" ]; then echo 0 > "$0/cgroup.procs"; fi; exec "$@""#;
        let place = cage.as_ref().map_or_else(PathBuf::new, |cage| cage.path().to_path_buf());
        command.args(["-c", enter]).arg(place).arg(binaries::path("cradle")).arg(self.root());
        let user = match self.kind {
            Kind::Machine => "bare".to_owned(),
            Kind::Container(user) => user.to_string(),
            Kind::Docker => "docker".to_owned(),
            Kind::WithoutCgroups => "uncaged".to_owned(),
        };
        command.arg(user).arg("--").args(words).env_clear();
        if self.kind == Kind::Machine {
            command.env("AURAE_ROLE", "machine");
        }
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        let process = Process::start(command, || {});
        let told = || fs::read_to_string(self.root().join("pid")).ok()?.trim_end().parse().ok();
        eventually("PID 1 is made", || told().is_some() || process.end_within_no_time());
        Machine { process, pid: told().unwrap_or(0), cradle: self, cage }
    }

    /// Starts `auraed` there, and waits until its API answers.
    ///
    /// # Panics
    /// Where it does not.
    #[must_use]
    #[track_caller]
    pub fn boot(self, words: &[&str]) -> Machine {
        let all: Vec<&str> = ["/b/auraed"].iter().chain(words).copied().collect();
        let machine = self.launch(&all);
        machine.serves();
        machine
    }
}

impl Machine {
    /// One with nothing special, whose API answers.
    ///
    /// # Panics
    /// Where it does not.
    #[must_use]
    #[track_caller]
    pub fn boot() -> Self {
        Cradle::new(Kind::Machine).boot(&[])
    }

    /// Waits until its API answers.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    pub fn serves(&self) {
        eventually("the API of PID 1 answers", || {
            assert!(!self.process.end_within_no_time(), "PID 1 has ended:\n{}", self.said());
            self.aer(&["status"]).out().contains("state ")
        });
    }

    /// PID 1, as it is called outside.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// A path inside, as it is called outside.
    #[must_use]
    pub fn inside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid))
    }

    /// A file inside.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[must_use]
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        let path = self.inside(path);
        fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
    }

    /// A file of its root, also when it has ended.
    #[must_use]
    pub fn left(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.cradle.root().join(path)).ok()
    }

    /// The same as a path.
    #[must_use]
    pub fn root(&self, path: &str) -> PathBuf {
        self.cradle.root().join(path)
    }

    /// All that was said on its console and standard error.
    #[must_use]
    pub fn said(&self) -> String {
        self.left("console").unwrap_or_default() + &self.process.log()
    }

    /// Runs `aer` against it.
    #[must_use]
    pub fn aer(&self, words: &[&str]) -> Output {
        let mut command = Command::new(binaries::path("aer"));
        command.arg("--socket").arg(self.inside("/run/aurae/aurae.sock")).args(words);
        Process::start(command, || {}).finish()
    }

    /// Runs `aer`, which has to succeed; what it prints.
    ///
    /// # Panics
    /// Where it fails.
    #[track_caller]
    pub fn does(&self, words: &[&str]) -> String {
        let output = self.aer(words);
        assert!(output.status.success(), "aer {words:?}: {}\n{}", output.err(), self.said());
        output.out()
    }

    /// Signals PID 1.
    ///
    /// # Panics
    /// Where that cannot be done.
    pub fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid), signal).expect("it lives");
    }

    /// Signals PID 1 with SIGRTMIN+n.
    ///
    /// # Panics
    /// Where that cannot be done.
    #[track_caller]
    pub fn real_time(&self, n: i32) {
        let signal = format!("-{}", nix::libc::SIGRTMIN() + n);
        let mut command = Command::new("/bin/kill");
        command.arg(signal).arg(self.pid.to_string());
        let output = Process::start(command, || {}).finish();
        assert!(output.status.success(), "{}", output.err());
    }

    /// How it ends, as `cradle` tells it.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    pub fn ends(&self) -> i32 {
        let status = self.process.end_within(PATIENCE);
        let status = status.unwrap_or_else(|| panic!("PID 1 does not end:\n{}", self.said()));
        // Its end may be known before all that it said.
        let read = self.process.wait_for(Deadline::after(PATIENCE), Seen::is_over);
        assert!(read, "somebody holds an output of PID 1 open that has ended:\n{}", self.said());
        status.code().expect("cradle exits")
    }

    /// The processes inside, PID 1 among them, as they are called outside.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let mut all = procfs::descendants(self.pid);
        all.push(self.pid);
        all
    }

    /// What was printed on standard output.
    #[must_use]
    pub fn out(&self) -> String {
        self.process.out()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what PID 1 said ---\n{}---", self.said());
        }
        // With PID 1 the kernel kills everything below it.
        if self.pid > 0 && !self.process.end_within_no_time() {
            let pid = nix::unistd::Pid::from_raw(self.pid);
            let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
            let _ = self.process.end_within(PATIENCE);
        }
        drop(self.cage.take());
    }
}
