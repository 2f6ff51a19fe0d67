//! Tracking without cgroups, as well as it goes: a run is its main process and every descendant of the
//! keeper that carries the run's id in its environment, or has a parent in the run. A process that throws
//! its environment away and outlives its parent is not found; Status says "best effort".

mod everywhere;

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, ErrorKind, Read},
    path::Path,
    time::Duration,
};

use nix::{libc, unistd::Pid};
use spawn::{Delivery, PidFd};
use units::RunId;

use crate::environment;

/// System calls that wait for other threads, or for something to do.
const PATIENT_CALLS: [i64; 3] = [libc::SYS_futex, libc::SYS_epoll_pwait, libc::SYS_ppoll];

/// How often a look that saw processes vanish is repeated.
const LOOKS: usize = 16;

/// A run, as its processes are found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// What they carry.
    pub(crate) run: RunId,
    /// Its main process.
    pub(crate) main: Option<&'a Main>,
}

/// A run's main process.
#[derive(Debug)]
pub(crate) struct Main {
    /// Its number, which is another's as soon as the keeper has reaped it.
    pub(crate) pid: i32,
    /// The process.
    pub(crate) process: PidFd,
}

impl Wanted<'_> {
    /// Whether this number is the main process's, now.
    fn is_main(&self, pid: i32) -> bool {
        // A zombie keeps its number and can be signalled; once it is reaped, it cannot.
        let unreaped = |main: &Main| main.process.signal(0) != Ok(Delivery::Gone);
        self.main.is_some_and(|main| main.pid == pid && unreaped(main))
    }
}

/// Finds processes below the keeper.
#[derive(Clone, Debug)]
pub(crate) struct Descendants {
    keeper: i32,
    /// Whether some runs are not below it, since theirs was killed.
    everywhere: bool,
}

impl Descendants {
    /// Below this keeper.
    pub(crate) fn of(keeper: i32) -> Self {
        Self { keeper, everywhere: false }
    }

    /// From here on among all processes: there are runs whose keeper was killed.
    pub(crate) fn look_everywhere(&mut self) {
        self.everywhere = true;
    }

    /// Whether no process of the run is alive.
    pub(crate) fn is_empty(&self, wanted: Wanted<'_>) -> bool {
        let (found, certain) = self.find(wanted);
        certain && found.is_empty()
    }

    /// Sends these signals to each process of the run.
    pub(crate) fn signal(&self, wanted: Wanted<'_>, signals: &[i32]) {
        let mut others = self.find(wanted).0;
        others.retain(|pid| !wanted.is_main(*pid));
        // The main process needs no finding, which may fail where processes come and go all the time.
        if let Some(main) = wanted.main {
            send(&main.process, signals);
        }
        for pid in others {
            let Ok(process) = PidFd::open(Pid::from_raw(pid)) else { continue };
            // The number may have become another process's since it was found: it is looked at again, now
            // that the descriptor holds it. Only a child of a member may lack the variable.
            let certain = carries(pid, wanted.run).unwrap_or(false);
            if certain || self.find(wanted).0.contains(&pid) {
                send(&process, signals);
            }
        }
    }

    /// The run's living processes, and whether that is certain. Parents are looked at before children, and
    /// a process that vanishes or dies between two looks may have left children to the keeper, whose own
    /// were looked at before: then all is looked at again.
    fn find(&self, wanted: Wanted<'_>) -> (Vec<i32>, bool) {
        if self.everywhere {
            let us = std::process::id().try_into().unwrap_or(0);
            return everywhere::find(wanted, &[self.keeper, us]);
        }
        let mut last = Look::default();
        for _ in 0..LOOKS {
            let look = self.look(wanted);
            let certain = !look.vanished && look.dead.is_subset(&last.dead);
            last = look;
            if certain {
                return (last.members, true);
            }
        }
        (last.members, false)
    }

    fn look(&self, wanted: Wanted<'_>) -> Look {
        let mut look = Look::default();
        let mut seen = HashSet::from([self.keeper, std::process::id().try_into().unwrap_or(0)]);
        let mut open: Vec<(i32, bool)> =
            look.children(self.keeper).into_iter().map(|pid| (pid, false)).collect();
        while let Some((pid, parent_is_member)) = open.pop() {
            if !seen.insert(pid) || look.is_dead(pid) {
                continue;
            }
            let member = parent_is_member
                || wanted.is_main(pid)
                || look.or_vanished(carries(pid, wanted.run), false);
            if member {
                look.members.push(pid);
            }
            open.extend(look.children(pid).into_iter().map(|child| (child, member)));
        }
        look
    }
}

fn send(process: &PidFd, signals: &[i32]) {
    for signal in signals {
        // Gone is as good as told; one that has taken another user's id cannot be.
        process.signal(*signal).ok();
    }
}

/// One look at all processes.
#[derive(Default)]
struct Look {
    members: Vec<i32>,
    /// Those that were dead already.
    dead: HashSet<i32>,
    /// A process was there and then was not.
    vanished: bool,
}

impl Look {
    fn or_vanished<T>(&mut self, answer: io::Result<T>, otherwise: T) -> T {
        answer.unwrap_or_else(|_| {
            self.vanished = true;
            otherwise
        })
    }

    fn is_dead(&mut self, pid: i32) -> bool {
        let dead = self.or_vanished(is_dead(pid), true);
        if dead {
            self.dead.insert(pid);
        }
        dead
    }

    fn children(&mut self, pid: i32) -> Vec<i32> {
        self.or_vanished(children(pid), Vec::new())
    }
}

/// How often it is looked, each millisecond, whether a process that is being made has got as far as its mark. It takes
/// microseconds; one that takes longer is ended with its run.
const BIRTH_LOOKS: usize = 1000;

/// Waits, for a second at most, until no child of the keeper is on its way from a dead daemon's spawner to its program;
/// whether none is. Where its keeper was killed there is none, and it may be anybody's child.
pub(crate) fn await_the_unborn(keeper: Option<i32>) -> bool {
    // Such a child has the words of the daemon that makes it, which are the same in every release, wherever its program is.
    let ours = fs::read("/proc/self/cmdline").ok();
    let us = std::process::id().try_into().unwrap_or(0);
    let is_one =
        |pid| pid != us && ours.is_some() && fs::read(format!("/proc/{pid}/cmdline")).ok() == ours;
    // Other daemons have the same words, and threads; the unborn have none.
    let is_alone = |pid| stat(pid, 20).is_ok_and(|threads| threads == "1");
    let unborn = || match keeper {
        Some(keeper) => children(keeper).unwrap_or_default().into_iter().any(is_one),
        None => everywhere::all().into_iter().any(|pid| is_one(pid) && is_alone(pid)),
    };
    for _ in 0..BIRTH_LOOKS {
        if !unborn() {
            return true;
        }
        #[expect(clippy::disallowed_methods, reason = "nothing tells when a process executes")]
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// The children of all threads of a process (proc(5), /proc/PID/task/TID/children).
fn children(pid: i32) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let list = fs::read_to_string(task?.path().join("children"))?;
        found.extend(list.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
    }
    Ok(found)
}

/// Whether it is a zombie: dead, and waiting to be reaped.
fn is_dead(pid: i32) -> io::Result<bool> {
    let state = stat(pid, 3)?;
    Ok(state == "Z" || state == "X")
}

/// Whether where its environment ends is not known: it is on its way into a program, or dying (Linux,
/// environ_read in fs/proc/base.c).
fn has_no_environment(pid: i32) -> io::Result<bool> {
    Ok(stat(pid, 51)? == "0")
}

/// Whether it has no memory any more: it is dying.
fn has_no_memory(pid: i32) -> io::Result<bool> {
    Ok(stat(pid, 23)? == "0")
}

/// When a process began: clock ticks since the machine started. No other process has both its number and this.
pub(crate) fn began(pid: i32) -> Option<u64> {
    stat(pid, 22).ok()?.parse().ok()
}

/// The process of a run that says of itself in the run's file that it was made, and of which nobody else has said which
/// it is: a child of the keeper that leads a session, as none but main processes are born, and that `is_of_run`. Nothing
/// where that is not certain. Where its keeper was killed there is none, and it may be anybody's child.
pub(crate) fn made_for(keeper: Option<i32>, is_of_run: impl Fn(i32) -> bool) -> Option<i32> {
    let all = keeper.map_or_else(everywhere::all, |keeper| children(keeper).unwrap_or_default());
    let all = all.into_iter();
    let mut found: Vec<(u64, i32)> = all
        .filter(|pid| leads_session(*pid) && is_of_run(*pid))
        .filter_map(|pid| Some((began(pid)?, pid)))
        .collect();
    // Others were made by the first, and left to the keeper.
    found.sort_unstable();
    match found.as_slice() {
        [(_, one)] => Some(*one),
        [(first, one), (second, _), ..] if first < second => Some(*one),
        _ => None,
    }
}

/// Whether this may be a run's main process: a child of the keeper that leads a session, dead or alive.
pub(crate) fn is_main_of(keeper: i32, pid: i32) -> bool {
    let parent = |pid| stat(pid, 4).is_ok_and(|parent| parent == keeper.to_string());
    pid > 0 && parent(pid) && leads_session(pid)
}

/// Whether it has ended and keeps its number.
pub(crate) fn is_zombie(pid: i32) -> bool {
    is_dead(pid).unwrap_or(false)
}

/// Whether this thread of ours waits for a disk or the like: it is in a system call, and in none that waits for other threads
/// or for something to do. By its state alone it cannot be told, since a filesystem of user space keeps it waiting as if for
/// an event (proc_pid_syscall(5)).
pub(crate) fn waits_for_disk(thread: i32) -> bool {
    let Ok(called) = fs::read_to_string(format!("/proc/self/task/{thread}/syscall")) else {
        return stat(thread, 3).is_ok_and(|state| state == "D");
    };
    let number = called.split_ascii_whitespace().next().and_then(|number| number.parse().ok());
    number.is_some_and(|number: i64| number >= 0 && !PATIENT_CALLS.contains(&number))
}

fn leads_session(pid: i32) -> bool {
    stat(pid, 6).is_ok_and(|session| session == pid.to_string())
}

/// Whether a process carries this run's id in its environment.
pub(crate) fn is_of_run(pid: i32, run: RunId) -> bool {
    carries(pid, run).unwrap_or(false)
}

/// A field of /proc/PID/stat by its number in proc_pid_stat(5), from 3 on.
fn stat(pid: i32, number: usize) -> io::Result<String> {
    let fields = stat_fields(pid)?;
    Ok(fields.split_ascii_whitespace().nth(number.saturating_sub(3)).unwrap_or_default().to_owned())
}

/// The fields of /proc/PID/stat from the third on.
pub(crate) fn stat_fields(pid: i32) -> io::Result<String> {
    let stat = read_small(format!("/proc/{pid}/stat"))?;
    // The name, field 2, may hold anything, brackets too: the last one closes it.
    let name = stat.iter().rposition(|byte| *byte == b')').unwrap_or(0);
    Ok(String::from_utf8_lossy(stat.get(name + 1..).unwrap_or_default()).into_owned())
}

/// Reads a file that is mostly small, as those of runs and processes are, by three system calls; to ask first how long it
/// is, and at the end whether that was all, makes six. Not for lists of the kernel's, of which less than what was asked for
/// may not be all.
pub(crate) fn read_small(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    const USUAL: usize = 4096;
    let mut file = File::open(path)?;
    let mut bytes = vec![0; USUAL];
    let length = file.read(&mut bytes)?;
    bytes.truncate(length);
    if length == USUAL {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn carries(pid: i32, run: RunId) -> io::Result<bool> {
    let wanted = format!("{}={run}", environment::RUN);
    let environment = fs::read(format!("/proc/{pid}/environ"));
    // As if it were not there: it is looked at again.
    let gone = || Err(ErrorKind::NotFound.into());
    match environment {
        Ok(variables) if variables.is_empty() && has_no_environment(pid)? => gone(),
        Ok(variables) => Ok(variables.split(|byte| *byte == 0).any(|v| v == wanted.as_bytes())),
        // To ordinary users the kernel refuses this way what is dying, too.
        Err(why) if why.kind() == ErrorKind::PermissionDenied && has_no_memory(pid)? => gone(),
        // Another user's process, which cannot be looked into.
        Err(why) if why.kind() == ErrorKind::PermissionDenied => Ok(false),
        Err(why) => Err(why),
    }
}
