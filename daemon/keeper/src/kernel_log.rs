//! Lines for the kernel's log, which is there before any store is, and outlives a console.

use std::{fs::OpenOptions, io::Write, os::unix::fs::OpenOptionsExt};

use nix::fcntl::OFlag;

/// The priority there: a notice of a daemon (syslog(3)).
const PRIORITY: &str = "<29>";
/// The longest line, in characters: the kernel's own bound is about a kilobyte.
const LONGEST: usize = 900;

/// Writes a line there. Opened each time: it may come into being. Where that fails there is nobody to tell.
pub fn tell(line: &str) {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags((OFlag::O_NOCTTY | OFlag::O_NONBLOCK).bits());
    if let Ok(mut log) = options.open("/dev/kmsg") {
        // One write is one line there.
        drop(log.write_all(record(line).as_bytes()));
    }
}

fn record(line: &str) -> String {
    let line: String = line.chars().take(LONGEST).collect();
    format!("{PRIORITY}{line}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_bounded() {
        assert_eq!(record("it is wrong"), "<29>it is wrong\n");
        assert!(record(&"long".repeat(1000)).len() < 1000);
    }
}
