//! Where what is wrong with the configuration is said: on standard error, and of a machine's first process in the kernel's
//! log, too, since its console may scroll away, and no store is open yet.

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
};

use nix::fcntl::OFlag;

use super::Role;

/// The priority there: a notice of a daemon (syslog(3)), as the keeper's lines have it.
const PRIORITY: &str = "<29>";
/// The longest line: the kernel's own bound is about a kilobyte.
const LONGEST: usize = 900;
/// So many lines at most; what is wrong with a file takes five.
const MOST_LINES: usize = 20;

/// Says it.
pub(super) fn tell(role: Role, sentence: &str) {
    match role {
        Role::Machine => to_kernel(sentence),
        Role::Service | Role::Container => {}
    }
    drop(writeln!(io::stderr().lock(), "auraed-core: {sentence}"));
}

/// There is nobody to tell where that fails.
fn to_kernel(sentence: &str) {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags((OFlag::O_NOCTTY | OFlag::O_NONBLOCK).bits());
    let Ok(mut log) = options.open("/dev/kmsg") else { return };
    for record in records(sentence) {
        // One write is one line there.
        drop(log.write_all(record.as_bytes()));
    }
}

/// Its lines, each as the kernel takes one.
fn records(sentence: &str) -> impl Iterator<Item = String> {
    sentence.lines().take(MOST_LINES).map(|line| {
        let line: String = line.chars().take(LONGEST).collect();
        format!("{PRIORITY}auraed-core: {line}\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_record_and_both_are_bounded() {
        let told: Vec<String> = records("it is wrong:\n  |\n1 | x").collect();
        let expected =
            ["it is wrong:", "  |", "1 | x"].map(|line| format!("<29>auraed-core: {line}\n"));
        assert_eq!(told, expected);
        assert!(records(&"long".repeat(1000)).all(|record| record.len() < 1000));
        assert_eq!(records(&"line\n".repeat(1000)).count(), MOST_LINES);
    }
}
