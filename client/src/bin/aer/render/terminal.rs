//! The terminal that standard output may be.

use std::io::{self, IsTerminal};

use rustix::termios::tcgetwinsize;

/// How many characters fit beside each other; None where it is no terminal, or one without a width.
pub(crate) fn width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = tcgetwinsize(&stdout).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}
