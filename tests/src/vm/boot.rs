//! How a machine is started.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::store::{self, Kernel};

/// What a machine is to boot, and how.
#[derive(Clone, Debug)]
pub struct Boot {
    pub(crate) name: String,
    pub(crate) kernel: Kernel,
    pub(crate) initramfs: Option<PathBuf>,
    pub(crate) disk: Option<PathBuf>,
    pub(crate) words: Vec<String>,
    pub(crate) memory: u32,
    pub(crate) processors: u8,
    pub(crate) reboots: bool,
    pub(crate) agent: bool,
    pub(crate) forgets: bool,
    /// How long it may take until its agent answers.
    pub(crate) within: Duration,
}

impl Boot {
    /// Of this kernel. The name is the test's, for what is kept of one that failed.
    #[must_use]
    pub fn of(name: &str, kernel: Kernel) -> Self {
        Self {
            name: name.to_owned(),
            kernel,
            initramfs: None,
            disk: None,
            words: Vec::new(),
            memory: 768,
            processors: 1,
            reboots: false,
            agent: false,
            forgets: false,
            within: super::LONG,
        }
    }

    /// With this initramfs.
    #[must_use]
    pub fn initramfs(mut self, path: &Path) -> Self {
        self.initramfs = Some(path.to_owned());
        self
    }

    /// With the tests' own initramfs: the programs, the probe and the agent.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[must_use]
    pub fn from_memory(self) -> Self {
        let path = super::image::for_tests(self.kernel);
        self.initramfs(&path).with_agent().word(&format!("rdinit={}/guest", super::wire::FOLDER))
    }

    /// With this disk, whose filesystem is the root. What is written there stays there.
    #[must_use]
    pub fn disk(mut self, path: &Path) -> Self {
        self.disk = Some(path.to_owned());
        self.word("root=/dev/nvme0n1").word("rw").word("rootwait")
    }

    /// With a disk of the tests', which has the agent.
    #[must_use]
    pub fn from_disk(self, path: &Path) -> Self {
        self.disk(path).with_agent().word(&format!("init={}/guest", super::wire::FOLDER))
    }

    /// There is an agent, for which the start waits.
    #[must_use]
    pub fn with_agent(mut self) -> Self {
        self.agent = true;
        self
    }

    /// What is written to the disk is gone with the machine.
    #[must_use]
    pub fn forgets(mut self) -> Self {
        self.forgets = true;
        self
    }

    /// One more word of the kernel's command line.
    #[must_use]
    pub fn word(mut self, word: &str) -> Self {
        self.words.push(word.to_owned());
        self
    }

    /// It may take so long until its agent answers: one that does so when much is done.
    #[must_use]
    pub fn within(mut self, span: Duration) -> Self {
        self.within = span;
        self
    }

    /// So many MiB of memory.
    #[must_use]
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.memory = mebibytes;
        self
    }

    /// So many processors. One is the rule: where qemu emulates several at once, one of them may execute an instruction that
    /// another has just replaced, and the kernel, which patches itself (`int3`, static keys), dies of it once in a while.
    #[must_use]
    pub fn processors(mut self, count: u8) -> Self {
        self.processors = count;
        self
    }

    /// A reboot boots it again; otherwise it ends the machine.
    #[must_use]
    pub fn reboots(mut self) -> Self {
        self.reboots = true;
        self
    }

    /// Its command line.
    pub(crate) fn arguments(&self, folder: &Path, acceleration: &str) -> Vec<String> {
        let own = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let mut all = own(&["-accel", acceleration, "-cpu", "max", "-machine", "q35", "-display"]);
        all.extend(own(&[
            "none",
            "-nodefaults",
            "-no-user-config",
            "-serial",
            "stdio",
            "-monitor",
            "none",
        ]));
        all.extend(["-smp".to_owned(), self.processors.to_string()]);
        all.extend(["-m".to_owned(), self.memory.to_string()]);
        let monitor = format!("unix:{},server=on,wait=off", folder.join("monitor").display());
        all.extend(["-qmp".to_owned(), monitor]);
        let network = format!(
            "user,id=network,restrict=on,hostfwd=tcp:127.0.0.1:0-:{},hostfwd=tcp:127.0.0.1:0-:{}",
            super::wire::REQUESTS,
            super::wire::API
        );
        all.extend(["-netdev".to_owned(), network]);
        all.extend(own(&["-device", "virtio-net-pci,netdev=network,romfile="]));
        if !self.reboots {
            all.push("-no-reboot".to_owned());
        }
        all.extend(["-kernel".to_owned(), shown(&store::kernel(self.kernel).image)]);
        if let Some(initramfs) = &self.initramfs {
            all.extend(["-initrd".to_owned(), shown(initramfs)]);
        }
        if let Some(disk) = &self.disk {
            // Written through to the file: what the machine was told to be on the disk is there when qemu is killed.
            let cache = if self.forgets {
                "snapshot=on,cache=unsafe"
            } else {
                "snapshot=off,cache=writethrough"
            };
            let drive = format!("file={},format=raw,if=none,id=disk,{cache}", shown(disk));
            all.extend(["-drive".to_owned(), drive]);
            all.extend(own(&["-device", "nvme,drive=disk,serial=aurae"]));
        }
        all.extend(["-append".to_owned(), self.command_line()]);
        all
    }

    fn command_line(&self) -> String {
        let mut words = vec![
            "console=ttyS0 panic=-1 reboot=t random.trust_cpu=on mitigations=off loglevel=6"
                .to_owned(),
        ];
        // What the guest measures for itself on a busy host can be wrong by much.
        if let Some(kilohertz) = store::host_kilohertz() {
            words.push(format!("tsc_early_khz={kilohertz} tsc=reliable no_timer_check"));
        }
        words.extend(self.words.iter().cloned());
        words.join(" ")
    }
}

fn shown(path: &Path) -> String {
    path.to_str().expect("the harness makes UTF-8 paths").to_owned()
}
