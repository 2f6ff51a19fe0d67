//! The console of a machine, and the kernel's log: where a first process says what happens.

use std::{
    fs::File,
    io::{self, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use keeper::kernel_log;
use nix::{
    errno::Errno,
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::termios::{
        self, ControlFlags, InputFlags, LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices,
    },
};

use super::calls;
use crate::process::clock;

/// The device.
pub(crate) const CONSOLE: &str = "/dev/console";
/// How long a line may take to be printed: one of a slow serial line's takes a tenth of that.
const PATIENCE: Duration = Duration::from_secs(1);

/// We have taken the console.
static OURS: AtomicBool = AtomicBool::new(false);
/// It did not take what was printed last.
static STOPPED: AtomicBool = AtomicBool::new(false);
/// Whether what we say goes to the kernel's log, too.
static TO_KERNEL: AtomicBool = AtomicBool::new(false);

/// From now on what we say goes to the kernel's log, too.
pub(crate) fn tell_the_kernel() {
    TO_KERNEL.store(true, Ordering::Relaxed);
}

/// Writes a line into the kernel's log, where that is wanted and there is one.
pub(crate) fn to_kernel(line: &str) {
    if TO_KERNEL.load(Ordering::Relaxed) {
        kernel_log::tell(line);
    }
}

/// Makes the console our standard input and outputs, in a state that people can read. Where there is none, what the kernel
/// has given us stays.
pub(crate) fn take() {
    let Ok(console) = open() else { return };
    reset(&console).ok();
    for number in 0..3 {
        calls::put(console.as_fd(), number).ok();
    }
    OURS.store(true, Ordering::Relaxed);
}

/// The keeper before us has taken it, and handed it on.
pub(crate) fn keep() {
    OURS.store(true, Ordering::Relaxed);
}

/// Prints on the console that we have taken, and waits for it no longer than for a moment: somebody may have stopped it
/// (Ctrl-S), and then it is not waited for again until it takes something. False where it is not ours, or cannot be opened.
pub(crate) fn print(line: &str) -> bool {
    if !OURS.load(Ordering::Relaxed) {
        return false;
    }
    let mut options = File::options();
    options.append(true).custom_flags((OFlag::O_NOCTTY | OFlag::O_NONBLOCK).bits());
    let Ok(mut console) = options.open(CONSOLE) else { return false };
    let patience = if STOPPED.load(Ordering::Relaxed) { Duration::ZERO } else { PATIENCE };
    let bound = clock() + patience;
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        match console.write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(why) if why.kind() == io::ErrorKind::WouldBlock && clock() < bound => {
                let mut source = [PollFd::new(console.as_fd(), PollFlags::POLLOUT)];
                poll(&mut source, PollTimeout::from(50_u8)).unwrap_or_default();
            }
            Err(_) => break,
        }
    }
    STOPPED.store(!rest.is_empty(), Ordering::Relaxed);
    true
}

/// Opens it without making it our controlling terminal.
pub(crate) fn open() -> io::Result<File> {
    let mut options = File::options();
    // To its end each time, where it is a file.
    options.read(true).append(true).custom_flags(OFlag::O_NOCTTY.bits()).open(CONSOLE)
}

/// The state that a terminal has when it is new: lines, echo, and the usual keys.
pub(crate) fn reset(terminal: &File) -> Result<(), Errno> {
    let mut state = termios::tcgetattr(terminal)?;
    state.input_flags.remove(
        InputFlags::IGNBRK
            | InputFlags::BRKINT
            | InputFlags::ISTRIP
            | InputFlags::INLCR
            | InputFlags::IGNCR,
    );
    state.input_flags.insert(InputFlags::ICRNL | InputFlags::IMAXBEL | InputFlags::IUTF8);
    state.output_flags.insert(OutputFlags::OPOST | OutputFlags::ONLCR);
    state.control_flags.insert(ControlFlags::CREAD);
    state.local_flags = LocalFlags::ISIG
        | LocalFlags::ICANON
        | LocalFlags::IEXTEN
        | LocalFlags::ECHO
        | LocalFlags::ECHOE
        | LocalFlags::ECHOK
        | LocalFlags::ECHOCTL
        | LocalFlags::ECHOKE;
    let keys = [
        (SpecialCharacterIndices::VINTR, 3),
        (SpecialCharacterIndices::VQUIT, 28),
        (SpecialCharacterIndices::VERASE, 127),
        (SpecialCharacterIndices::VKILL, 21),
        (SpecialCharacterIndices::VEOF, 4),
        (SpecialCharacterIndices::VSTART, 17),
        (SpecialCharacterIndices::VSTOP, 19),
        (SpecialCharacterIndices::VSUSP, 26),
        (SpecialCharacterIndices::VMIN, 1),
        (SpecialCharacterIndices::VTIME, 0),
    ];
    for (key, value) in keys {
        if let Some(slot) = state.control_chars.get_mut(index(key)) {
            *slot = value;
        }
    }
    termios::tcsetattr(terminal, SetArg::TCSANOW, &state)
}

/// nix has them as an enumeration of small numbers.
fn index(key: SpecialCharacterIndices) -> usize {
    key as usize
}
