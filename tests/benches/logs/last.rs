//! What the last lines of a long log cost, against those of a short one. A GiB against 10 MiB; with LOGS_BENCH_LONG in the
//! environment 10 GiB.

use std::{env, time::Duration};

use api::observe::LogsRequest;
use tests::{Daemon, Options};

use crate::{LINE, measure, median, of_name, print};

const SHORT: usize = (10 << 20) / LINE;
const LAST: [u64; 3] = [1, 100, 10_000];
const ROUNDS: usize = 50;
/// The long one over the short one, medians.
const BOUND: f64 = 20.0;

pub(crate) fn run() -> bool {
    let times_longer = if env::var_os("LOGS_BENCH_LONG").is_some() { 1024 } else { 102 };
    let daemon = Daemon::start(Options::default().keeping_all_logs());
    print(&daemon, "short", SHORT);
    print(&daemon, "long", SHORT * times_longer);
    let mut fine = true;
    for last in LAST {
        let (mut short, mut long) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            short.push(read(&daemon, "short", last));
            long.push(read(&daemon, "long", last));
        }
        let (short, long) = (median(short), median(long));
        let ratio = long.as_secs_f64() / short.as_secs_f64();
        println!(
            "logs: the last {last} of {} MiB {long:?}, of 10 MiB {short:?}, ratio {ratio:.2} (bound {BOUND})",
            10 * times_longer
        );
        fine &= ratio <= BOUND;
    }
    daemon.stop();
    fine
}

fn read(daemon: &Daemon, name: &str, last: u64) -> Duration {
    let request = LogsRequest { sources: of_name(name), last: Some(last), ..Default::default() };
    let (time, read) = measure(|| daemon.logs(request).expect("it is there"));
    assert_eq!(read.stdout.len(), usize::try_from(last).expect("few") * LINE);
    time
}
