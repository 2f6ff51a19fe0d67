//! How much dearer is `Runtime.Exec` of /bin/true over a held channel than posix_spawn and wait?
//!
//! Both are measured in turns in one run, because times of this machine say nothing, ratios do. Fails
//! where the median ratio passes its bound, or where a large daemon is slower than a small one.

use std::{
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use api::runtime::runtime_client::RuntimeClient;
use tests::{Daemon, Options, argv};
use tokio::runtime::Builder;
use tonic::transport::Endpoint;

const ROUNDS: usize = 1000;
const WARM_UP: usize = 50;
/// Exec over posix_spawn, medians: promised in docs/specification.md.
const BOUND: f64 = 1.5;
/// A large daemon over a small one: "no more", within what two runs of the same thing differ by.
const NOISE: f64 = 1.1;

fn main() -> ExitCode {
    let mut fine = true;
    let mut medians = Vec::new();
    for ballast in ["20", "200"] {
        let daemon = Daemon::start(Options::default().environment("AURAED_BALLAST_MIB", ballast));
        let status = daemon.status();
        let resident = tests::procfs::field(status.daemon_pid, "VmRSS").unwrap_or_default();
        let (exec, spawn) = measure(&daemon);
        let ratio = exec.as_secs_f64() / spawn.as_secs_f64();
        println!(
            "exec: daemon of {resident} ({}, {}): Exec {exec:?}, posix_spawn + wait {spawn:?}, ratio {ratio:.2} (bound {BOUND})",
            status.spawn_method, status.tracking
        );
        fine &= ratio <= BOUND;
        medians.push(ratio);
        daemon.stop();
    }
    // Ratios, and not times: each was taken against its own baseline.
    let growth = medians[1] / medians[0];
    println!("exec: 200 MiB over 20 MiB: {growth:.2} (bound {NOISE})");
    fine &= growth <= NOISE;
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The medians of both, taken in turns.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn measure(daemon: &Daemon) -> (Duration, Duration) {
    // A client of one thread, as `aer` is: its own hand-overs are not the daemon's price.
    let here = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let address = Endpoint::from_shared(format!("unix://{}", daemon.socket().display()));
    let channel = here.block_on(address.expect("a path is a URI here").connect());
    let mut client = RuntimeClient::new(channel.expect("the socket answers"));
    let (mut execs, mut spawns) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS + WARM_UP {
        let begin = Instant::now();
        let answer = here.block_on(client.exec(argv(&["/bin/true"]))).expect("accepted");
        let exec = begin.elapsed();
        assert_eq!(answer.get_ref().exit_code, "0");
        let begin = Instant::now();
        spawn_true();
        let spawn = begin.elapsed();
        if round >= WARM_UP {
            execs.push(exec);
            spawns.push(spawn);
        }
    }
    (median(execs), median(spawns))
}

/// std makes a child by posix_spawn where nothing forbids it: no working folder, no user, no hook.
#[expect(clippy::disallowed_methods, reason = "the bare baseline")]
fn spawn_true() {
    let mut command = Command::new("/bin/true");
    command.env_clear().stdin(Stdio::null());
    assert!(command.status().expect("/bin/true is there").success());
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
