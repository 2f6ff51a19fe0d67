//! Which keeper this is: boot is once for each.

use crate::processes;

/// A process that has a keeper's pid, and when it began, which no other has both of (proc_pid_stat(5), field 22:
/// clock ticks since the machine started).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeeperInstance {
    pub(crate) pid: i32,
    pub(crate) began: u64,
}

impl KeeperInstance {
    /// Of the process with this number. What cannot be found out is 0, the same for every daemon of this keeper.
    pub(crate) fn of(pid: i32) -> Self {
        Self { pid, began: processes::began(pid).unwrap_or(0) }
    }

    /// Whether there is a process that is this one, and lives: one that was killed may wait long to be reaped.
    pub(crate) fn is_there(&self) -> bool {
        self.began != 0 && Self::of(self.pid) == *self && !processes::is_zombie(self.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A parent may be in no hurry.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a child of our own that ends at once")]
    fn one_that_waits_to_be_reaped_is_not_there() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut child = std::process::Command::new("/bin/cat")
            .stdin(reader)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id().try_into().unwrap();
        let instance = KeeperInstance::of(pid);
        assert!(instance.is_there());
        drop(writer);
        while !processes::is_zombie(pid) {
            std::thread::yield_now();
        }
        assert!(!instance.is_there());
        child.wait().unwrap();
    }

    #[test]
    fn a_process_is_told_from_its_parent() {
        let own = KeeperInstance::of(std::process::id().try_into().unwrap());
        assert_eq!(own, KeeperInstance::of(std::process::id().try_into().unwrap()));
        assert_ne!(own.began, 0);
    }
}
