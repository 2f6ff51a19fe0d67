//! The least that can be done: processes made, ended and awaited in a loop, each in a cgroup of its own.

use std::{
    ffi::CString,
    fs::{self, File},
    path::{Path, PathBuf},
};

use nix::libc::SIGTERM;
use spawn::{Delivery, Method, Parentage, Plan, PlanInput, Spawned, Spawner};

use crate::{cgroup::Cage, wait::eventually};

/// Makes processes by the best way there is, and nothing else.
#[derive(Debug)]
pub struct Bare {
    spawner: Spawner,
    null: File,
    cage: Cage,
}

/// A process, and the cgroup that was made for it.
#[derive(Debug)]
pub struct Kept {
    cgroup: PathBuf,
    process: Spawned,
}

impl Bare {
    /// With a cgroup around everything, beside that of a daemon.
    ///
    /// # Panics
    /// Where the machine cannot do it: the test should have named [`crate::Need::Cgroup`].
    #[must_use]
    pub fn prepare() -> Self {
        Self {
            spawner: Spawner::new(Method::Clone3IntoCgroup).expect("built for this machine"),
            null: File::options().read(true).write(true).open("/dev/null").expect("a device"),
            cage: Cage::make().expect("a cgroup v2 hierarchy that is ours to write"),
        }
    }

    /// The cgroup around everything.
    #[must_use]
    pub fn place(&self) -> &Path {
        self.cage.path()
    }

    /// Executes this in a cgroup that is there, and returns when it has been executed.
    ///
    /// # Panics
    /// Where it cannot be executed.
    #[must_use]
    pub fn spawn(&mut self, words: &[&str], cgroup: &Path) -> Spawned {
        let c = |word: &&str| CString::new(*word).expect("no NUL in a word of ours");
        let null = || self.null.try_clone().expect("one more descriptor").into();
        let plan = Plan::new(PlanInput {
            program: c(&words[0]),
            argv: words.iter().map(c).collect(),
            environment: Vec::new(),
            stdin: null(),
            stdout: null(),
            stderr: null(),
            cgroup: Some(File::open(cgroup).expect("it was made").into()),
            legacy_cgroups: Vec::new(),
            new_session: true,
            identity: None,
            working_directory: Some(c"/".to_owned()),
            umask: None,
            nice: None,
            open_files_limit: None,
            oom_score_adjustment: None,
            mark: None,
        });
        let plan = plan.expect("an absolute path");
        self.spawner.spawn(&plan, Parentage::Child).expect("the program is there")
    }

    /// Makes a cgroup and in it a process that sleeps, again and again.
    ///
    /// # Panics
    /// Where one cannot be made.
    #[must_use]
    pub fn start(&mut self, count: usize) -> Vec<Kept> {
        let one = |number| {
            let cgroup = self.cage.path().join(format!("bare-{number:05}"));
            fs::create_dir(&cgroup).expect("a cgroup in our own");
            let process = self.spawn(&["/bin/sleep", "infinity"], &cgroup);
            Kept { cgroup, process }
        };
        (0..count).map(one).collect()
    }

    /// Tells one after the other to end, waits for it, and removes its cgroup.
    ///
    /// # Panics
    /// Where one cannot be removed.
    pub fn stop(&mut self, all: Vec<Kept>) {
        for Kept { cgroup, process } in all {
            let told = process.pidfd.signal(SIGTERM).expect("it is ours");
            assert_eq!(told, Delivery::Sent, "it sleeps");
            process.pidfd.reap().expect("it is our child");
            // Its last moments may outlast the news of its end.
            if fs::remove_dir(&cgroup).is_err() {
                eventually("the cgroup is empty", || fs::remove_dir(&cgroup).is_ok());
            }
        }
    }
}
