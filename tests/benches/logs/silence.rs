//! How soon a line after a silence is with a client: from the write of a program's input, through `cat`, to a gRPC client of the
//! daemon that follows; and to one of a bare tonic stream that sends on what a thread reads of such a `cat`.

use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use api::observe::{LogBatch, LogChunk, LogsRequest, observe_client::ObserveClient};
use nix::{sys::stat::Mode, unistd::mkfifo};
use tests::{
    Daemon, Options, argv,
    rpc::named,
    wait::{self, eventually},
};
use tokio::sync::mpsc::channel;
use tonic::{Streaming, transport::Endpoint};

use crate::{bare, measure, of_name};

const LINES: usize = 500;
const TEXT: &[u8] = b"a line after a silence\n";
const SILENCE: Duration = Duration::from_millis(3);
/// The median, and 99 of 100.
const BOUND: Duration = Duration::from_millis(5);

pub(crate) fn run() -> bool {
    let daemon = Daemon::start(Options::default());
    let (our_input, bare_input) = (daemon.path().join("ours"), daemon.path().join("bare"));
    let (mut our_write, mut bare_write) = (fifo(&our_input), fifo(&bare_input));
    daemon.up(named("echo", argv(&["/bin/cat", &our_input.to_string_lossy()])));
    let mut cat = serve_bare(&daemon.path().join("bare.sock"), &bare_input);
    let ours = daemon.observe_client();
    let path = format!("unix://{}", daemon.path().join("bare.sock").display());
    let endpoint = Endpoint::from_shared(path).expect("a URI");
    let bare = ObserveClient::new(daemon.block(endpoint.connect()).expect("it answers"));
    let open = |mut client: ObserveClient<_>| {
        let request =
            LogsRequest { sources: of_name("echo"), follow: true, ..LogsRequest::default() };
        daemon.block(async move { client.logs(request).await }).expect("it is there").into_inner()
    };
    // The unit's log is there with its first line.
    our_write.write_all(TEXT).expect("it is read");
    let log = daemon.state_dir().join("logs/units/echo/0000000000000000.log");
    eventually("the first line is kept", || log.metadata().is_ok_and(|log| log.len() > 0));
    let (mut ours, mut bare) = (open(ours), open(bare));
    take(&daemon, &mut ours);
    let (mut our_delays, mut bare_delays) = (Vec::new(), Vec::new());
    for _ in 0..LINES {
        our_delays.push(delay(&daemon, &mut our_write, &mut ours));
        bare_delays.push(delay(&daemon, &mut bare_write, &mut bare));
    }
    cat.kill().expect("ours");
    cat.wait().expect("our child");
    daemon.stop();
    tell(our_delays, bare_delays)
}

/// A FIFO that is held open at both ends.
fn fifo(path: &Path) -> File {
    mkfifo(path, Mode::S_IRWXU).expect("a FIFO");
    File::options().read(true).write(true).open(path).expect("it is there")
}

/// Serves what `cat` prints.
#[expect(clippy::disallowed_methods, reason = "a program that prints, with nothing in between")]
fn serve_bare(socket: &Path, input: &Path) -> Child {
    let (printed, receiver) = channel(16);
    bare::serve_printed(socket.to_owned(), receiver);
    let mut cat = Command::new("/bin/cat");
    let mut cat = cat.arg(input).stdout(Stdio::piped()).spawn().expect("cat");
    let mut stdout = cat.stdout.take().expect("a pipe");
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stdout.read(&mut buffer) {
            let data = buffer[..count].to_vec().into();
            let chunk = LogChunk { data, ..LogChunk::default() };
            let batch = LogBatch { chunks: vec![chunk], ..LogBatch::default() };
            if printed.blocking_send(Ok(batch)).is_err() {
                return;
            }
        }
    });
    cat
}

/// Waits for the next line.
fn take(daemon: &Daemon, stream: &mut Streaming<LogBatch>) {
    let mut bytes = 0;
    while bytes < TEXT.len() {
        let batch = daemon.block(stream.message()).expect("it goes on").expect("it has no end");
        bytes += batch.chunks.iter().map(|chunk| chunk.data.len()).sum::<usize>();
    }
    assert_eq!(bytes, TEXT.len());
}

fn delay(daemon: &Daemon, write: &mut File, stream: &mut Streaming<LogBatch>) -> Duration {
    wait::pass(SILENCE);
    measure(|| {
        write.write_all(TEXT).expect("it is read");
        take(daemon, stream);
    })
    .0
}

fn tell(mut ours: Vec<Duration>, mut bare: Vec<Duration>) -> bool {
    ours.sort_unstable();
    bare.sort_unstable();
    let of = |delays: &[Duration]| (delays[LINES / 2], delays[LINES * 99 / 100]);
    let ((median, last), (bare_median, bare_last)) = (of(&ours), of(&bare));
    println!(
        "logs: a line after a silence is with a client in {median:?}, 99 % in {last:?} (bound {BOUND:?}); over a bare stream in {bare_median:?}, {bare_last:?}, ratio {:.2}, {:.2}",
        median.as_secs_f64() / bare_median.as_secs_f64(),
        last.as_secs_f64() / bare_last.as_secs_f64(),
    );
    median <= BOUND && last <= BOUND
}
