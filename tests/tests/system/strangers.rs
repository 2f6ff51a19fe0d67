//! Keeper and daemon among strangers: of another version, and talking nonsense. Neither is harmed, and each says what it
//! cannot understand.

use std::{fs, process::Command};

use tempfile::TempDir;
use tests::{Daemon, House, Options, Process, argv, binaries, eventually};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        a_keeper_lives_through_babble,
        a_daemon_of_another_version_is_told_so,
        a_keeper_of_another_version_is_told_so,
        a_daemon_lives_through_babble,
    ]
}

/// A folder with the real keeper and a stranger as its daemon.
fn with_stranger(orders: &str) -> TempDir {
    let folder = tempfile::Builder::new().prefix("aurae-").tempdir().unwrap();
    binaries::put("auraed", folder.path(), "auraed");
    binaries::put("stranger", folder.path(), "auraed-core");
    fs::write(folder.path().join("real"), binaries::path("auraed-core").to_str().unwrap()).unwrap();
    fs::write(folder.path().join("serve"), orders).unwrap();
    folder
}

/// Thirty daemons that say whatever comes to mind, on every channel and with descriptors nobody wants: the keeper ends
/// each, is itself none the worse, and the real one then serves.
fn a_keeper_lives_through_babble() {
    let folder = with_stranger("30 babbles");
    let options = Options::default()
        .binaries(folder.path())
        .restart_delay("1ms")
        .config("daemon", "answer_timeout = \"1s\"");
    Daemon::with(options, |daemon| {
        // Some of them say that they serve.
        eventually("the real one serves", || {
            daemon.status_if_there().is_some_and(|status| status.daemon_starts > 30)
        });
        assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n");
        assert_eq!(daemon.status().runs_live, 0);
    });
}

/// An old daemon with a new keeper: it is ended, and the keeper says both versions and what to do.
fn a_daemon_of_another_version_is_told_so() {
    let folder = with_stranger("3 has-another-version");
    let options = Options::default().binaries(folder.path()).restart_delay("1ms");
    Daemon::with(options, |daemon| {
        let log = daemon.log();
        for word in ["version 1 of the protocol", "the keeper version 2", "of one release"] {
            assert!(log.contains(word), "no {word:?}: {log}");
        }
        let before = daemon.status().previous_daemon;
        assert!(before.contains("version 1 of the protocol"), "{before}");
    });
}

/// What a fake keeper and the real daemon have printed, when the daemon has ended.
fn kept_by_a_stranger(what: &str) -> (String, String) {
    let house = House::prepare(Options::default());
    for folder in ["state", "run", "run/runs"] {
        fs::create_dir(house.path().join(folder)).unwrap();
    }
    let configuration = house.path().join("configuration");
    fs::write(&configuration, configured(&house)).unwrap();
    let mut command = house.command(binaries::path("stranger").to_str().unwrap());
    command.args(["keeper", &house.binary("auraed-core")]).arg(&configuration).arg(what);
    let output = Process::start(command, || {}).finish();
    (output.out(), output.err())
}

/// The daemon's part of what `auraed-core configure` prints: what follows an empty key.
fn configured(house: &House) -> Vec<u8> {
    let answer = house.path().join("configured");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", r#"out=$1; shift; exec "$@" 3>"$out""#, "sh"]).arg(&answer);
    command.arg(house.binary("auraed-core")).arg("configure").arg("--config").arg(house.config());
    command.arg("--state-dir").arg(house.path().join("state"));
    command.arg("--runtime-dir").arg(house.path().join("run"));
    command.env("HOME", house.path());
    let output = Process::start(command, || {}).finish();
    assert!(output.status.success(), "{}", output.err());
    let bytes = fs::read(answer).unwrap();
    let end = bytes.windows(2).position(|pair| pair == [0, 0]).unwrap();
    bytes[end + 2..].to_vec()
}

/// A new daemon with an old keeper: it says both versions and what to do, and ends.
fn a_keeper_of_another_version_is_told_so() {
    let (ended, said) = kept_by_a_stranger("has-another-version");
    assert!(ended.contains("exit status: 1"), "{ended}\n{said}");
    for word in ["the keeper speaks version 1", "this daemon version 2", "of one release"] {
        assert!(said.contains(word), "no {word:?}: {said}");
    }
}

/// A keeper that says whatever comes to mind, before and after the beginning: the daemon ends in order or refuses, and no
/// thread of it panics.
fn a_daemon_lives_through_babble() {
    for round in 0..12 {
        let what = match round % 2 {
            0 => format!("babbles{}", "-".repeat(round)),
            _ => format!("babbles-early{}", "-".repeat(round)),
        };
        let (ended, said) = kept_by_a_stranger(&what);
        assert!(ended.contains("exit status"), "{what}: {ended}\n{said}");
        assert!(!said.contains("panicked"), "{what}: {said}");
    }
}
