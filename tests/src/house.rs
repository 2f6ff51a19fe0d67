//! A place for one daemon: its folder, cgroup, configuration and readiness socket.

use std::{
    fs::{self, Permissions},
    os::{
        fd::AsFd,
        unix::{
            fs::{PermissionsExt, chown},
            net::UnixDatagram,
        },
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    binaries,
    cgroup::{self, Cage},
    mount::Mount,
    options::{Options, Tracking},
    process::{Output, Process},
    procfs,
    wait::{Deadline, PATIENCE, readable},
};

/// Everything that a daemon needs before it starts. Gone when dropped.
#[derive(Debug)]
pub struct House {
    pub(crate) options: Options,
    pub(crate) cage: Option<Cage>,
    /// Where the daemon's own cgroup would be, without a cage.
    base: Option<PathBuf>,
    binaries: PathBuf,
    notify: UnixDatagram,
    /// Dropped before the folder, which cannot be removed with anything mounted in it.
    mounts: Mutex<Vec<Mount>>,
    folder: TempDir,
    /// The runtime folder is in here: in memory, as /run is.
    memory: TempDir,
}

impl House {
    /// Prepares one.
    ///
    /// # Panics
    /// Where the machine lacks something that the test should have named as a [`crate::Need`].
    #[must_use]
    pub fn prepare(options: Options) -> Self {
        // Short: a socket's path has at most 107 bytes.
        let folder =
            tempfile::Builder::new().prefix("aurae-").tempdir().expect("a temporary folder");
        let memory = in_memory();
        let inside = folder.path();
        fs::set_permissions(inside, Permissions::from_mode(0o755)).expect("it is ours");
        let notify = UnixDatagram::bind(inside.join("notify")).expect("a socket in our folder");
        fs::set_permissions(inside.join("notify"), Permissions::from_mode(0o777))
            .expect("it is ours");
        // Where programs of any user may leave files for the test to read.
        fs::create_dir(inside.join("work")).expect("our folder");
        fs::set_permissions(inside.join("work"), Permissions::from_mode(0o777))
            .expect("it is ours");
        let binaries = match options.uid {
            Some(_) => binaries::reachable(inside),
            None => binaries::folder().to_path_buf(),
        };
        let cage = if options.uncaged { None } else { Cage::make() };
        if let Some(uid) = options.uid {
            for folder in [inside, memory.path()] {
                chown(folder, Some(uid), Some(uid)).expect("root may give files away");
            }
        }
        if options.delegated {
            let cage = cage.as_ref().expect("a test of delegation needs a cgroup");
            cage.delegate(options.uid.unwrap_or(0)).expect("root may give cgroups away");
        }
        let parent = inside.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
        let base = cgroup::mount()
            .zip(procfs::cgroup("self"))
            .map(|(mount, own)| mount.join(own.strip_prefix("/").unwrap_or(&own)).join(&parent));
        let mounts = Mutex::default();
        let house = Self { options, cage, base, binaries, notify, mounts, folder, memory };
        fs::write(house.config(), house.configuration(&parent)).expect("our folder");
        house
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder that programs of any user may write.
    #[must_use]
    pub fn work(&self, name: &str) -> String {
        self.path().join("work").join(name).to_str().expect("UTF-8").to_owned()
    }

    /// The API's socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime_dir().join("aurae.sock")
    }

    /// The state folder.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.path().join("state")
    }

    /// The runtime folder, which holds the socket.
    #[must_use]
    pub fn runtime_dir(&self) -> PathBuf {
        self.memory.path().join("run")
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path().join("auraed.toml")
    }

    /// One of the programs under test, as the daemon's user reaches it.
    #[must_use]
    pub fn binary(&self, name: &str) -> String {
        let ours = self.options.binaries.as_ref().filter(|folder| folder.join(name).exists());
        ours.unwrap_or(&self.binaries).join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Keeps a mount until the house is gone, or [`House::unmount`].
    pub fn keep(&self, mount: Mount) {
        self.mounts.lock().unwrap_or_else(PoisonError::into_inner).push(mount);
    }

    /// Undoes every mount that was kept, the last one first.
    pub fn unmount(&self) {
        let mut mounts = self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(mount) = mounts.pop() {
            drop(mount);
        }
    }

    fn configuration(&self, parent: &str) -> String {
        let mut sections = self.options.lines.clone();
        let mut add = |section, line| sections.entry(section).or_default().push(line);
        add("system", "node = \"test-node\"".to_owned());
        match self.options.tracking {
            Tracking::Auto => add("cgroup", format!("parent = \"{parent}\"")),
            Tracking::BestEffort => add("cgroup", "mode = \"off\"".to_owned()),
        }
        if let Some(method) = self.options.spawn {
            add("spawn", format!("method = \"{method}\""));
        }
        let section =
            |(name, lines): (&&str, &Vec<String>)| format!("[{name}]\n{}\n\n", lines.join("\n"));
        sections.iter().map(section).collect()
    }

    /// A command line that runs a program as the daemon's user, in the daemon's cage, with an environment
    /// that leads nowhere but here.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let program = if program.contains('/') { program.to_owned() } else { self.binary(program) };
        let mut words: Vec<String> = Vec::new();
        if let Some(cage) = &self.cage {
            // The shell goes in and becomes the program: nothing of it ever runs outside.
            let enter = r#"echo 0 > "$0/cgroup.procs" && exec "$@""#;
            words.extend(["/bin/sh", "-c", enter].map(str::to_owned));
            words.push(cage.path().to_str().expect("UTF-8").to_owned());
        }
        if let Some(uid) = self.options.uid {
            words.push("/usr/bin/setpriv".to_owned());
            words.extend([format!("--reuid={uid}"), format!("--regid={uid}")]);
            words.push("--clear-groups".to_owned());
        }
        words.push(program);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir("/").env("HOME", self.path());
        for key in ["AURAE_SOCKET", "NOTIFY_SOCKET", "XDG_CONFIG_HOME", "XDG_STATE_HOME"] {
            command.env_remove(key);
        }
        command.env("XDG_RUNTIME_DIR", self.path());
        command
    }

    /// The daemon's command line with this house's own folders.
    #[must_use]
    pub fn auraed(&self) -> Command {
        let mut command = self.command("auraed");
        command.arg("--config").arg(self.config()).arg("--socket").arg(self.socket());
        command
            .arg("--state-dir")
            .arg(self.state_dir())
            .arg("--runtime-dir")
            .arg(self.runtime_dir());
        command.args(&self.options.arguments).env("NOTIFY_SOCKET", self.path().join("notify"));
        command.envs(self.options.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    /// The same below a subreaper, which reaps what a killed keeper leaves (`prompt`), or does not (`lazy`).
    ///
    /// # Panics
    /// Never: the command lines are ours.
    #[must_use]
    pub fn auraed_below(&self, mode: &str) -> Command {
        let auraed = self.auraed();
        let mut command = Command::new(binaries::path("reaper"));
        command.arg(mode).arg(auraed.get_program()).args(auraed.get_args()).current_dir("/");
        for (key, value) in auraed.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        command
    }

    /// Starts `command`; its end is announced on the readiness socket, so that one wait sees both.
    #[must_use]
    pub(crate) fn launch(&self, command: Command) -> Process {
        let to = self.path().join("notify");
        Process::start(command, move || {
            // The folder may be gone already: then nobody waits.
            let _ = UnixDatagram::unbound().and_then(|socket| socket.send_to(b"X_ENDED=1", to));
        })
    }

    /// Starts a daemon and waits until it is ready, without the care of a [`crate::Daemon`]: for tests that
    /// kill it and go on with the house.
    ///
    /// # Panics
    /// Where it does not become ready.
    #[must_use]
    #[track_caller]
    pub fn start_raw(&self) -> Process {
        // Not announced: its end would look like that of the daemon that comes next.
        let keeper = Process::start(self.auraed(), || {});
        assert!(self.becomes_ready(), "the daemon did not become ready:\n{}", keeper.log());
        keeper
    }

    /// Starts a daemon that has to refuse: what it printed, and its status.
    #[must_use]
    pub fn refused(&self) -> Output {
        self.refuses(self.auraed())
    }

    /// Starts a daemon with a command line of the test's own that has to refuse.
    ///
    /// # Panics
    /// Where it does not end, or ends with status 0, or says nothing.
    #[must_use]
    #[track_caller]
    pub fn refuses(&self, command: Command) -> Output {
        let output = Process::start(command, || {}).finish();
        assert!(!output.status.success(), "it should have refused; it said:\n{}", output.err());
        assert!(!output.stderr.is_empty(), "it refused without a word");
        output
    }

    /// Waits for a notice on the readiness socket; none where the daemon ends before, or never sends it.
    #[must_use]
    pub(crate) fn notice(&self, wanted: &str, span: Duration) -> Option<String> {
        let deadline = Deadline::after(span);
        let mut buffer = [0; 4096];
        while readable(self.notify.as_fd(), deadline) {
            let count = self.notify.recv(&mut buffer).ok()?;
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if text.lines().any(|line| line == wanted) {
                return Some(text);
            }
            if text == "X_ENDED=1" {
                return None;
            }
        }
        None
    }

    /// Every cgroup that the daemon has made, for those who want to see that none is left.
    #[must_use]
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let mut all = match (&self.cage, &self.base) {
            (Some(cage), _) => cage.below(),
            (None, Some(base)) if base.exists() => {
                let mut all = cgroup::below(base);
                all.push(base.clone());
                all
            }
            (None, _) => Vec::new(),
        };
        all.extend(self.path().file_name().into_iter().flat_map(cgroup::legacy));
        all
    }

    /// Waits for [`PATIENCE`] until READY=1 arrives.
    pub(crate) fn becomes_ready(&self) -> bool {
        self.notice("READY=1", PATIENCE).is_some()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // With a cage this is inside it, and goes with it.
        if let (None, Some(base)) = (&self.cage, &self.base)
            && base.exists()
            && !cgroup::remove(base)
        {
            eprintln!("the cgroup {} could not be removed", base.display());
        }
    }
}

/// A temporary folder where a machine has /run: in memory, if this one has such a place.
fn in_memory() -> TempDir {
    let mut builder = tempfile::Builder::new();
    let open = Permissions::from_mode(0o755);
    builder.prefix("aurae-").permissions(open);
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).expect("a temporary folder")
}
