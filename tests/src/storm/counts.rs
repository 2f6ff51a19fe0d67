//! What a storm has shown.

use std::{fmt, time::Duration};

/// How many complaints are shown; the first ones tell most.
const SHOWN: usize = 30;

/// The counts of a storm.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    seed: u64,
    /// How often the daemon died.
    pub kills: u32,
    pub(super) while_starting: u32,
    pub(super) faults: u32,
    pub(super) orders: u32,
    pub(super) ordered_unborn: u32,
    pub(super) took: Duration,
    pub(super) lives: usize,
    pub(super) lost: usize,
    pub(super) twice: usize,
    pub(super) words_wrong: usize,
    pub(super) changes: usize,
    pub(super) lines_written: u64,
    pub(super) lines_found: u64,
    pub(super) lines_followed: u64,
    pub(super) lines_lost: u64,
    pub(super) lines_repeated: u64,
    pub(super) bytes_written: u64,
    pub(super) printing: Duration,
    pub(super) exits: usize,
    pub(super) exits_lost: usize,
    pub(super) exits_wrong: usize,
    pub(super) commands: usize,
    pub(super) answers_lost: usize,
    pub(super) writes: u64,
    pub(super) writes_without_answer: u64,
    pub(super) writes_lost: usize,
    complaints: Vec<String>,
    more: usize,
}

impl Counts {
    pub(super) fn of(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    pub(super) fn complain(&mut self, what: String) {
        if self.complaints.len() < SHOWN {
            self.complaints.push(what);
        } else {
            self.more += 1;
        }
    }

    /// Nothing was lost, nothing was there twice, nothing was told wrongly.
    ///
    /// # Panics
    /// Where something was.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.complaints.is_empty(), "{self}");
        let seen = self.lives > 0 && self.changes > 0 && self.exits > 0 && self.lines_found > 0;
        assert!(seen && self.commands > 0 && self.writes > 0, "no storm:\n{self}");
    }

    fn rate(&self) -> f64 {
        megabytes(self.bytes_written) / self.printing.as_secs_f64().max(f64::EPSILON)
    }
}

fn megabytes(bytes: u64) -> f64 {
    // Exact up to 2^32 thousands.
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.took.as_secs_f64();
        writeln!(out, "AURAE_SEED={}", self.seed)?;
        writeln!(
            out,
            "deaths of the daemon    {:>9}   {} while starting, {} by faults, {} by order, {} of what was ordered; in {took:.1} s",
            self.kills, self.while_starting, self.faults, self.orders, self.ordered_unborn
        )?;
        writeln!(
            out,
            "lives of services       {:>9}   {} lost, {} twice; {} changes watched; {} logs wrong",
            self.lives, self.lost, self.twice, self.changes, self.words_wrong
        )?;
        writeln!(
            out,
            "lines written           {:>9}   {} found, {} of them by a follower too; {} lost, {} repeated; {:.1} MB at {:.1} MB/s",
            self.lines_written,
            self.lines_found - self.lines_followed,
            self.lines_followed,
            self.lines_lost,
            self.lines_repeated,
            megabytes(self.bytes_written),
            self.rate()
        )?;
        writeln!(
            out,
            "exits as they were      {:>9}   {} lost, {} wrong",
            self.exits, self.exits_lost, self.exits_wrong
        )?;
        writeln!(
            out,
            "commands executed       {:>9}   {} answers lost",
            self.commands, self.answers_lost
        )?;
        writeln!(
            out,
            "writes acknowledged     {:>9}   {} lost; {} more without an answer",
            self.writes, self.writes_lost, self.writes_without_answer
        )?;
        for complaint in &self.complaints {
            writeln!(out, "! {complaint}")?;
        }
        if self.more > 0 {
            writeln!(out, "! and {} more", self.more)?;
        }
        Ok(())
    }
}
