//! The README's first command, `cargo demo`: builds everything, starts a daemon in a temporary folder, runs
//! commands through it, shows what they print, and ends the daemon.
//!
//! Needs no root, no configuration and no other service, and leaves nothing behind.

use std::{env, path::Path, process::Command, process::ExitCode};

use tests::{Daemon, House, Options, Process};

fn main() -> ExitCode {
    if !build() {
        return ExitCode::FAILURE;
    }
    let house = House::prepare(Options::default());
    let (state, runtime) = (house.state_dir(), house.runtime_dir());
    println!("$ auraed --state-dir {} --runtime-dir {} &", state.display(), runtime.display());
    let command = auraed(&house);
    let daemon = Daemon::start_as(house, command);
    println!("$ export AURAE_SOCKET={}", daemon.socket().display());
    aer(&daemon, &["exec", "--", "uname", "-a"]);
    aer(&daemon, &["exec", "--", "sh", "-c", "echo this goes to stderr >&2; exit 7"]);
    aer(&daemon, &["status"]);
    println!("$ kill -TERM {}", daemon.keeper());
    // Panics where the status is another, or something is left.
    daemon.stop();
    println!("(auraed ended with status 0)");
    ExitCode::SUCCESS
}

/// Builds the programs, and shows how far that is: from nothing it takes minutes.
#[expect(clippy::disallowed_methods, reason = "cargo shows its progress on our terminal")]
fn build() -> bool {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"));
    let mut command = Command::new(cargo);
    command.current_dir(workspace).args(["build", "--workspace", "--bins", "--locked"]);
    println!("$ cargo build --workspace --bins --locked");
    match command.status() {
        Ok(status) => status.success(),
        Err(why) => {
            eprintln!("demo: cannot start cargo: {why}");
            false
        }
    }
}

/// The daemon with what it would have without any configuration, but for its folders.
fn auraed(house: &House) -> Command {
    let mut command = house.command("auraed");
    command.arg("--socket").arg(house.socket());
    command.arg("--state-dir").arg(house.state_dir());
    command.arg("--runtime-dir").arg(house.runtime_dir());
    // Here it says when it is ready, as to systemd.
    command.env("NOTIFY_SOCKET", house.path().join("notify"));
    command
}

/// Runs `aer` and shows what it printed and, where that is not 0, its status.
fn aer(daemon: &Daemon, arguments: &[&str]) {
    let shown: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
    println!("$ aer {}", shown.join(" "));
    let mut command = daemon.command("aer");
    command.args(arguments).env("AURAE_SOCKET", daemon.socket());
    let output = Process::start(command, || {}).finish();
    print!("{}{}", output.out(), output.err());
    match output.code() {
        Some(0) => {}
        Some(code) => println!("(exit status {code})"),
        None => println!("({})", output.status),
    }
}

/// As a shell would need it.
fn quoted(word: &str) -> String {
    if word.contains(' ') { format!("'{word}'") } else { word.to_owned() }
}
