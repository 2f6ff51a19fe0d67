//! The door for clients of drunc's process manager, by a client that shares no code with it.

mod first;
mod fourth;
mod hostile;
mod people;
mod running;
mod survival;
mod third;

use serde_json::{Value, json};
use tests::{
    Daemon, Options,
    drunc::{Drunc, daemon_with},
    eventually, procfs,
};

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    [
        first::cases(),
        fourth::cases(),
        hostile::cases(),
        people::cases(),
        running::cases(),
        survival::cases(),
        third::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A script that prints and stays; a kill ends it by its first signal.
const STAYS: &str = "echo up; exec sleep 600";

/// Waits until those of [`STAYS`] have come to stay: the shell before ignores SIGQUIT.
fn asleep(daemon: &Daemon) {
    let units = || daemon.units(false).into_iter().filter(|unit| unit.pid > 0);
    eventually("they stay", || units().all(|unit| procfs::command(unit.pid) == "sleep"));
}

/// Everything.
fn everything() -> Value {
    json!({"names": [".*"]})
}

/// A daemon with this door, and a client of it.
fn with_client(lines: &[&str], test: impl FnOnce(&Daemon, &mut Drunc)) {
    let (daemon, address) = daemon_with(Options::default(), lines);
    let mut client = Drunc::connect(&daemon, address, None);
    test(&daemon, &mut client);
    drop(client);
    daemon.stop();
}

/// What is told of several, each as its name and its status.
fn states(answer: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |it: &Value| {
        (text(&it["process_description"]["metadata"]["name"]), text(&it["status_code"]))
    };
    answer["data"]["values"].as_array().into_iter().flatten().map(one).collect()
}

/// The same, written down.
fn stated(wanted: &[(&str, &str)]) -> Vec<(String, String)> {
    wanted.iter().map(|&(name, state)| (name.to_owned(), state.to_owned())).collect()
}
