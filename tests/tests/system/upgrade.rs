//! The daemon is replaced by order: by another of its program, or of a new one, and back where that is not healthy.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use api::observe::StatusResponse;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{Daemon, Need, Options, argv, binaries, eventually};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![[];
        a_restart_replaces_the_daemon_and_nothing_else,
        a_restart_waits_for_no_call,
        restarts_in_a_row_are_no_failures,
        a_stop_during_a_restart_is_in_order,
        a_new_program_takes_over_and_stays,
        what_was_checked_is_what_is_executed,
        a_daemon_that_is_not_healthy_is_given_up,
        a_program_that_is_not_fit_is_refused,
        a_new_keeper_takes_over_in_place,
        a_new_keeper_is_left_again_with_its_daemon,
    ];
    all.extend(cases![[Need::Faults]; a_keeper_that_cannot_take_over_is_left_again]);
    all.extend(cases![[Need::Root]; a_program_that_others_can_change_is_refused]);
    all
}

/// Fast to find out that something hangs.
fn options() -> Options {
    Options::default().restart_delay("100ms").config("daemon", "answer_timeout = \"2s\"")
}

/// A folder of that name in the daemon's own.
fn folder(daemon: &Daemon, name: &str) -> PathBuf {
    let folder = daemon.path().join(name);
    fs::create_dir(&folder).unwrap();
    folder
}

/// The program that a process executes.
fn program(pid: i32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/exe")).unwrap()
}

/// A stranger in the place of `auraed-core`, with its orders.
fn stranger(daemon: &Daemon, name: &str, orders: &[(&str, &str)]) -> PathBuf {
    let folder = folder(daemon, name);
    fs::write(folder.join("real"), daemon.binary("auraed-core")).unwrap();
    for (file, text) in orders {
        fs::write(folder.join(file), text).unwrap();
    }
    binaries::put("stranger", &folder, "auraed-core")
}

/// An upgrade that must fail, and changes nothing; what it says.
fn refused(daemon: &Daemon, before: &StatusResponse, path: &Path) -> String {
    let output = daemon.aer(&["daemon", "upgrade", path.to_str().unwrap()]);
    assert_eq!(output.code(), Some(1), "{}", output.err());
    assert_eq!(daemon.status().daemon_pid, before.daemon_pid, "it stays");
    output.err()
}

/// The keeper is the same process, another daemon serves, and it says who wanted it and why.
fn a_restart_replaces_the_daemon_and_nothing_else() {
    Daemon::with(options(), |daemon| {
        let before = daemon.status();
        let output = daemon.aer(&["daemon", "restart", "--reason", "it has grown"]);
        assert!(output.status.success(), "{}", output.err());
        assert!(output.out().starts_with("restarted: daemon 2"), "{}", output.out());
        let after = daemon.status();
        assert_eq!((after.keeper_pid, after.daemon_starts), (before.keeper_pid, 2));
        assert_ne!(after.daemon_pid, before.daemon_pid);
        for word in ["replaced by uid:", "it has grown", "exit status 0"] {
            assert!(after.previous_daemon.contains(word), "{}", after.previous_daemon);
        }
        assert_eq!(program(after.daemon_pid), program(daemon.status().daemon_pid));
        assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n");
        let json = daemon.aer(&["daemon", "restart", "-o", "json"]).out();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["daemon_starts"], 3);
    });
}

/// Calls that are under way are cut off with UNAVAILABLE, and hold up nobody; what was printed is in the log.
fn a_restart_waits_for_no_call() {
    Daemon::with(options(), |daemon| {
        let mut run = daemon.run(daemon.probe(&["out", "up\n", "pause"]));
        run.read_until("up");
        let id = run.started.run_id.clone();
        let follower = daemon.start_aer(&["logs", "-f", &id]);
        follower.wait_for_output("up");
        let output = daemon.aer(&["daemon", "restart"]);
        assert!(output.status.success(), "{}", output.err());
        assert_eq!(daemon.status().daemon_starts, 2);
        let cut = loop {
            match run.next() {
                Ok(Some(_)) => {}
                other => break other,
            }
        };
        assert!(cut.is_err(), "a run that goes on has no end: {cut:?}");
        assert_eq!(daemon.logs_of(&id).stdout, b"up\n");
        drop(follower);
    });
}

/// A restart by order is no failure, after which the keeper would wait.
fn restarts_in_a_row_are_no_failures() {
    // One that waited after failures would wait longer than the test does.
    Daemon::with(Options::default().restart_delay("1h"), |daemon| {
        for starts in 2..8 {
            let output = daemon.aer(&["daemon", "restart"]);
            assert!(output.status.success(), "{}", output.err());
            assert_eq!(daemon.status().daemon_starts, starts);
        }
    });
}

/// A stop that comes while one daemon follows another ends what runs in order, as at any other time.
fn a_stop_during_a_restart_is_in_order() {
    for _ in 0..4 {
        let daemon = Daemon::start(options().stop_timeout("20s"));
        let told = daemon.work("told");
        let script =
            format!("trap 'echo told > {told}; exit' TERM; echo up; while :; do sleep 0.02; done");
        let mut run = daemon.run(argv(&["/bin/sh", "-c", &script]));
        run.read_until("up");
        let restart = daemon.start_aer(&["daemon", "restart"]);
        eventually("the daemon leaves", || daemon.log().contains("leaving, so that"));
        daemon.signal(Signal::SIGTERM);
        drop(run);
        let path = PathBuf::from(&told);
        eventually("it is told before it is killed", || path.exists());
        // It comes to its end by itself, whether it has seen the next daemon or not.
        assert!(restart.finish().code().is_some());
        daemon.ends();
    }
}

/// The new program takes over and is found healthy; it is the one that comes after a crash, too.
fn a_new_program_takes_over_and_stays() {
    Daemon::with(options(), |daemon| {
        let new = binaries::put("auraed-core", &folder(daemon, "new"), "auraed-core");
        let output =
            daemon.aer(&["daemon", "upgrade", new.to_str().unwrap(), "--reason", "a test"]);
        assert!(output.status.success(), "{}", output.err());
        assert!(output.out().starts_with("upgraded: daemon 2"), "{}", output.out());
        assert_eq!(program(daemon.status().daemon_pid), new);
        eventually("it is on trial no more", || {
            daemon.aer(&["logs", "--daemon"]).out().contains("on trial no more")
        });
        daemon.replace();
        assert_eq!(program(daemon.status().daemon_pid), new);
        // And from there to what is in its place by now.
        let output = daemon.aer(&["daemon", "upgrade"]);
        assert!(output.status.success(), "{}", output.err());
        assert_eq!(program(daemon.status().daemon_pid), new);
        assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n");
    });
}

/// Whatever is put in the place of a program that was taken: what was opened is what is executed, again and again.
fn what_was_checked_is_what_is_executed() {
    Daemon::with(options(), |daemon| {
        let folder = folder(daemon, "new");
        let new = binaries::put("auraed-core", &folder, "auraed-core");
        let link = folder.join("link");
        symlink(&new, &link).unwrap();
        let output = daemon.aer(&["daemon", "upgrade", link.to_str().unwrap()]);
        assert!(output.status.success(), "{}", output.err());
        fs::remove_file(&link).unwrap();
        symlink("/bin/false", &link).unwrap();
        fs::remove_file(&new).unwrap();
        fs::copy("/bin/false", &new).unwrap();
        daemon.replace();
        assert!(program(daemon.status().daemon_pid).to_str().unwrap().ends_with(" (deleted)"));
        assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n");
    });
}

/// A new daemon that dies, says nothing, never serves, or serves and answers nothing: the one before is back by itself,
/// says why, and so does the upgrade.
fn a_daemon_that_is_not_healthy_is_given_up() {
    Daemon::with(options(), |daemon| {
        let old = program(daemon.status().daemon_pid);
        for (what, why) in [
            ("dies", "exit status 3"),
            ("aborts", "signal 6"),
            ("says-nothing", "it hangs"),
            ("never-serves", "it hangs"),
            ("serves-and-answers-nothing", "it hangs"),
            ("has-another-version", "version 1 of the protocol"),
        ] {
            let before = daemon.status();
            let new = stranger(daemon, what, &[("serve", &format!("1000 {what}"))]);
            let output = daemon.aer(&["daemon", "upgrade", new.to_str().unwrap()]);
            assert_eq!(output.code(), Some(1), "{what}: {}", output.err());
            for word in ["is given up", why, new.to_str().unwrap()] {
                assert!(output.err().contains(word), "{what}: no {word:?}: {}", output.err());
            }
            let after = daemon.status();
            assert_eq!(after.daemon_starts, before.daemon_starts + 2, "{what}");
            assert_eq!(after.keeper_pid, before.keeper_pid);
            assert_eq!(program(after.daemon_pid), old, "{what}");
            assert!(after.previous_daemon.contains(why), "{}", after.previous_daemon);
            assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n");
        }
        // What failed is forgotten when something succeeds.
        let new = binaries::put("auraed-core", &folder(daemon, "new"), "auraed-core");
        let output = daemon.aer(&["daemon", "upgrade", new.to_str().unwrap()]);
        assert!(output.status.success(), "{}", output.err());
    });
}

/// A program that is none, or is not fit, is refused with the reason, and nothing is changed.
fn a_program_that_is_not_fit_is_refused() {
    Daemon::with(options(), |daemon| {
        let before = daemon.status();
        let said = |path: &Path, words: &[&str]| {
            let said = refused(daemon, &before, path);
            for word in words {
                assert!(said.contains(word), "{}: no {word:?}: {said}", path.display());
            }
        };
        let plain = daemon.path().join("plain");
        fs::write(&plain, "text").unwrap();
        said(&plain, &["not executable", "chmod +x"]);
        said(&daemon.path().join("missing"), &["cannot be opened", "No such file"]);
        said(daemon.path(), &["not a regular file"]);
        said(Path::new("/bin/true"), &["is not auraed-core"]);
        let ours = daemon.binary("auraed-core");
        let ours = tests::Process::start(
            {
                let mut command = std::process::Command::new(ours);
                command.arg("check");
                command
            },
            || {},
        );
        let ours = ours.finish().out();
        for (name, check, words) in [
            ("fails", "fail".to_owned(), &["asked to check itself", "status 3"][..]),
            ("hangs", "hang".to_owned(), &["did not come to its end"]),
            ("speaks", ours.replace("protocol 2", "protocol 9"), &["version 9", "version 2"]),
            ("old", ours.replace("schedule 1", "schedule 0"), &["format 0 of the schedule"]),
            ("keeper", ours.replace("auraed-core", "auraed"), &["is not auraed-core"]),
        ] {
            said(&stranger(daemon, name, &[("check", &check)]), words);
        }
        // A later release, with things that this one has never heard of, is taken.
        let later = ours.replace("schedule 1", "schedule 7\nwonders many\nshapes 12");
        let later = stranger(daemon, "later", &[("check", &later)]);
        let output = daemon.aer(&["daemon", "upgrade", later.to_str().unwrap()]);
        assert!(output.status.success(), "{}", output.err());
    });
}

/// Who could change a program could run anything as root: not its owner alone, or not the owner of its folder alone.
fn a_program_that_others_can_change_is_refused() {
    Daemon::with(options(), |daemon| {
        let before = daemon.status();
        let make = |name: &str| {
            let folder = folder(daemon, name);
            let to = folder.join("auraed-core");
            // A copy: the mode and the owner of a link would be those of the real one.
            fs::copy(daemon.binary("auraed-core"), &to).unwrap();
            (folder, to)
        };
        let (_, program) = make("writable");
        fs::set_permissions(&program, Permissions::from_mode(0o775)).unwrap();
        assert!(refused(daemon, &before, &program).contains("chmod go-w"));
        let (_, program) = make("foreign");
        chown(&program, Some(1234), None).unwrap();
        assert!(refused(daemon, &before, &program).contains("the user 1234"));
        let (folder, program) = make("exposed");
        fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        let said = refused(daemon, &before, &program);
        assert!(said.contains("chmod go-w") && said.contains("exposed"), "{said}");
        // As /tmp is.
        fs::set_permissions(&folder, Permissions::from_mode(0o1777)).unwrap();
        let output = daemon.aer(&["daemon", "upgrade", program.to_str().unwrap()]);
        assert!(output.status.success(), "{}", output.err());
        assert!(kill(Pid::from_raw(before.daemon_pid), None::<Signal>).is_err());
    });
}

/// A folder with both programs.
fn release(daemon: &Daemon, name: &str) -> (PathBuf, PathBuf) {
    let folder = folder(daemon, name);
    let keeper = binaries::put("auraed", &folder, "auraed");
    (keeper, binaries::put("auraed-core", &folder, "auraed-core"))
}

/// The keeper is another program, and the same process: with its children, its descriptors, its lock, and its orderly end.
fn a_new_keeper_takes_over_in_place() {
    let options = options().environment("NOTICE", "an environment that stays");
    Daemon::with(options, |daemon| {
        let before = daemon.status();
        let mut run = daemon.run(daemon.probe(&["ignore", "SIGTERM", "out", "up\n", "pause"]));
        run.read_until("up");
        let (pid, id) = (run.started.pid, run.started.run_id.clone());
        let mut descriptors = None;
        for round in 2..5 {
            let (keeper, core) = release(daemon, &format!("release-{round}"));
            let output = daemon.aer(&["daemon", "upgrade", core.to_str().unwrap()]);
            assert!(output.status.success(), "{}", output.err());
            let after = daemon.status();
            assert_eq!((after.keeper_pid, after.daemon_starts), (before.keeper_pid, round));
            assert_eq!(program(after.keeper_pid), keeper);
            assert_eq!(program(after.daemon_pid), core);
            assert_eq!(tests::procfs::parent(after.daemon_pid), Some(before.keeper_pid));
            assert_eq!(daemon.answer(argv(&["/bin/sh", "-c", "exit 7"])).exit_code, "7");
            // What was printed before the first is in the log, with what the keeper has held since.
            assert_eq!(daemon.logs_of(&id).stdout, b"up\n");
            let environment = fs::read(format!("/proc/{}/environ", after.daemon_pid)).unwrap();
            assert!(!String::from_utf8_lossy(&environment).contains("AURAED_SUCCESSION"));
            if round > 2 {
                // The first may still have held the run's.
                let now = tests::procfs::descriptors(before.keeper_pid);
                let least = *descriptors.get_or_insert(now);
                eventually("it has as few descriptors as before", || {
                    tests::procfs::descriptors(before.keeper_pid) <= least
                });
            }
        }
        assert!(
            tests::procfs::gone(pid) || tests::procfs::parent(pid) == Some(before.keeper_pid),
            "it is nobody else's child"
        );
        let other = daemon.refused();
        assert!(other.err().contains("uses the state folder"), "the lock stays: {}", other.err());
        daemon.replace();
        assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n");
    });
}

/// Where the new daemon is not healthy, the keeper that came with it goes, too.
fn a_new_keeper_is_left_again_with_its_daemon() {
    Daemon::with(options(), |daemon| {
        let before = daemon.status();
        let (keeper, core) = (program(before.keeper_pid), program(before.daemon_pid));
        let new = stranger(daemon, "new", &[("serve", "1000 dies")]);
        binaries::put("auraed", new.parent().unwrap(), "auraed");
        let output = daemon.aer(&["daemon", "upgrade", new.to_str().unwrap()]);
        assert_eq!(output.code(), Some(1), "{}", output.err());
        assert!(output.err().contains("exit status 3"), "{}", output.err());
        let after = daemon.status();
        assert_eq!(after.keeper_pid, before.keeper_pid);
        assert_eq!((program(after.keeper_pid), program(after.daemon_pid)), (keeper, core));
        assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n");
    });
}

/// A new keeper that cannot read what the one before has left executes that one again, which goes on and says why.
fn a_keeper_that_cannot_take_over_is_left_again() {
    Daemon::with(options().environment("AURAED_FAULTS_KEEPER", "1"), |daemon| {
        let before = daemon.status();
        let (old_keeper, old_core) = (program(before.keeper_pid), program(before.daemon_pid));
        let (_, core) = release(daemon, "new");
        let output = daemon.aer(&["daemon", "upgrade", core.to_str().unwrap()]);
        assert_eq!(output.code(), Some(1), "{}", output.err());
        assert!(output.err().contains("a fault that was asked for"), "{}", output.err());
        let after = daemon.status();
        assert_eq!(after.keeper_pid, before.keeper_pid);
        assert_eq!(
            (program(after.keeper_pid), program(after.daemon_pid)),
            (old_keeper.clone(), old_core)
        );
        // The daemon alone can be another all the same.
        let output = daemon.aer(&["daemon", "upgrade", core.to_str().unwrap(), "--keep-keeper"]);
        assert!(output.status.success(), "{}", output.err());
        let after = daemon.status();
        assert_eq!((program(after.keeper_pid), program(after.daemon_pid)), (old_keeper, core));
    });
}
