//! Executes a program by its descriptor, to hear what it says of itself. The child is this daemon's own, not the keeper's,
//! and is reaped here.
#![expect(unsafe_code, reason = "fork, and what the child may do before it executes")]

use std::{
    ffi::CString,
    io::{self, Read},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    time::Duration,
};

use nix::{
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork},
};

use crate::clock;

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most that is read of what it prints.
const LONGEST: u64 = 16 * 1024;

/// What the program prints when it is executed with the word `check`, with nothing in its environment.
pub(super) fn check(file: &OwnedFd, path: &Path) -> io::Result<String> {
    let name = path.file_name().unwrap_or(path.as_os_str());
    let name = CString::new(name.as_bytes())?;
    let argv = [name.as_ptr(), c"check".as_ptr(), std::ptr::null()];
    let nothing = [std::ptr::null::<libc::c_char>()];
    let (mut reader, writer) = io::pipe()?;
    let (program, output) = (file.as_raw_fd(), writer.as_raw_fd());
    // SAFETY: the child of a process with threads may only do what is safe in a signal handler: raw system calls on what
    // was prepared above, and no allocation, until it executes or is gone.
    match unsafe { fork() }? {
        // SAFETY: as above; the arrays end with null and point to live strings.
        ForkResult::Child => unsafe {
            if libc::dup2(output, 1) == 1 {
                libc::syscall(
                    libc::SYS_execveat,
                    program,
                    c"".as_ptr(),
                    argv.as_ptr(),
                    nothing.as_ptr(),
                    libc::AT_EMPTY_PATH,
                );
            }
            libc::_exit(Errno::last_raw().clamp(1, 255));
        },
        ForkResult::Parent { child } => {
            drop(writer);
            let heard = hear(&mut reader);
            if heard.is_err() {
                kill(child, Signal::SIGKILL).ok();
            }
            let ended = reap(child)?;
            let text = heard?;
            match ended {
                WaitStatus::Exited(_, 0) => Ok(text),
                WaitStatus::Exited(_, status) => Err(io::Error::other(format!(
                    "it ended with status {status} (or could not be executed: {}), and printed {text:?}",
                    Errno::from_raw(status)
                ))),
                WaitStatus::Signaled(_, signal, _) => {
                    Err(io::Error::other(format!("it was ended by {signal}")))
                }
                // Not asked for, so not told (waitpid(2)).
                other @ (WaitStatus::Stopped(..)
                | WaitStatus::PtraceEvent(..)
                | WaitStatus::PtraceSyscall(_)
                | WaitStatus::Continued(_)
                | WaitStatus::StillAlive) => {
                    Err(io::Error::other(format!("it did not end: {other:?}")))
                }
            }
        }
    }
}

/// All that it prints, within the bound.
fn hear(reader: &mut io::PipeReader) -> io::Result<String> {
    let bound = clock::now().monotonic.saturating_add(PATIENCE);
    let mut text = Vec::new();
    loop {
        let left = bound.saturating_sub(clock::now().monotonic);
        let mut source = [PollFd::new(std::os::fd::AsFd::as_fd(reader), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut source, timeout) {
            Err(Errno::EINTR) => continue,
            Err(why) => return Err(why.into()),
            Ok(0) => {
                let why = format!("it did not come to its end within {PATIENCE:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
            Ok(_) => {}
        }
        let mut piece = [0; 4096];
        let count = reader.read(&mut piece)?;
        let Some(read) = piece.get(..count).filter(|read| !read.is_empty()) else { break };
        text.extend_from_slice(read);
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > LONGEST {
            return Err(io::Error::other(format!("it printed more than {LONGEST} bytes")));
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn reap(child: Pid) -> io::Result<WaitStatus> {
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}
