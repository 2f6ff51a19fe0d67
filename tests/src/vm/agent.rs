//! The agent in a machine, as a test has it: it looks, writes and kills there, whatever the daemon does.

use std::{
    io,
    net::{Ipv4Addr, Shutdown, TcpStream},
};

use crate::vm::{LONG, wire};

/// A process of a machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// The name, as the kernel has it: 15 bytes at most.
    pub name: String,
    /// Its id.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// Its state: `R`, `S`, `Z`…
    pub state: char,
}

/// Talks to the agent of one machine.
#[derive(Clone, Copy, Debug)]
pub struct Agent {
    /// Where its requests are forwarded from.
    pub(crate) port: u16,
}

impl Agent {
    /// Says a request, and waits for the answer.
    ///
    /// # Errors
    /// As the agent answers, or where it does not.
    pub fn ask(self, words: &[&str], body: &[u8]) -> io::Result<Vec<u8>> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(LONG))?;
        stream.set_write_timeout(Some(LONG))?;
        wire::ask(&stream, words, body)?;
        stream.shutdown(Shutdown::Write)?;
        wire::answered(&stream)
    }

    /// What it answers.
    ///
    /// # Panics
    /// Where it refuses.
    #[must_use]
    #[track_caller]
    fn told(self, words: &[&str]) -> Vec<u8> {
        self.ask(words, &[]).unwrap_or_else(|why| panic!("the machine's agent, {words:?}: {why}"))
    }

    /// A file's content.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[must_use]
    #[track_caller]
    pub fn read(self, path: &str) -> String {
        String::from_utf8_lossy(&self.told(&["read", path])).into_owned()
    }

    /// Whether there is something at this path.
    #[must_use]
    pub fn is_there(self, path: &str) -> bool {
        self.ask(&["look", path], &[]).is_ok()
    }

    /// Writes a file anew, and has the disk keep it.
    ///
    /// # Panics
    /// Where it cannot be written.
    #[track_caller]
    pub fn write(self, path: &str, bytes: &[u8]) {
        self.ask(&["write", path], bytes).unwrap_or_else(|why| panic!("writing {path}: {why}"));
    }

    /// Removes a file, or a folder with all that is in it.
    ///
    /// # Panics
    /// Where it cannot be removed.
    #[track_caller]
    pub fn remove(self, path: &str) {
        let _ = self.told(&["remove", path]);
    }

    /// Renames a file or a folder.
    ///
    /// # Panics
    /// Where it cannot be renamed.
    #[track_caller]
    pub fn rename(self, from: &str, to: &str) {
        let _ = self.told(&["rename", from, to]);
    }

    /// Copies a file.
    ///
    /// # Panics
    /// Where it cannot be copied.
    #[track_caller]
    pub fn copy(self, from: &str, to: &str) {
        let _ = self.told(&["copy", from, to]);
    }

    /// Makes a folder, and those that it is in.
    ///
    /// # Panics
    /// Where it cannot be made.
    #[track_caller]
    pub fn folder(self, path: &str) {
        let _ = self.told(&["folder", path]);
    }

    /// Where a symbolic link leads.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[must_use]
    #[track_caller]
    pub fn target(self, path: &str) -> String {
        String::from_utf8_lossy(&self.told(&["target", path])).into_owned()
    }

    /// Has the filesystem of this path hang: whoever writes to it from now on waits.
    ///
    /// # Panics
    /// Where it cannot be had.
    #[track_caller]
    pub fn freeze(self, path: &str) {
        let _ = self.told(&["freeze", path]);
    }

    /// Has the kernel use a new file of this path for swap.
    ///
    /// # Panics
    /// Where it cannot be had.
    #[track_caller]
    pub fn swap(self, path: &str) {
        let _ = self.told(&["swap", path]);
    }

    /// Mounts the filesystem that is in a file, by a loop device.
    ///
    /// # Panics
    /// Where it cannot be mounted.
    #[track_caller]
    pub fn mount_file(self, file: &str, point: &str) {
        let _ = self.told(&["loop", file, point]);
    }

    /// Loads the kernel of this file, to be executed with this command line in the place of the one that runs.
    ///
    /// # Panics
    /// Where the one that runs refuses it.
    #[track_caller]
    pub fn load_kernel(self, path: &str, command_line: &str) {
        self.ask(&["load-kernel", path], command_line.as_bytes())
            .unwrap_or_else(|why| panic!("loading the kernel {path}: {why}"));
    }

    /// What the kernel's log has.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[must_use]
    #[track_caller]
    pub fn kernel_log(self) -> String {
        String::from_utf8_lossy(&self.told(&["kernel-log"])).into_owned()
    }

    /// Mounts some memory.
    ///
    /// # Panics
    /// Where it cannot be mounted.
    #[track_caller]
    pub fn mount_memory(self, point: &str) {
        let _ = self.told(&["memory", point]);
    }

    /// Has the disks keep everything.
    ///
    /// # Panics
    /// Where the agent is gone.
    #[track_caller]
    pub fn sync(self) {
        let _ = self.told(&["sync"]);
    }

    /// The names in a folder, in order.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[must_use]
    #[track_caller]
    pub fn list(self, path: &str) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.told(&["list", path])).into_owned();
        text.lines().map(str::to_owned).collect()
    }

    /// Writes zeros into a file until the filesystem is full: how many bytes.
    ///
    /// # Panics
    /// Where that fails otherwise.
    #[track_caller]
    pub fn fill(self, path: &str) -> u64 {
        let told = String::from_utf8_lossy(&self.told(&["fill", path])).into_owned();
        told.trim().parse().expect("a number of bytes")
    }

    /// Signals a process: by number, since 0 may be meant.
    ///
    /// # Panics
    /// Where that is refused.
    #[track_caller]
    pub fn kill(self, pid: i32, signal: i32) {
        let _ = self.told(&["kill", &pid.to_string(), &signal.to_string()]);
    }

    /// Executes a program beside the daemon, and waits for it: its status as a shell has it, and what it printed.
    ///
    /// # Panics
    /// Where it cannot be executed.
    #[must_use]
    #[track_caller]
    pub fn run(self, words: &[&str]) -> (i32, String) {
        let mut all = vec!["run"];
        all.extend(words);
        let told = String::from_utf8_lossy(&self.told(&all)).into_owned();
        let (status, printed) = told.split_once('\n').expect("a status, and what was printed");
        (status.parse().expect("a status"), printed.to_owned())
    }

    /// Every process but the kernel's own, in the order of their ids.
    ///
    /// # Panics
    /// Where they cannot be listed.
    #[must_use]
    #[track_caller]
    pub fn processes(self) -> Vec<Seen> {
        let text = String::from_utf8_lossy(&self.told(&["processes"])).into_owned();
        let mut seen: Vec<Seen> = text.lines().map(process).collect();
        seen.sort_by_key(|process| process.pid);
        seen
    }
}

fn process(line: &str) -> Seen {
    let mut words = line.splitn(4, ' ');
    let mut word = || words.next().expect("four words");
    Seen {
        pid: word().parse().expect("a process id"),
        parent: word().parse().expect("a process id"),
        state: word().chars().next().expect("a state"),
        name: word().to_owned(),
    }
}
