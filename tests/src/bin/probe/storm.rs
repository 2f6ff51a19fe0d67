//! What programs do in a storm (`tests::storm`).

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
    time::{Duration, Instant},
};

use nix::{
    fcntl::{Flock, FlockArg},
    sys::signal::raise,
    unistd::getpid,
};
use tests::storm::{Ending, line::Writer};

/// One life of a service: says that it has begun, prints its run, naps, says that it ends, and ends as its run id wills.
/// Whoever lives while another one does says so.
pub(crate) fn live(folder: &str) -> ! {
    let folder = Path::new(folder);
    let run = env::var("AURAE_RUN").expect("a run has an id");
    let add = |name: &str, text: String| {
        let mut file = OpenOptions::new().append(true).create(true).open(folder.join(name));
        file.as_mut().expect("our folder").write_all(text.as_bytes()).expect("our folder");
    };
    let lock = File::create(folder.join("lock")).expect("our folder");
    // Until it ends.
    let held = Flock::lock(lock, FlockArg::LockExclusiveNonblock);
    if held.is_err() {
        add("twice", format!("{run}\n"));
    }
    add("lives", format!("begin {run} {}\n", getpid()));
    crate::actions::print(io::stdout(), format!("{run}\n").as_bytes());
    let ending = Ending::of(&run);
    crate::actions::nap(ending.after);
    add("lives", format!("end {run}\n"));
    match ending.signal {
        Some(signal) => raise(signal).expect("one may signal oneself"),
        None => std::process::exit(ending.code),
    }
    unreachable!("the signal is deadly");
}

/// Prints numbered lines in bursts, one for each byte that comes through a FIFO, until it is told to end; then says in a
/// file how many lines and bytes that was, and how many nanoseconds it took.
#[expect(clippy::disallowed_methods, reason = "a program under observation has a clock of its own")]
pub(crate) fn bursts(fifo: &str, file: &str, (rate, burst): (u64, u64)) {
    const PIECE: u64 = 64 << 10;
    let mut orders = File::open(fifo).expect("the test made the FIFO");
    let mut writer = Writer::default();
    let mut took = Duration::ZERO;
    let mut order = [0];
    while orders.read_exact(&mut order).is_ok() && order != *b"." {
        let (begun, before) = (Instant::now(), writer.bytes);
        while writer.bytes - before < burst {
            let piece = usize::try_from(PIECE.min(burst)).expect("small");
            writer.write(piece, Standard).expect("somebody reads it");
            let due = Duration::from_nanos((writer.bytes - before) * 1_000_000_000 / rate.max(1));
            crate::actions::nap(due.saturating_sub(begun.elapsed()));
        }
        took += begun.elapsed();
    }
    let Writer { lines, bytes, .. } = writer;
    fs::write(file, format!("{lines} {bytes} {}", took.as_nanos())).expect("the test's folder");
}

/// Standard output without std's buffer, which would hide when a byte is written.
struct Standard;

impl Write for Standard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(nix::unistd::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
