//! What is wrong with a command line is one line, like every other failure.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use crate::{aer, complaint, status, text};

#[test]
fn every_mistake_is_one_line_and_status_2() {
    for words in [
        &[][..],
        &["-o", "json"],
        &["exce"],
        &["exec"],
        &["exec", "ls"],
        &["exec", "--bogus"],
        &["exec", "-c", "a", "--", "b"],
        &["exec", "--run-id", "x", "--", "b"],
        &["status", "--socket"],
        &["status", "--socket", "/s", "--address", "http://h:1"],
        &["status", "--address", "https://h:1"],
        &["status", "-o", "yaml"],
        &["status", "more"],
        &["logs"],
        &["logs", "99999999999999999999"],
        &["logs", "--pid", "0"],
        &["enable"],
        &["enable", "a"],
        &["enable", "a", "ls"],
        &["enable", "--", "ls"],
        &["enable", "a", "-f", "x"],
        &["enable", "-f", "x", "--comment", "c"],
        &["enable", "-f", "x", "--", "ls"],
        &["enable", "a", "-c", "x", "--", "ls"],
        &["enable", "a", "-f"],
        &["enable", "-f", "x", "--memory-max", "1G"],
        &["disable"],
        &["destroy"],
        &["list", "--enabled", "--disabled"],
        &["list", "x"],
        &["show"],
        &["show", "a", "b"],
        &["schedule"],
        &["schedule", "exprt"],
        &["schedule", "export", "x"],
        &["schedule", "import", "a", "b"],
        &["completions"],
        &["completions", "tcsh"],
        &["status", "a\nb\x1b[31m"],
        &["--\n"],
    ] {
        is_refused(words);
    }
}

#[test]
fn so_is_every_mistake_about_units() {
    for words in [
        &["start"][..],
        &["start", "a", "--", "b"],
        &["start", "a", "-f", "x"],
        &["start", "a", "--memory-max", "1G"],
        &["start", "--name", "a", "b"],
        &["start", "-f", "x", "--oneshot"],
        &["start", "--memory-max", "lots", "--", "x"],
        &["start", "--restart", "allways", "--", "x"],
        &["start", "--env", "A", "--", "x"],
        &["start", "--stop-timeout", "0", "--", "x"],
        &["start", "--remain-after-exit", "--", "x"],
        &["start", "--umask", "9", "--", "x"],
        &["stop"],
        &["stop", "a", "--signal", "BANANA"],
        &["stop", "a", "--signal", "HUP", "--kill"],
        &["stop", "a", "--run", "0192f0c1-2c3d-4e5f-8a9b-0c1d2e3f4a5b"],
        &["restart"],
        &["restart", "a", "-f", "x"],
        &["reload"],
        &["signal", "a"],
        &["signal", "a", "0"],
        &["signal", "a", "HUP", "b"],
        &["wait"],
        &["wait", "a", "b"],
        &["inspect"],
        &["forget"],
        &["forget", "a", "--all"],
        &["watch", "--from", "x"],
        &["edit"],
        &["edit", "a", "b"],
        &["list", "--running", "--failed"],
    ] {
        is_refused(words);
    }
}

/// With one line and status 2.
fn is_refused(words: &[&str]) {
    let output = aer(words).output().unwrap();
    assert_eq!((status(&output), output.stdout.len()), (2, 0), "{words:?}");
    let complaint = complaint(&output);
    assert!(complaint.ends_with(" --help") && !complaint.contains('\x1b'), "{complaint}");
}

#[test]
fn a_mistake_says_what_on_what_and_what_to_do() {
    let output = aer(["exec", "--bogus"]).output().unwrap();
    let wanted = "aer: unexpected argument '--bogus' for 'aer exec'; see aer exec --help";
    assert_eq!(complaint(&output), wanted);
    let output = aer(["status", "a\nb\x1b"]).output().unwrap();
    let wanted = "aer: unexpected argument 'a\\nb\\u{1b}' for 'aer status'; see aer status --help";
    assert_eq!(complaint(&output), wanted);
}

#[test]
fn a_huge_argument_does_not_make_a_huge_line() {
    let huge = "x".repeat(100_000);
    for words in [
        &["status", &huge][..],
        &["status", "-o", &huge],
        &["status", "--address", &huge],
        &["logs", "--run", &huge],
        &["list", &format!("--{huge}")],
        &[&huge],
        &["schedule", &huge],
        &["--socket", &format!("/{huge}"), "status"],
        &["--socket", "/nonexistent/x", "disable", &huge],
    ] {
        let output = aer(words).output().unwrap();
        assert!(status(&output) > 0);
        assert!(complaint(&output).chars().count() < 2100, "{}", complaint(&output).len());
    }
}

#[test]
fn an_argument_that_is_no_text_is_one_line() {
    for verb in [&["status"][..], &["exec", "--"], &["enable", "a", "--"], &["disable"]] {
        let words = verb.iter().map(OsStr::new).chain([OsStr::from_bytes(b"\xff\xfe")]);
        let output = aer(words).output().unwrap();
        assert_eq!(status(&output), 2);
        complaint(&output);
    }
}

#[test]
fn help_and_version_stay_on_standard_output() {
    for words in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["--version"],
        &["exec", "--help"],
        &["enable", "--help"],
        &["start", "--help"],
        &["help", "watch"],
        &["schedule", "--help"],
        &["schedule", "import", "--help"],
        &["help", "schedule", "repair"],
    ] {
        let output = aer(words).output().unwrap();
        assert_eq!((status(&output), text(&output.stderr)), (0, ""), "{words:?}");
        assert!(text(&output.stdout).lines().count() >= 1);
    }
}
