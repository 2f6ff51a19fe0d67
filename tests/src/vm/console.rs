//! What a machine prints: its first serial line, which qemu writes into a file.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::wait::holds_within;

/// How many lines a failure shows.
const TAIL: usize = 60;

/// The file that a machine prints into.
#[derive(Clone, Debug)]
pub struct Console {
    path: PathBuf,
}

impl Console {
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Everything so far, without carriage returns.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = fs::read(&self.path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\r', "")
    }

    /// How often it says so.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        self.text().matches(text).count()
    }

    /// The last lines.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = self.text();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    /// Waits until it says so.
    ///
    /// # Panics
    /// Where it does not in time.
    #[track_caller]
    pub fn until(&self, text: &str) {
        let held = holds_within(super::LONG, || self.count(text) > 0);
        assert!(held, "the console never said {text:?}; its last lines:\n{}", self.tail());
    }
}
