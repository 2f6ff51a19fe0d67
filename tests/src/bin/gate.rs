//! Stands before a daemon that a test holds up: waits where there is a FIFO `gate` beside it, and then becomes the program
//! whose path is in the file `core` there.
#![expect(clippy::expect_used, clippy::print_stderr, reason = "a program for tests")]

use std::{
    fs::{self, File},
    io::Read,
    os::unix::{fs::FileTypeExt, process::CommandExt},
    process::{Command, ExitCode},
};

fn main() -> ExitCode {
    let ourselves = std::env::current_exe().expect("a mounted /proc");
    let folder = ourselves.parent().expect("a program is in a folder");
    let gate = folder.join("gate");
    if fs::metadata(&gate).is_ok_and(|gate| gate.file_type().is_fifo()) {
        let mut fifo = File::open(&gate).expect("it is there");
        fifo.read_exact(&mut [0]).expect("one byte is the release");
    }
    let core = fs::read_to_string(folder.join("core")).expect("the test has written it");
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let why = Command::new(core).arg0(name).args(words).exec();
    eprintln!("gate: {why}");
    ExitCode::FAILURE
}
