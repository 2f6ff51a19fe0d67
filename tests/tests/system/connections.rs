//! How many may be connected: no more than there is room for, and nobody locks others out.

use std::{
    io::Read,
    os::{fd::AsFd, unix::net::UnixStream},
    process::Command,
    time::Duration,
};

use api::observe::StatusRequest;
use tests::{
    Daemon, Fifo, House, Need, Options, PATIENCE, Process, argv, eventually, procfs,
    wait::{Deadline, readable},
};
use tonic::Code;

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![[]; who_finds_no_place_is_told_so];
    all.extend(cases![[Need::OtherUser]; users_lock_nobody_out, without_descriptors_it_waits]);
    all
}

/// All places there are here, and how many may be told at a time that there is none.
const MOST: usize = 16;
const TOLD: usize = 16;

fn few(options: Options) -> Options {
    options.config("api", &format!("connections = {MOST}"))
}

fn works(daemon: &Daemon) -> bool {
    daemon.aer(&["exec", "--", "/bin/true"]).status.success()
}

fn connect(daemon: &Daemon) -> UnixStream {
    UnixStream::connect(daemon.socket()).unwrap()
}

/// Whether it is closed, or is within this time.
fn is_closed(mut stream: &UnixStream, within: Duration) -> bool {
    let deadline = Deadline::after(within);
    while readable(stream.as_fd(), deadline) {
        if matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)) {
            return true;
        }
    }
    false
}

/// One more than there are places is told so, as an error of its call; those that wait for nothing are closed; and when
/// one goes there is a place again.
fn who_finds_no_place_is_told_so() {
    Daemon::with(few(Options::default()), |daemon| {
        let mut idle: Vec<UnixStream> = (1..MOST).map(|_| connect(daemon)).collect();
        assert!(works(daemon), "there is one place left");
        idle.push(connect(daemon));
        let mut client = daemon.observe_client();
        let refused = daemon.block(client.status(StatusRequest::default())).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        assert!(refused.message().contains("no place for another connection"), "{refused}");
        assert!(refused.message().contains("[api] connections"), "{refused}");
        let said = daemon.aer(&["status"]);
        assert_eq!((said.status.code(), said.err().trim_end().lines().count()), (Some(1), 1));
        assert!(said.err().contains("no place for another connection"), "{}", said.err());
        drop(client);
        let more: Vec<UnixStream> = (0..2 * TOLD).map(|_| connect(daemon)).collect();
        assert!(more.iter().all(|stream| is_closed(stream, PATIENCE)));
        assert!(idle.iter().all(|stream| !is_closed(stream, Duration::ZERO)), "they have places");
        idle.truncate(MOST - 1);
        eventually("there is a place again", || works(daemon));
        let told = daemon.log().matches("there is no place for more connections").count();
        assert_eq!(told, 1, "once in a while");
    });
}

/// A user has half of the places at most, and all users but root leave some to it.
fn users_lock_nobody_out() {
    let options = few(Options::default()).config("system", "group = \"65534\"");
    Daemon::with(options, |daemon| {
        let greedy: Vec<Process> = [65534_u32, 65533]
            .into_iter()
            .map(|user| {
                let mut there = Fifo::make(daemon.path(), &format!("there-{user}"));
                let stranger = House::prepare(Options::default().user(user));
                let mut command = Command::new("/usr/bin/setpriv");
                let socket = daemon.socket().to_str().unwrap().to_owned();
                command.args([&format!("--reuid={user}"), "--regid=65534", "--clear-groups"]);
                command.args([&stranger.binary("probe"), "connect", &socket, "64"]);
                command.args(["say", there.path(), "there", "pause"]).current_dir("/");
                let greedy = Process::start(command, || {});
                assert_eq!(there.line(), "there");
                greedy
            })
            .collect();
        for _ in 0..10 {
            assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n");
        }
        drop(greedy);
    });
}

/// Where the process has no descriptor left it neither spins nor ends; who connects waits, and is served when it has one.
fn without_descriptors_it_waits() {
    Daemon::with(Options::default(), |daemon| {
        let core = daemon.status().daemon_pid;
        let limit = |soft: &str| {
            let mut command = Command::new("/usr/bin/prlimit");
            command.args([format!("--pid={core}"), format!("--nofile={soft}:")]);
            assert!(Process::start(command, || {}).finish().status.success());
        };
        limit("3");
        let waiting = daemon.start_aer(&["exec", "--", "/bin/true"]);
        eventually("it is told", || daemon.log().contains("cannot take a connection"));
        let before = procfs::first_threads_time(core);
        assert!(!is_closed(&connect(daemon), Duration::from_secs(1)));
        let spent = procfs::first_threads_time(core) - before;
        assert!(spent < Duration::from_millis(250), "it spins: {spent:?} of a second");
        limit("1024");
        assert!(waiting.finish().status.success());
        assert_eq!(daemon.status().daemon_pid, core);
        assert_eq!(daemon.log().matches("cannot take a connection").count(), 1);
    });
}
