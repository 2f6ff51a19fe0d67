//! The socket: whose it is, and in whose place it comes.

use std::{
    fs,
    os::unix::{fs::MetadataExt, net::UnixListener},
};

use serde_json::json;
use tests::{
    Daemon, House, Need, Options,
    drpc::{Drpc, daemon_at, folder, text},
    eventually,
};

use super::Served;
use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::BarePython];
        it_is_ours_alone_and_goes_with_us,
        who_comes_between_two_daemons_is_served_by_the_next,
        the_next_keeper_takes_the_place_of_a_killed_one,
        one_that_answers_is_left_alone,
        no_other_file_is_removed,
        the_configuration_names_what_is_wrong,
    ]
}

fn it_is_ours_alone_and_goes_with_us() {
    let served = Served::usual();
    drop(served.client("raw"));
    assert_eq!(fs::metadata(&served.socket).unwrap().mode() & 0o7777, 0o600);
    let path = served.socket.clone();
    let Served { daemon, _folder, .. } = served;
    daemon.stop();
    assert!(!path.exists(), "it is still there");
}

/// The keeper holds the socket: nobody is refused between two daemons.
fn who_comes_between_two_daemons_is_served_by_the_next() {
    let served = Served::usual();
    let mut client = served.client("chunked");
    for _ in 0..3 {
        served.daemon.lose_daemon();
        assert_eq!(client.try_open("at once", "raw"), Ok(()));
        assert_eq!(client.read("usual"), json!({"end": true}));
        let call = json!({"do": "call", "session": "at once", "body": [[1, "next"]]});
        assert_eq!(text(&client.order(&call), 1), "Hello next");
        client.open("usual", "chunked");
        is_well(&served.daemon);
    }
    served.daemon.stop();
}

/// The socket's file is there, and nobody answers at it.
fn the_next_keeper_takes_the_place_of_a_killed_one() {
    let mut served = Served::usual();
    drop(served.client("chunked"));
    served.daemon.lose_both();
    assert!(served.socket.exists());
    served.daemon.start_again();
    let mut client = served.client("chunked");
    assert_eq!(text(&client.call((0, 0), json!([[1, "next"]])), 1), "Hello next");
    // Where the keeper alone is killed the daemon hands it on.
    served.daemon.lose_keeper();
    served.daemon.start_again();
    assert_eq!(client.try_open("heir's", "chunked"), Ok(()));
    is_well(&served.daemon);
    served.daemon.stop();
}

/// Nothing is wrong, or not for long.
#[track_caller]
fn is_well(daemon: &Daemon) {
    eventually("nothing is wrong", || daemon.status().problems.is_empty());
}

fn problem(daemon: &Daemon) -> String {
    daemon.status().problems.concat()
}

/// It is told by its path, and taken as soon as nobody answers there any more.
fn one_that_answers_is_left_alone() {
    let folder = folder();
    let path = folder.path().join("drpc.sock");
    let other = UnixListener::bind(&path).unwrap();
    let daemon = daemon_at(Options::default(), &path, &[]);
    eventually("it is told", || problem(&daemon).contains("another process answers at it"));
    assert!(problem(&daemon).contains(&path.display().to_string()), "{}", problem(&daemon));
    drop(other);
    let mut client = Drpc::connect(&path, "raw");
    assert_eq!(text(&client.call((0, 0), json!([[1, "x"]])), 1), "Hello x");
    eventually("it is told no more", || problem(&daemon).is_empty());
    daemon.stop();
}

fn no_other_file_is_removed() {
    let folder = folder();
    let path = folder.path().join("drpc.sock");
    fs::write(&path, "mine").unwrap();
    let daemon = daemon_at(Options::default(), &path, &[]);
    eventually("it is told", || problem(&daemon).contains("no socket"));
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    fs::remove_file(&path).unwrap();
    drop(Drpc::connect(&path, "raw"));
    daemon.stop();
    // A folder that is not there.
    let path = folder.path().join("nowhere/drpc.sock");
    let daemon = daemon_at(Options::default(), &path, &[]);
    eventually("it is told", || problem(&daemon).contains("its folder has to be there"));
    fs::create_dir(folder.path().join("nowhere")).unwrap();
    drop(Drpc::connect(&path, "chunked"));
    daemon.stop();
}

fn the_configuration_names_what_is_wrong() {
    for (line, word) in [
        ("socket = \"drpc.sock\"".to_owned(), "absolute"),
        (format!("socket = \"/{}\"", "x".repeat(110)), "107"),
        ("uids = [0]".to_owned(), "socket"),
    ] {
        let options = Options::default().config("doors.drpc", &line);
        let said = House::prepare(options).refused().err();
        assert!(said.contains("line ") && said.contains(word), "{line}: {said}");
    }
}
