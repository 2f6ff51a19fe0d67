//! Where what is wrong with the configuration is said: on standard error, and of a machine's first process in the kernel's
//! log, too, since its console may scroll away, and no store is open yet.

use std::io::{self, Write};

use keeper::kernel_log;

use super::Role;

/// So many lines at most; what is wrong with a file takes five.
const MOST_LINES: usize = 20;

/// Says it.
pub(super) fn tell(role: Role, sentence: &str) {
    match role {
        Role::Machine => {
            let lines = sentence.lines().take(MOST_LINES);
            lines.for_each(|line| kernel_log::tell(&format!("auraed-core: {line}")));
        }
        Role::Service | Role::Container => {}
    }
    drop(writeln!(io::stderr().lock(), "auraed-core: {sentence}"));
}
