//! What a hundred followers, and a reader that never reads, cost the program that prints and the daemon's memory.

use std::time::Duration;

use api::observe::{LogBatch, LogsRequest, observe_client::ObserveClient};
use tests::{Daemon, Options, procfs};
use tokio::task::JoinHandle;
use tonic::Streaming;

use crate::{LINE, measure, of_name, print};

const LINES: usize = 1_000_000;
const RUNS: usize = 10;
const FOLLOWERS: usize = 100;
/// KiB that each follower may cost: three batches of 256 KiB, one of them encoded too, and what is under way.
const EACH: u64 = 1536;

pub(crate) fn run() -> bool {
    let daemon = Daemon::start(Options::default());
    print(&daemon, "job", LINES / 10);
    let alone: Vec<Duration> = (0..RUNS).map(|_| printed(&daemon)).collect();
    let before = pss(&daemon);
    let deaf: Vec<_> = (0..FOLLOWERS).map(|_| open(&daemon)).collect();
    let with_deaf: Vec<Duration> = (0..RUNS).map(|_| printed(&daemon)).collect();
    let deaf_cost = pss(&daemon).saturating_sub(before);
    drop(deaf);
    let readers: Vec<_> = (0..FOLLOWERS).map(|_| read(&daemon)).collect();
    let with_readers: Vec<Duration> = (0..RUNS).map(|_| printed(&daemon)).collect();
    let readers_cost = pss(&daemon).saturating_sub(before);
    readers.iter().for_each(JoinHandle::abort);
    daemon.stop();
    let most = FOLLOWERS as u64 * EACH;
    let memory = deaf_cost <= most && readers_cost <= most;
    println!(
        "logs: {FOLLOWERS} that never read take {deaf_cost} KiB, that read {readers_cost} KiB (bound {most})"
    );
    let fine = tell("that never read", &alone, &with_deaf);
    // On two cores they are in the way of everything; nothing waits for them.
    tell("that read", &alone, &with_readers) && fine && memory
}

/// Whether the median with followers is within what the same without them differs by.
fn tell(how: &str, alone: &[Duration], with: &[Duration]) -> bool {
    let mut alone = alone.to_vec();
    alone.sort_unstable();
    let mut with = with.to_vec();
    with.sort_unstable();
    let rate = |time: Duration| (LINES * LINE) as f64 / 1e6 / time.as_secs_f64();
    let (slowest, fastest) = (alone[RUNS - 1], alone[0]);
    let middle = with[RUNS / 2];
    println!(
        "logs: printed with {FOLLOWERS} followers {how}: {:.0} MB/s; with none {:.0} to {:.0} MB/s",
        rate(middle),
        rate(slowest),
        rate(fastest)
    );
    middle <= slowest
}

fn printed(daemon: &Daemon) -> Duration {
    measure(|| print(daemon, "job", LINES)).0
}

fn request() -> LogsRequest {
    LogsRequest { sources: of_name("job"), follow: true, ..LogsRequest::default() }
}

/// One that never reads, on a connection of its own.
fn open(daemon: &Daemon) -> Streaming<LogBatch> {
    let mut client = ObserveClient::new(daemon.connect());
    daemon.block(client.logs(request())).expect("it is there").into_inner()
}

fn read(daemon: &Daemon) -> JoinHandle<()> {
    let mut stream = open(daemon);
    daemon.runtime().spawn(async move { while let Ok(Some(_)) = stream.message().await {} })
}

/// The daemon's memory, in KiB.
fn pss(daemon: &Daemon) -> u64 {
    procfs::pss_kib(daemon.status().daemon_pid).expect("it lives")
}
