//! What programs print while no daemon reads it: pipes that are full are emptied into files below the runtime folder,
//! which the next daemon takes first, so that no program waits because we are away.
//!
//! Invariants:
//! - Bytes move by splice(2): each is in the pipe or in the file, and what is in the file was printed before what is in
//!   the pipe.
//! - A pipe is touched only while no daemon can know of it: before the next one is welcomed. A pipe that is not full is
//!   left alone.
//! - Nothing is dropped. Where the filesystem has no more than its reserve left, pipes stay full and programs wait.
//! - One file of a pipe at a time, `RUN.NAME.NUMBER`: while it is there it is added to. Its number tells it from one
//!   of the same pipe that a daemon took and removed.
#![expect(unsafe_code, reason = "the ioctl that tells how much a pipe holds, which nix lacks")]

use std::{
    collections::HashMap,
    fmt,
    fs::{self, File},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::PathBuf,
    time::{Duration, Instant},
};

use keeper::protocol::{OUTPUTS, Run};
use nix::{
    errno::Errno,
    fcntl::{FcntlArg, SpliceFFlags, fcntl, splice},
    sys::statvfs::statvfs,
};

use crate::{process, runs::Runs, say};

/// How long programs may have to wait for a daemon.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// The pause after a look that found a full pipe.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
/// The pause that it grows to while no pipe is full. Nothing tells when a pipe becomes full.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// What a full pipe is made larger to, so that its program prints on while we pause: the most that an ordinary user may
/// ask for. Where it is refused, the pipe stays as it is.
const GROWN: i32 = 1 << 20;
/// The most that is left to the others who write to the filesystem; of a small one it is a quarter.
const RESERVE: u64 = 64 << 20;

/// The files, and when pipes are looked at.
pub(crate) struct Overflow {
    folder: PathBuf,
    /// When pipes are looked at next; none while a daemon serves.
    next: Option<Instant>,
    pause: Duration,
    /// The name of each pipe's file, by all of it but its number; not known where a daemon may have changed them.
    files: Option<HashMap<String, String>>,
    /// What is wrong was said.
    told: bool,
}

impl Overflow {
    /// In this folder. There is no daemon yet.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, next: None, pause: LONGEST_PAUSE, files: None, told: false }
    }

    /// A daemon has died. One that never served ends no absence, so the first death counts.
    pub(crate) fn deserted(&mut self, now: Instant) {
        self.next.get_or_insert(now + PATIENCE);
        self.files = None;
    }

    /// A daemon serves.
    pub(crate) fn served(&mut self) {
        (self.next, self.pause, self.told) = (None, LONGEST_PAUSE, false);
    }

    /// When there is something to do, as long as no daemon was welcomed.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Looks at all pipes if it is time to, and empties those that are full. Only for where no daemon reads them.
    pub(crate) fn look(&mut self, now: Instant, runs: &Runs) {
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        let found = self.empty_full_pipes(runs);
        self.pause = if found { SHORTEST_PAUSE } else { (self.pause * 2).min(LONGEST_PAUSE) };
        self.next = Some(process::clock() + self.pause);
    }

    /// Whether something was moved.
    fn empty_full_pipes(&mut self, runs: &Runs) -> bool {
        let mut room = None;
        let mut moved = false;
        for (run, name, pipe) in runs.outputs(&OUTPUTS) {
            let Some(held) = held_if_full(pipe) else { continue };
            let room = room.get_or_insert_with(|| self.room());
            match self.empty(run, name, pipe, held.min(*room)) {
                Ok(0) => {}
                Ok(count) => {
                    *room = room.saturating_sub(count);
                    moved = true;
                }
                Err(why) => self.tell(format_args!("{why}")),
            }
        }
        if room == Some(0) {
            self.tell(format_args!("the rest of it is for others"));
        }
        moved
    }

    /// How many bytes may still be written.
    fn room(&self) -> u64 {
        // Where that cannot be found out, writing tells.
        let Ok(disk) = statvfs(&self.folder) else { return u64::MAX };
        let reserve = RESERVE.min(disk.blocks().saturating_mul(disk.fragment_size()) / 4);
        disk.blocks_available().saturating_mul(disk.fragment_size()).saturating_sub(reserve)
    }

    /// Moves at most so many bytes of a pipe to the end of its file; how many were moved.
    fn empty(
        &mut self,
        run: &Run,
        name: &str,
        pipe: &OwnedFd,
        most: u64,
    ) -> Result<u64, std::io::Error> {
        if most == 0 {
            return Ok(0);
        }
        let file = self.open(run, name)?;
        if fcntl(pipe.as_fd(), FcntlArg::F_GETPIPE_SZ).is_ok_and(|size| size < GROWN) {
            fcntl(pipe.as_fd(), FcntlArg::F_SETPIPE_SZ(GROWN)).ok();
        }
        let begin = file.metadata()?.len();
        let mut offset = i64::try_from(begin).map_err(|_| Errno::EFBIG)?;
        let mut moved = 0;
        while moved < most {
            let left = usize::try_from(most - moved).unwrap_or(usize::MAX);
            let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
            match splice(pipe, None, &file, Some(&mut offset), left, flags) {
                Ok(0) | Err(Errno::EAGAIN) => break,
                Ok(count) => moved += u64::try_from(count).unwrap_or(0),
                Err(Errno::EINTR) => {}
                Err(_) if moved > 0 => break,
                Err(why) => return Err(why.into()),
            }
        }
        Ok(moved)
    }

    /// A pipe's file, which may have to be made. Opened anew each time: there may be more of them than descriptors.
    fn open(&mut self, run: &Run, name: &str) -> Result<File, std::io::Error> {
        let folder = &self.folder;
        let files = self.files.get_or_insert_with(|| {
            let names = fs::read_dir(folder).into_iter().flatten().flatten();
            let names = names.filter_map(|entry| entry.file_name().into_string().ok());
            names.filter_map(|name| Some((name.rsplit_once('.')?.0.to_owned(), name))).collect()
        });
        let pipe = format!("{}.{name}", Hexadecimal(run));
        // One that is made now has a number that no other had: the moment.
        let file =
            files.entry(pipe).or_insert_with_key(|pipe| format!("{pipe}.{}", process::now()));
        let mut options = File::options();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(folder.join(file))
    }

    /// Says once in an absence why output is not taken.
    fn tell(&mut self, why: fmt::Arguments<'_>) {
        if !std::mem::replace(&mut self.told, true) {
            say(format_args!(
                "cannot keep what programs print in {}: {why}; nothing is lost, but programs that print wait for \
                 the next daemon; see why there is none, or make room there",
                self.folder.display()
            ));
        }
    }
}

struct Hexadecimal<'a>(&'a Run);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// What a pipe holds, if it may be full. A write that does not fit into what is left of a page begins the next one, so
/// that a full pipe may hold little more than half of its size.
fn held_if_full(pipe: &OwnedFd) -> Option<u64> {
    let size = u64::try_from(fcntl(pipe.as_fd(), FcntlArg::F_GETPIPE_SZ).ok()?).ok()?;
    let mut held: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int to where it is told, which is a live, exclusively borrowed one.
    let answer = unsafe { libc::ioctl(pipe.as_raw_fd(), libc::FIONREAD, &raw mut held) };
    let held = u64::try_from(held).ok().filter(|_| answer == 0)?;
    (held > 0 && held >= size / 2).then_some(held)
}

#[cfg(test)]
mod tests {
    use std::io::{PipeWriter, Read, Write};

    use proptest::prelude::*;

    use super::*;

    const RUN: Run = [0xab; 16];

    /// A run with two pipes: the table, and where it prints.
    fn printing() -> (Runs, PipeWriter, PipeWriter) {
        let ((out, stdout), (err, stderr)) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        let mut runs = Runs::default();
        let named = vec![("stdout".to_owned(), out.into()), ("stderr".to_owned(), err.into())];
        assert!(runs.hold(RUN, named));
        (runs, stdout, stderr)
    }

    /// What a pipe takes before it is full.
    fn fill(pipe: &mut PipeWriter, line: &[u8]) -> Vec<u8> {
        let flags = nix::fcntl::OFlag::O_NONBLOCK;
        fcntl(pipe.as_fd(), FcntlArg::F_SETFL(flags)).unwrap();
        let mut all = Vec::new();
        while let Ok(count) = pipe.write(line) {
            all.extend_from_slice(&line[..count]);
        }
        all
    }

    /// The files' names and contents.
    fn files(folder: &std::path::Path) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
        let content = |entry: &fs::DirEntry| fs::read(entry.path()).unwrap();
        entries.map(|e| (e.file_name().into_string().unwrap(), content(&e))).collect()
    }

    fn absent(folder: &std::path::Path) -> (Overflow, Instant) {
        let mut overflow = Overflow::new(folder.to_path_buf());
        let died = process::clock();
        overflow.deserted(died);
        (overflow, died + PATIENCE)
    }

    #[test]
    fn a_full_pipe_is_emptied_when_the_patience_is_over_and_another_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let (runs, mut stdout, mut stderr) = printing();
        let (mut overflow, due) = absent(folder.path());
        let first = fill(&mut stdout, b"a line\n");
        stderr.write_all(b"not full").unwrap();
        overflow.look(due - Duration::from_millis(1), &runs);
        assert!(files(folder.path()).is_empty(), "it is too early");
        overflow.look(due, &runs);
        let second = fill(&mut stdout, b"another line\n");
        assert!(!second.is_empty(), "there is room in the pipe");
        overflow.look(due + LONGEST_PAUSE * 2, &runs);
        let [(name, content)] = &*files(folder.path()) else { panic!("one file") };
        assert!(name.starts_with(&format!("{}.stdout.", "ab".repeat(16))), "{name}");
        assert!(*content == [first, second].concat(), "everything, in order, once");
    }

    #[test]
    fn a_file_that_is_there_is_added_to_and_one_that_was_taken_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let (runs, mut stdout, _stderr) = printing();
        let (mut overflow, due) = absent(folder.path());
        let first = fill(&mut stdout, b"x");
        overflow.look(due, &runs);
        // A daemon that died before it had taken it; it never served, so that the absence is still the same.
        let next = overflow.deadline();
        overflow.deserted(due);
        assert_eq!(overflow.deadline(), next);
        let second = fill(&mut stdout, b"y");
        overflow.look(due + PATIENCE, &runs);
        let [(taken, content)] = &*files(folder.path()) else { panic!("one file") };
        assert!(*content == [first, second].concat());
        // One that had.
        fs::remove_file(folder.path().join(taken)).unwrap();
        overflow.deserted(due);
        let third = fill(&mut stdout, b"z");
        overflow.look(due + PATIENCE * 2, &runs);
        let [(name, content)] = &*files(folder.path()) else { panic!("one file") };
        assert!(name != taken && *content == third);
    }

    #[test]
    fn while_a_daemon_serves_there_is_nothing_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let (runs, mut stdout, _stderr) = printing();
        let (mut overflow, due) = absent(folder.path());
        fill(&mut stdout, b"x");
        overflow.served();
        assert_eq!(overflow.deadline(), None);
        overflow.look(due, &runs);
        assert!(files(folder.path()).is_empty());
    }

    #[test]
    fn a_folder_that_is_gone_leaves_everything_in_the_pipe() {
        let (runs, mut stdout, _stderr) = printing();
        let (mut overflow, due) = absent("/proc/nowhere".as_ref());
        let all = fill(&mut stdout, b"x");
        overflow.look(due, &runs);
        let (_, _, pipe) = runs.outputs(&OUTPUTS).find(|(_, name, _)| *name == "stdout").unwrap();
        let mut left = vec![0; all.len()];
        File::from(pipe.try_clone().unwrap()).read_exact(&mut left).unwrap();
        assert!(left == all);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// However a program cuts what it prints into writes, a pipe that takes no more of it counts as full.
        #[test]
        fn a_pipe_that_takes_no_more_counts_as_full(sizes in prop::collection::vec(1..9000_usize, 1..6)) {
            let (runs, mut stdout, _stderr) = printing();
            fcntl(stdout.as_fd(), FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
            for size in sizes.iter().cycle() {
                if stdout.write(&vec![b'x'; *size]).is_err() {
                    break;
                }
            }
            let pipes: Vec<_> = runs.outputs(&OUTPUTS).collect();
            let full = pipes.iter().filter(|(_, _, pipe)| held_if_full(pipe).is_some()).count();
            prop_assert_eq!(full, 1);
        }
    }
}
