//! The console of a machine, and the kernel's log: where a first process says what happens.

use std::{
    fs::File,
    io::Write,
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    sync::atomic::{AtomicBool, Ordering},
};

use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::termios::{
        self, ControlFlags, InputFlags, LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices,
    },
};

use super::calls;

/// The device.
pub(crate) const CONSOLE: &str = "/dev/console";
/// The priority of what we say in the kernel's log: a notice of a daemon (syslog(3)).
const PRIORITY: &str = "<29>";
/// The longest line that goes there: the kernel's own bound is about a kilobyte.
const LONGEST: usize = 900;

/// Whether what we say goes to the kernel's log, too.
static TO_KERNEL: AtomicBool = AtomicBool::new(false);

/// From now on what we say goes to the kernel's log, too.
pub(crate) fn tell_the_kernel() {
    TO_KERNEL.store(true, Ordering::Relaxed);
}

/// Writes a line into the kernel's log, where that is wanted and there is one. Opened each time: it may come into being.
pub(crate) fn to_kernel(line: &str) {
    if !TO_KERNEL.load(Ordering::Relaxed) {
        return;
    }
    let mut options = File::options();
    options.write(true).custom_flags((OFlag::O_NOCTTY | OFlag::O_NONBLOCK).bits());
    if let Ok(mut log) = options.open("/dev/kmsg") {
        let line: String = line.chars().take(LONGEST).collect();
        // One write is one line there.
        drop(log.write_all(format!("{PRIORITY}{line}\n").as_bytes()));
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
}

/// Opens it without making it our controlling terminal.
pub(crate) fn open() -> std::io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).custom_flags(OFlag::O_NOCTTY.bits()).open(CONSOLE)
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
