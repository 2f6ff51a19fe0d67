//! redis as a unit: it says itself when it is ready, and keeps what it has acknowledged.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use api::runtime::{Executable, Readiness, RestartPolicy, RestartWhen, Step, UnitState};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    Daemon, House, Need, Options, PATIENCE, argv, eventually, rpc, rpc::named, services::Calls,
};

use super::{address, family, gone};
use crate::{Case, cases};

const PROGRAM: &str = "/usr/bin/redis-server";

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::Cgroup, Need::Redis]; it_keeps_what_it_acknowledged, enabled_it_starts_at_boot]
}

/// A redis in the folder of a daemon.
struct Store<'h> {
    house: &'h House,
    address: SocketAddr,
}

impl<'h> Store<'h> {
    fn in_house(house: &'h House) -> Self {
        let store = Self { house, address: address(6379) };
        let (ip, port, socket) = (store.address.ip(), store.address.port(), store.socket());
        let work = house.work("");
        let text = format!(
            "bind {ip}\nport {port}\nunixsocket {socket}\ndir {work}\ndaemonize no\nlogfile \"\"\n\
             supervised systemd\nsave \"\"\nappendonly yes\nappendfsync always\n"
        );
        fs::write(store.config(), text).unwrap();
        store
    }

    fn config(&self) -> String {
        self.house.work("redis.conf")
    }

    fn socket(&self) -> String {
        self.house.work("redis.sock")
    }

    fn unit(&self) -> Executable {
        let readiness = if says_ready() { Readiness::Notify } else { Readiness::Executed };
        let limit = ["/usr/bin/redis-cli", "-s", &self.socket(), "config", "set", "maxmemory"];
        let mut reload = argv(&limit).argv;
        reload.push("64mb".to_owned());
        Executable {
            readiness: readiness.into(),
            on_reload: vec![Step { argv: reload, ..Step::default() }],
            restart: Some(RestartPolicy {
                when: RestartWhen::OnFailure.into(),
                delay_ms: Some(10),
                ..RestartPolicy::default()
            }),
            ..named("redis", argv(&[PROGRAM, &self.config()]))
        }
    }

    /// The same as a file.
    fn toml(&self) -> String {
        let (config, socket) = (self.config(), self.socket());
        let readiness = if says_ready() { "notify" } else { "executed" };
        let path = self.house.work("redis.toml");
        let text = format!(
            "name = \"redis\"\nargv = [\"{PROGRAM}\", \"{config}\"]\nreadiness = \"{readiness}\"\n\
             on_reload = [\"/usr/bin/redis-cli -s {socket} config set maxmemory 64mb\"]\n\
             [restart]\nwhen = \"on-failure\"\ndelay = \"10ms\"\n"
        );
        fs::write(&path, text).unwrap();
        path
    }

    fn connect(&self, by_socket: bool) -> io::Result<Connection> {
        if by_socket {
            let stream = UnixStream::connect(self.socket())?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(Connection(BufReader::new(Box::new(stream))))
        } else {
            let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(Connection(BufReader::new(Box::new(stream))))
        }
    }

    /// A command over a connection of its own.
    fn ask(&self, by_socket: bool, command: &str) -> io::Result<String> {
        self.connect(by_socket)?.ask(command)
    }

    fn serves(&self) -> bool {
        [true, false].iter().all(|&way| self.ask(way, "PING").is_ok_and(|said| said == "PONG"))
    }

    /// Ready when it said so, or else as soon as it answers.
    #[track_caller]
    fn is_up(&self) {
        if says_ready() {
            assert!(self.serves(), "a unit that is ready answers at once");
        } else {
            eventually("it answers", || self.serves());
        }
    }
}

/// Whether this build knows sd_notify(3): Debian's does.
fn says_ready() -> bool {
    let program = fs::read(PROGRAM).unwrap();
    program.windows(13).any(|part| part == b"libsystemd.so")
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// One connection of a client.
struct Connection(BufReader<Box<dyn Stream>>);

impl Connection {
    /// Sends a command as a line, and reads a simple answer or a list of strings, whose last is told.
    fn ask(&mut self, command: &str) -> io::Result<String> {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes())?;
        let first = self.line()?;
        match first.split_at_checked(1) {
            Some(("+" | ":", said)) => Ok(said.to_owned()),
            Some(("$", _)) => self.line(),
            Some(("*", count)) => {
                let mut last = String::new();
                for _ in 0..count.parse().unwrap_or(0) {
                    self.line()?;
                    last = self.line()?;
                }
                Ok(last)
            }
            _ => Err(io::Error::other(format!("an odd answer: {first:?}"))),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// What a client that counts up without a pause has seen.
#[derive(Default)]
struct Counted {
    acknowledged: AtomicU64,
    unanswered: AtomicU64,
    over: AtomicBool,
}

impl Counted {
    /// Counts, and connects again wherever the connection breaks.
    fn count(&self, store: &Store<'_>, by_socket: bool) {
        while !self.over.load(Ordering::Relaxed) {
            let Ok(mut connection) = store.connect(by_socket) else { continue };
            while !self.over.load(Ordering::Relaxed) {
                if connection.ask("INCR count").is_err() {
                    self.unanswered.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Waits until the clients have got further.
    #[track_caller]
    fn goes_on(&self) {
        let before = self.acknowledged.load(Ordering::Relaxed);
        eventually("clients go on", || self.acknowledged.load(Ordering::Relaxed) > before + 20);
    }
}

/// A client's counting goes through reload, restart and kill -9 of the main process: it is back each time, with
/// everything that it had acknowledged and nothing twice. Stopped, no process is left, and nobody answers.
fn it_keeps_what_it_acknowledged() {
    let daemon = Daemon::start(Options::default());
    let (calls, store) = (Calls::to(&daemon), Store::in_house(&daemon));
    calls.start(store.unit()).unwrap();
    store.is_up();
    if says_ready() {
        let said = calls.view("redis").status_text;
        assert!(said.contains("Ready"), "what it says of itself is told: {said:?}");
    }
    assert_eq!(store.ask(false, "SET word aurae").unwrap(), "OK");
    assert_eq!(store.ask(true, "GET word").unwrap(), "aurae");
    let counted = Counted::default();
    thread::scope(|scope| {
        for way in [true, false] {
            let (counted, store) = (&counted, &store);
            scope.spawn(move || counted.count(store, way));
        }
        // Not to hang where the middle panics: the clients have to be told.
        let middle = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            go_through(&calls, &store, &counted);
        }));
        counted.over.store(true, Ordering::Relaxed);
        middle.unwrap_or_else(|cause| std::panic::resume_unwind(cause));
    });
    let count: u64 = store.ask(true, "GET count").unwrap().parse().unwrap();
    let (acknowledged, unanswered) =
        (counted.acknowledged.into_inner(), counted.unanswered.into_inner());
    assert!(
        (acknowledged..=acknowledged + unanswered).contains(&count),
        "{acknowledged} acknowledged, {unanswered} without an answer, {count} there"
    );
    assert_eq!(store.ask(false, "GET word").unwrap(), "aurae");
    let old = family(calls.view("redis").pid);
    let exit = calls.stop("redis").unwrap().exit.unwrap();
    assert_eq!(rpc::code(&exit), Some(0), "{exit:?}");
    assert!(gone(&old), "a unit that is down has no process");
    assert!(store.connect(true).is_err() && store.connect(false).is_err(), "nobody answers");
    assert_eq!(calls.view("redis").state(), UnitState::Inactive);
    daemon.stop();
}

/// Reload, restart and kill -9, while clients count.
fn go_through(calls: &Calls, store: &Store<'_>, counted: &Counted) {
    counted.goes_on();
    let first = calls.view("redis").pid;
    calls.reload("redis").unwrap();
    assert_eq!(store.ask(true, "CONFIG GET maxmemory").unwrap(), "67108864");
    assert_eq!(calls.view("redis").pid, first);
    counted.goes_on();

    let second = calls.restart("redis").unwrap().pid;
    assert!(gone(&[first]), "nothing of the old one is left once Restart answers");
    store.is_up();
    counted.goes_on();

    kill(Pid::from_raw(second), Signal::SIGKILL).unwrap();
    eventually("it is started again by itself, and ready", || {
        let view = calls.view("redis");
        view.state() == UnitState::Running && view.pid != second
    });
    store.is_up();
    counted.goes_on();
    let view = calls.view("redis");
    assert_eq!((view.restarts, rpc::signal(&view.last_exit.unwrap())), (1, Some(9)));
}

/// Enabled from a file it starts with every boot, and has what it was told before.
fn enabled_it_starts_at_boot() {
    let mut daemon = Daemon::start(Options::default());
    let (file, address) = {
        let store = Store::in_house(&daemon);
        (store.toml(), store.address)
    };
    let fine = |daemon: &Daemon, words: &[&str]| {
        let output = daemon.aer(words);
        assert!(output.status.success(), "aer {words:?}: {}", output.err());
    };
    fine(&daemon, &["enable", "--now", "-f", &file]);
    Store { house: &daemon, address }.is_up();
    for boot in 1..=2 {
        let said = Store { house: &daemon, address }.ask(false, "INCR boots").unwrap();
        assert_eq!(said, boot.to_string());
        daemon.restart();
        let store = Store { house: &daemon, address };
        eventually("it serves after the boot", || store.serves());
    }
    fine(&daemon, &["reload", "redis"]);
    let old = family(Calls::to(&daemon).view("redis").pid);
    fine(&daemon, &["disable", "--now", "redis"]);
    assert!(gone(&old), "a unit that is down has no process");
    daemon.restart();
    assert_eq!(Calls::to(&daemon).list(), Vec::new(), "what is disabled does not start");
    daemon.stop();
}
