//! How a main process ended that is no child of our keeper, since its own was killed.
//!
//! Whoever is above it now (init, or the nearest subreaper) reaps it, sooner or later or never. While it is a zombie
//! /proc/PID/stat has its exit, for who may look into it; when it is reaped the pidfd has it (Linux 6.15). Both are
//! exact. Where neither can be had nothing is guessed: how it ended is unknown.

use std::{fs, io};

use nix::errno::Errno;
use spawn::Delivery;
use units::{Cause, ProcessExit, ProcessUsage};

use crate::{
    clock,
    processes::{Main, stat_fields},
};

/// The signal in what wait(2) tells; 0 where it exited.
const SIGNAL: i32 = 0x7f;
/// Whether a core was dumped, in the same.
const CORE: i32 = 0x80;
/// A tick of the times in /proc/PID/stat, in microseconds: the kernel's USER_HZ is 100 wherever we run.
const TICK: u64 = 10_000;

/// What can be known of a process that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// How it ended.
    Exit(ProcessExit),
    /// Nothing yet: it is not reaped, and we may not look into it.
    NotYet,
    /// Nothing, ever.
    Never(String),
}

/// Looks how it ended; it has.
pub(crate) fn look(main: &Main) -> Known {
    // Its number is its own as long as it is not reaped: looked at again afterwards.
    if let Ok(Some((status, usage))) = as_zombie(main.pid)
        && main.process.signal(0) != Ok(Delivery::Gone)
    {
        return Known::Exit(exit(status, usage));
    }
    match main.process.exit_when_reaped() {
        Ok(Some(status)) => Known::Exit(exit(status, ProcessUsage::default())),
        Ok(None) => Known::NotYet,
        Err(Errno::ENOTTY | Errno::EINVAL) if main.process.signal(0) != Ok(Delivery::Gone) => {
            Known::NotYet
        }
        Err(Errno::ENOTTY | Errno::EINVAL | Errno::ESRCH) => Known::Never(
            "another process reaped it, and this kernel does not tell how it ended (Linux 6.15 does)".to_owned(),
        ),
        Err(why) => Known::Never(format!("the kernel does not tell how it ended: {why}")),
    }
}

/// What a zombie shows, where we may look; in words of wait(2).
fn as_zombie(pid: i32) -> io::Result<Option<(i32, ProcessUsage)>> {
    let fields = stat_fields(pid)?;
    // Who may not look into it is shown 0 (do_task_stat in fs/proc/array.c). The same right is asked for here.
    if fs::read_link(format!("/proc/{pid}/ns/user")).is_err() {
        return Ok(None);
    }
    Ok(shown(&fields))
}

/// The fields of /proc/PID/stat from the third on, if they are a zombie's.
fn shown(fields: &str) -> Option<(i32, ProcessUsage)> {
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // By their numbers in proc_pid_stat(5).
    let field = |number: usize| fields.get(number.checked_sub(3)?).copied();
    if field(3)? != "Z" {
        return None;
    }
    let ticks = |number| field(number)?.parse::<u64>().ok();
    let user_time = ticks(14)?.saturating_add(ticks(16)?).saturating_mul(TICK);
    let system_time = ticks(15)?.saturating_add(ticks(17)?).saturating_mul(TICK);
    Some((field(52)?.parse().ok()?, ProcessUsage { user_time, system_time }))
}

fn exit(status: i32, usage: ProcessUsage) -> ProcessExit {
    let cause = match status & SIGNAL {
        0 => Cause::Exited((status >> 8) & 0xff),
        signal => Cause::Signalled { signal, core_dumped: status & CORE != 0 },
    };
    ProcessExit { cause, at: clock::now().wall, usage }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Fields 3 to 52, each its own number, but these.
    fn line(state: &str, exit: &str) -> String {
        let mut fields: Vec<String> = (3..=52).map(|number| number.to_string()).collect();
        fields[0] = state.to_owned();
        fields[49] = exit.to_owned();
        fields.join(" ")
    }

    #[test]
    fn a_zombie_shows_its_exit_and_times() {
        let usage = ProcessUsage { user_time: (14 + 16) * TICK, system_time: (15 + 17) * TICK };
        assert_eq!(shown(&line("Z", "10752")), Some((10_752, usage)));
        assert_eq!(shown(&line("S", "0")), None);
        assert_eq!(shown("Z 1 2"), None);
    }

    #[test]
    fn a_status_is_what_wait_says() {
        let cause = |status| exit(status, ProcessUsage::default()).cause;
        assert_eq!(cause(42 << 8), Cause::Exited(42));
        assert_eq!(cause(9), Cause::Signalled { signal: 9, core_dumped: false });
        assert_eq!(cause(0x80 | 11), Cause::Signalled { signal: 11, core_dumped: true });
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in ".*", status: i32) {
            let read = shown(&text).map_or(status, |(status, _)| status);
            drop(exit(read, ProcessUsage::default()));
        }
    }
}
