//! Nobody answers, or somebody else does.

use std::{
    fs::{self, Permissions},
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener, process::CommandExt},
    process::Command,
    thread,
};

use nix::unistd::Uid;
use tempfile::tempdir;

use crate::{aer, complaint, status};

#[test]
fn a_missing_socket_is_named_with_what_to_do() {
    for (verb, wanted) in [
        (&["status"][..], 1),
        (&["logs", "x"], 1),
        (&["exec", "--", "x"], 125),
        (&["enable", "x", "--", "y"], 1),
        (&["enable", "-f", "/nonexistent/x.toml"], 1),
        (&["disable", "x", "y"], 1),
        (&["destroy", "x", "y"], 1),
        (&["list"], 1),
        (&["show", "x"], 1),
        (&["start", "x", "y"], 1),
        (&["start", "-f", "/nonexistent/x.toml"], 1),
        (&["stop", "x"], 1),
        (&["restart", "x"], 1),
        (&["reload", "x"], 1),
        (&["signal", "x", "HUP"], 1),
        (&["wait", "x"], 125),
        (&["inspect", "x"], 1),
        (&["forget", "--all"], 1),
        (&["watch"], 1),
        (&["edit", "x"], 1),
        (&["schedule", "export"], 1),
        (&["schedule", "import", "/nonexistent/x.toml"], 1),
        (&["schedule", "repair"], 1),
    ] {
        let output = aer(["--socket", "/nonexistent/x.sock"]).args(verb).output().unwrap();
        assert_eq!(status(&output), wanted);
        assert_eq!(
            complaint(&output),
            "aer: connecting to /nonexistent/x.sock: no daemon answers there, the socket does not \
             exist; is auraed running? start it, or say where it is with --socket or AURAE_SOCKET"
        );
    }
}

#[test]
fn a_socket_that_nobody_listens_at_is_named() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("stale");
    drop(UnixListener::bind(&path).unwrap());
    let output = aer(["status"]).env("AURAE_SOCKET", &path).output().unwrap();
    assert_eq!(status(&output), 1);
    let wanted = format!(
        "aer: connecting to {}: no daemon answers there, the connection was refused; ",
        path.display()
    );
    assert!(complaint(&output).starts_with(&wanted), "{output:?}");
}

#[test]
fn a_port_that_nobody_listens_at_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = format!("http://{free}");
    let output = aer(["status", "--address", &address]).output().unwrap();
    let wanted = format!("aer: connecting to {address}: no daemon answers there, ");
    assert!(complaint(&output).starts_with(&wanted), "{output:?}");
}

#[test]
fn a_path_that_no_socket_can_have_is_named() {
    let path = format!("/{}", "x".repeat(300));
    let output = aer(["status", "--socket", &path]).output().unwrap();
    assert!(complaint(&output).ends_with("; check --socket or --address"), "{output:?}");
}

#[test]
fn a_socket_that_this_user_may_not_use_is_named() {
    let folder = tempdir().unwrap();
    // Root may do everything, so there aer runs as somebody else, from a place that everybody reaches.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("aer");
    // By another process: one that a test beside this one is just making would hold ours open for writing, and a program that
    // somebody writes is not executed (ETXTBSY).
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_aer")).arg(&program).status();
    assert!(copied.unwrap().success());
    let path = folder.path().join("socket");
    let _listener = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o000)).unwrap();
    let mut aer = Command::new(&program);
    aer.env_clear().arg("status").env("AURAE_SOCKET", &path);
    if Uid::effective().is_root() {
        aer.uid(65534);
    }
    let output = aer.output().unwrap();
    assert_eq!(status(&output), 1);
    let wanted = format!(
        "aer: connecting to {}: permission denied; \
         run aer as auraed's user, or as a member of the socket's group",
        path.display()
    );
    assert_eq!(complaint(&output), wanted);
}

#[test]
fn something_that_is_no_daemon_is_a_clear_failure() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("other");
    let listener = UnixListener::bind(&path).unwrap();
    // Answers everybody, for as long as the test lives: the channel may try twice.
    thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok();
            connection.read_to_end(&mut Vec::new()).ok();
        }
    });
    let output = aer(["status"]).env("AURAE_SOCKET", &path).output().unwrap();
    assert_eq!(status(&output), 1);
    let complaint = complaint(&output);
    // It is a matter of timing whether the connection counts as made before the answer is read.
    let connecting = format!("aer: connecting to {}: ", path.display());
    let asking = "aer: asking for the status: the connection to the daemon broke (";
    assert!(complaint.starts_with(asking) || complaint.starts_with(&connecting), "{complaint}");
}

#[test]
fn the_file_of_the_user_names_the_socket() {
    let home = tempdir().unwrap();
    fs::create_dir(home.path().join(".aurae")).unwrap();
    let file = home.path().join(".aurae/config");
    fs::write(&file, "[system]\nsocket = '/nonexistent/home.sock'\n").unwrap();
    let output = aer(["status"]).env("HOME", home.path()).output().unwrap();
    assert!(complaint(&output).contains("/nonexistent/home.sock: "), "{output:?}");

    fs::write(&file, "[system]\nsokcet = '/x'\n").unwrap();
    let output = aer(["exec", "--", "x"]).env("HOME", home.path()).output().unwrap();
    assert_eq!(status(&output), 125);
    let wanted =
        format!("aer: reading {}, line 2, column 1: unknown field `sokcet`", file.display());
    assert!(complaint(&output).starts_with(&wanted), "{output:?}");
}
