//! The machine's name.

use std::{fs, io};

use nix::unistd::{gethostname, sethostname};

use crate::first::command_line::CommandLine;

/// The longest that the kernel takes (`__NEW_UTS_LEN`).
const LONGEST: usize = 64;

/// Sets it: what the kernel's command line says, or /etc/hostname, or what it is already, or `localhost`.
pub(super) fn set(line: &CommandLine) -> io::Result<()> {
    let file = || named(&fs::read_to_string("/etc/hostname").unwrap_or_default());
    let Some(name) = line.hostname.clone().or_else(file).or_else(otherwise) else {
        return Ok(());
    };
    if name.len() > LONGEST || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(io::Error::other(format!(
            "{name:?} is no name of a machine; write one of at most {LONGEST} characters into /etc/hostname"
        )));
    }
    Ok(sethostname(name)?)
}

/// The first line that is no comment (hostname(5)).
fn named(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim);
    lines.find(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned)
}

/// A name where nobody says one: the kernel may have it from its own command line.
fn otherwise() -> Option<String> {
    let given = gethostname().is_ok_and(|name| !name.is_empty() && name != "(none)");
    (!given).then(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_is_no_comment() {
        assert_eq!(named("# ours\n\n  node7 \nnode8\n").as_deref(), Some("node7"));
        assert_eq!(named("\n# nothing\n"), None);
    }
}
