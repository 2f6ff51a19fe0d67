//! Clients that stall, vanish or talk nonsense disturb nobody.

use std::{
    io::{Read, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    time::Duration,
};

use nix::sys::signal::Signal;
use tests::{
    Daemon, Fifo, Options, PATIENCE, argv, eventually, procfs,
    wait::{Deadline, readable},
};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        half_a_preface,
        half_a_frame,
        nonsense_is_hung_up_on,
        many_idle_connections,
        vanished_clients_leave_no_descriptors,
        a_vanished_client_stops_its_run,
    ]
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

fn still_works(daemon: &Daemon) {
    assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n");
}

/// A client that stalls in the middle of its first words.
fn half_a_preface() {
    Daemon::with(Options::default(), |daemon| {
        let mut stalled = UnixStream::connect(daemon.socket()).unwrap();
        stalled.write_all(&PREFACE[..10]).unwrap();
        still_works(daemon);
        drop(stalled);
        still_works(daemon);
    });
}

/// A client that stalls in the middle of a frame: of a request that it never finishes.
fn half_a_frame() {
    Daemon::with(Options::default(), |daemon| {
        let mut stalled = UnixStream::connect(daemon.socket()).unwrap();
        stalled.write_all(PREFACE).unwrap();
        stalled.write_all(EMPTY_SETTINGS).unwrap();
        // A HEADERS frame on stream 1 that announces 100 bytes and brings five.
        stalled.write_all(&[0, 0, 100, 1, 4, 0, 0, 0, 1, 1, 2, 3, 4, 5]).unwrap();
        still_works(daemon);
        drop(stalled);
        still_works(daemon);
        assert_eq!(daemon.status().runs_live, 0);
    });
}

/// A client that does not speak HTTP/2, or breaks it, is hung up on.
fn nonsense_is_hung_up_on() {
    Daemon::with(Options::default(), |daemon| {
        let huge_frame = [PREFACE, EMPTY_SETTINGS, &[255, 255, 255, 0, 0, 0, 0, 0, 1]].concat();
        for words in [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), vec![0xff; 4096], huge_frame] {
            let mut stream = UnixStream::connect(daemon.socket()).unwrap();
            // It may hang up while we still write.
            let _ = stream.write_all(&words);
            let deadline = Deadline::after(PATIENCE);
            let mut buffer = [0; 4096];
            loop {
                assert!(readable(stream.as_fd(), deadline), "{words:?} is listened to for ever");
                if matches!(stream.read(&mut buffer), Ok(0) | Err(_)) {
                    break;
                }
            }
            still_works(daemon);
        }
    });
}

/// Two hundred connections that say nothing.
fn many_idle_connections() {
    Daemon::with(Options::default(), |daemon| {
        let idle: Vec<_> =
            (0..200).map(|_| UnixStream::connect(daemon.socket()).unwrap()).collect();
        still_works(daemon);
        drop(idle);
        still_works(daemon);
    });
}

/// Clients that vanish at any point leave no descriptor open.
fn vanished_clients_leave_no_descriptors() {
    Daemon::with(Options::default(), |daemon| {
        still_works(daemon);
        let core = daemon.status().daemon_pid;
        let before = procfs::descriptors(core);
        for cut in 0..100 {
            let mut stream = UnixStream::connect(daemon.socket()).unwrap();
            let words = [PREFACE, EMPTY_SETTINGS].concat();
            let _ = stream.write_all(&words[..cut % words.len()]);
        }
        eventually("the vanished clients' descriptors are closed", || {
            procfs::descriptors(core) <= before + 5
        });
    });
}

/// A client process that is killed stops the run that it waits for.
fn a_vanished_client_stops_its_run() {
    Daemon::with(Options::default().stop_timeout("1s"), |daemon| {
        let mut up = Fifo::make(daemon.path(), "up");
        let (probe, pid_file) = (daemon.binary("probe"), daemon.work("pid"));
        let words = [
            "exec",
            "--",
            &probe,
            "ignore",
            "SIGTERM",
            "mark",
            &pid_file,
            "say",
            up.path(),
            "up",
            "pause",
        ];
        let client = daemon.start_aer(&words);
        assert_eq!(up.line(), "up");
        let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        client.signal(Signal::SIGKILL);
        assert!(client.end_within(Duration::from_secs(10)).is_some());
        eventually("the run ends with its client", || !procfs::alive(pid));
    });
}
