//! The probe's actions.
//!
//! Output goes to the descriptors themselves: std's buffer would hide when a byte is written.

use std::{
    env,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    mem,
    os::unix::{
        fs::FileExt,
        net::{UnixDatagram, UnixStream},
    },
    process::Command,
    time::Duration,
};

use nix::{
    fcntl::{Flock, FlockArg},
    poll::{PollTimeout, poll},
    sys::signal::{SigSet, SigmaskHow, Signal, raise, sigprocmask},
    unistd::{close, getpid, pause, setsid, write},
};

use crate::report::report;

/// Does all of them, in order.
pub(crate) fn perform(words: &[String]) {
    let mut words = words.iter().map(String::as_str);
    let mut held: Vec<Vec<u8>> = Vec::new();
    while let Some(action) = words.next() {
        let mut word = || words.next().unwrap_or_else(|| panic!("{action} wants a word"));
        match action {
            "exit" => std::process::exit(number(word())),
            "raise" => raise(signal(word())).expect("one may signal oneself"),
            "ignore" => ignore(signal(word())),
            "hear" => hear(signal(word())),
            "notify" => notify(word()),
            "sole" => sole(word(), word()),
            "first" => {
                let new = File::create_new(word()).is_ok();
                let actions = block(&mut words);
                if new {
                    perform(&actions);
                }
            }
            "nap" => nap(Duration::from_millis(number(word()))),
            "swarm" => swarm(number(word()), word()),
            "out" => print(io::stdout(), word().as_bytes()),
            "err" => print(io::stderr(), word().as_bytes()),
            "line" => print(io::stdout(), format!("{}\n", word()).as_bytes()),
            "bytes" => repeat(b'x', number(word())),
            "nuls" => repeat(0, number(word())),
            "broken" => print(io::stdout(), b"a\xff\xfe\x80b\n"),
            "numbered" => numbered(word(), number(word())),
            "live" => crate::storm::live(word()),
            "bursts" => {
                crate::storm::bursts(word(), word(), (number(word()), number(word())));
            }
            "close" => close::<i32>(number(word())).expect("it was open"),
            "say" => add(word(), word()),
            "append" => add(word(), word()),
            "mark" => add(word(), &getpid().to_string()),
            "await" => await_release(word()),
            "connect" => connect(word(), number(word())),
            "setsid" => drop(setsid().expect("a started child leads no group")),
            "pause" => loop {
                pause();
            },
            "alloc" => held.push(vec![1; number::<usize>(word()) << 20]),
            "bomb" => {
                for _ in 0..number(word()) {
                    start(&["pause".to_owned()]);
                }
            }
            "breed" => crate::load::breed(),
            "orphans" => crate::load::orphans(number(word())),
            "spin" => crate::load::spin(Duration::from_millis(number(word()))),
            "start" => start(&block(&mut words)),
            "report" => print(io::stdout(), format!("{}\n", report()).as_bytes()),
            unknown => panic!("unknown action {unknown:?}"),
        }
    }
}

fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is not a number that fits"))
}

fn signal(word: &str) -> Signal {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is no signal, such as SIGTERM"))
}

/// Blocked for ever is as deaf as ignored, and needs no unsafe call.
fn ignore(signal: Signal) {
    let mut set = SigSet::empty();
    set.add(signal);
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).expect("any signal may be named");
}

fn hear(signal: Signal) {
    let mut set = SigSet::empty();
    set.add(signal);
    while set.wait().expect("a set of usual signals") != signal {}
}

fn notify(text: &str) {
    let path = env::var_os("NOTIFY_SOCKET").expect("somebody wants to be notified");
    let socket = UnixDatagram::unbound().expect("one more descriptor");
    socket.send_to(text.as_bytes(), path).expect("it is received");
}

fn connect(path: &str, count: usize) {
    for _ in 0..count {
        mem::forget(UnixStream::connect(path).expect("somebody listens"));
    }
}

fn sole(lock: &str, complaints: &str) {
    let file = OpenOptions::new().append(true).create(true).open(lock).expect("it can be written");
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        // Until it ends.
        Ok(held) => mem::forget(held),
        Err(_) => add(complaints, "two at once"),
    }
}

/// A program's pause, not a wait for anything.
pub(crate) fn nap(span: Duration) {
    let _ = poll(&mut [], PollTimeout::try_from(span).expect("a short nap"));
}

pub(crate) fn print(stream: impl std::os::fd::AsFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let count = write(&stream, bytes).unwrap_or_else(|error| {
            // The reader is gone or the descriptor closed: as a usual program, end quietly.
            std::process::exit(if error == nix::Error::EPIPE { 141 } else { 74 })
        });
        bytes = &bytes[count..];
    }
}

fn repeat(byte: u8, count: u64) {
    let block = vec![byte; 1 << 20];
    let mut left = count;
    while left > 0 {
        let part = left.min(block.len() as u64);
        print(io::stdout(), &block[..usize::try_from(part).expect("at most a block")]);
        left -= part;
    }
}

fn numbered(path: &str, rate: u64) {
    let file = File::create(path).expect("the test's folder can be written");
    let pause = (rate > 0).then(|| Duration::from_millis((1000 / rate.max(1)).max(1)));
    for line in 1_u64.. {
        print(io::stdout(), format!("{line:010}\n").as_bytes());
        file.write_all_at(format!("{line:010}\n").as_bytes(), 0).expect("the file can be written");
        pause.into_iter().for_each(nap);
    }
}

fn add(path: &str, text: &str) {
    let mut file =
        OpenOptions::new().append(true).create(true).open(path).expect("it can be written");
    file.write_all(format!("{text}\n").as_bytes()).expect("it can be written");
}

fn await_release(path: &str) {
    // The test holds the other side open, so that this blocks until a byte is there.
    let mut file = File::open(path).expect("the test made the FIFO");
    file.read_exact(&mut [0]).expect("one byte is the release");
}

fn block<'a>(words: &mut impl Iterator<Item = &'a str>) -> Vec<String> {
    assert_eq!(words.next(), Some("{"), "a block begins with {{");
    let mut depth = 1;
    let mut inner = Vec::new();
    for word in words {
        depth += i32::from(word == "{") - i32::from(word == "}");
        if depth == 0 {
            return inner;
        }
        inner.push(word.to_owned());
    }
    panic!("a block ends with }}");
}

fn start(words: &[String]) {
    try_start(words).expect("one more process");
}

/// A child that is left behind: that is what it is for.
#[expect(
    clippy::disallowed_methods,
    reason = "the probe is a program under observation, not a part of the daemon"
)]
fn try_start(words: &[String]) -> io::Result<()> {
    let program = env::current_exe().expect("/proc is mounted");
    Command::new(program).args(words).spawn().map(drop)
}

fn swarm(most: u32, path: &str) {
    let pausing = ["pause".to_owned()];
    let started = (0..most).take_while(|_| try_start(&pausing).is_ok()).count();
    add(path, &started.to_string());
}
