//! How long the next program takes, from its start to what is awaited: known before the agent takes time for anything else.

use std::{fs, path::Path, time::Duration};

use api::observe::{StatusRequest, observe_client::ObserveClient};
use nix::time::{ClockId, clock_gettime};
use tests::{
    vm::{LONG, wire},
    wait::{holds_within, pass},
};
use tonic::transport::Endpoint;

/// How often it is looked.
const GLANCE: Duration = Duration::from_millis(20);

/// The kernel's time since it started.
pub(crate) fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

/// Waits for what this says, and prints how long after `begun` it came: `api`, `file PATH`, or `processes NAME COUNT`.
pub(crate) fn until(wanted: &str, begun: Duration) {
    let words: Vec<&str> = wanted.split(':').collect();
    let tasks = tasks();
    let came = || match words.as_slice() {
        ["api"] => answers(),
        ["file", path] => Path::new(path).exists(),
        // Counting them is dear: first a number that the kernel has ready.
        ["processes", name, count] => {
            let count = count.parse().unwrap_or(0);
            self::tasks().saturating_sub(tasks) >= count && processes(name) >= count
        }
        _ => true,
    };
    let held = holds_within(5 * LONG, || {
        let held = came();
        if !held {
            pass(GLANCE);
        }
        held
    });
    let (taken, begun) = (now().saturating_sub(begun), begun.as_millis());
    eprintln!("guest: {wanted} {held} after {} ms, begun at {begun} ms", taken.as_millis());
}

/// Whether the daemon answers a question.
fn answers() -> bool {
    if !Path::new(wire::SOCKET).exists() {
        return false;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return false };
    runtime.block_on(async {
        let endpoint = Endpoint::from_shared(format!("unix://{}", wire::SOCKET));
        let Ok(endpoint) = endpoint else { return false };
        let Ok(channel) = endpoint.connect().await else { return false };
        ObserveClient::new(channel).status(StatusRequest::default()).await.is_ok()
    })
}

/// Processes and threads of the whole machine.
fn tasks() -> usize {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let field = text.split_whitespace().nth(3).and_then(|field| field.split('/').nth(1));
    field.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn processes(name: &str) -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries
        .filter(|entry| entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit))
        .filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok())
        .filter(|comm| comm.trim_end() == name)
        .count()
}
