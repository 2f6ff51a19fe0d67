//! nginx as a unit: master and workers, a configuration that is read again, and clients who notice nothing of it.

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

use api::runtime::{Executable, KillMode, RestartPolicy, RestartWhen, Step, StopPolicy, UnitState};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tests::{
    Daemon, House, Need, Options, PATIENCE, argv, eventually, procfs, rpc, rpc::named,
    services::Calls,
};

use super::{address, family, gone};
use crate::{Case, cases};

const PROGRAM: &str = "/usr/sbin/nginx";

pub(crate) fn cases() -> Vec<Case> {
    cases![[Need::Cgroup, Need::Nginx];
        reloads_lose_no_request,
        it_comes_back_and_goes,
        a_wrong_configuration_is_told,
        enabled_it_starts_at_boot,
    ]
}

/// An nginx in the folder of a daemon, with a page that says which configuration it is of.
struct Site<'h> {
    house: &'h House,
    address: SocketAddr,
}

impl<'h> Site<'h> {
    fn in_house(house: &'h House) -> Self {
        let site = Self { house, address: address(8080) };
        site.configure("first");
        site
    }

    fn config(&self) -> String {
        self.house.work("nginx.conf")
    }

    fn socket(&self) -> String {
        self.house.work("nginx.sock")
    }

    /// Writes a configuration under which the page reads `page`.
    fn configure(&self, page: &str) {
        let root = self.house.work(&format!("site-{page}"));
        fs::create_dir_all(&root).unwrap();
        fs::write(format!("{root}/index.html"), page).unwrap();
        let (work, address, socket) = (self.house.work(""), self.address, self.socket());
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {work}nginx-{kind};\n"))
            .concat();
        let text = format!(
            "pid {work}nginx.pid;\nerror_log stderr;\nworker_processes 2;\n\
             events {{ worker_connections 64; }}\n\
             http {{\n{temporary}access_log off;\n\
             server {{ listen {address}; listen unix:{socket}; root {root}; }}\n}}\n"
        );
        fs::write(self.config(), text).unwrap();
    }

    /// As Debian's own unit has it, but that it does not go into the background.
    fn unit(&self) -> Executable {
        let step = |words: &[&str]| Step { argv: argv(words).argv, ..Step::default() };
        let config = self.config();
        let main = [PROGRAM, "-e", "stderr", "-c", &config, "-g", "daemon off;"];
        Executable {
            // After a kill -9 its socket is in its own way.
            before: vec![
                step(&["/bin/rm", "-f", &self.socket()]),
                step(&[PROGRAM, "-t", "-q", "-e", "stderr", "-c", &config]),
            ],
            on_reload: vec![Step {
                command: "/bin/kill -HUP $MAINPID".to_owned(),
                ..Step::default()
            }],
            restart: Some(RestartPolicy {
                when: RestartWhen::OnFailure.into(),
                delay_ms: Some(10),
                ..RestartPolicy::default()
            }),
            stop: Some(StopPolicy {
                signal: Signal::SIGQUIT as i32,
                kill_mode: KillMode::Mixed.into(),
                ..StopPolicy::default()
            }),
            ..named("nginx", argv(&main))
        }
    }

    /// The same as a file.
    fn toml(&self) -> String {
        let (config, socket) = (self.config(), self.socket());
        let path = self.house.work("nginx.toml");
        let text = format!(
            "name = \"nginx\"\ncomment = \"Debian's nginx\"\n\
             argv = [\"{PROGRAM}\", \"-e\", \"stderr\", \"-c\", \"{config}\", \"-g\", \"daemon off;\"]\n\
             before = [\"/bin/rm -f {socket}\", \"{PROGRAM} -t -q -e stderr -c {config}\"]\n\
             on_reload = [\"/bin/kill -HUP $MAINPID\"]\n\
             [restart]\nwhen = \"on-failure\"\ndelay = \"10ms\"\n\
             [stop]\nsignal = \"SIGQUIT\"\nkill_mode = \"mixed\"\n"
        );
        fs::write(&path, text).unwrap();
        path
    }

    /// The page over TCP.
    fn page(&self) -> io::Result<String> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        ask(stream)
    }

    /// The page over the Unix socket.
    fn page_by_socket(&self) -> io::Result<String> {
        let stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        ask(stream)
    }

    fn says(&self, page: &str) -> bool {
        [self.page(), self.page_by_socket()].iter().all(|said| said.as_deref().ok() == Some(page))
    }
}

/// One request as HTTP/1.0 has it; the body of an answer that is whole.
fn ask(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(b"GET / HTTP/1.0\r\nHost: here\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let length = format!("Content-Length: {}", body.len());
    if head.starts_with("HTTP/1.1 200 ") && head.lines().any(|line| line == length) {
        Ok(body.to_owned())
    } else {
        Err(io::Error::other(format!("an odd answer: {text:?}")))
    }
}

/// While clients ask without a pause, over TCP and the Unix socket, it is reloaded ten times: every request has a
/// whole answer, each reload takes effect, and the main process stays.
fn reloads_lose_no_request() {
    let daemon = Daemon::start(Options::default());
    let (calls, site) = (Calls::to(&daemon), Site::in_house(&daemon));
    let main = calls.start(site.unit()).unwrap().pid;
    eventually("it serves", || site.says("first"));
    let (over, served) = (AtomicBool::new(false), AtomicU32::new(0));
    let client = |by_socket: bool| {
        let mut failures = Vec::new();
        while !over.load(Ordering::Relaxed) {
            match if by_socket { site.page_by_socket() } else { site.page() } {
                Ok(_) => drop(served.fetch_add(1, Ordering::Relaxed)),
                Err(why) => failures.push(why.to_string()),
            }
        }
        failures
    };
    let failures: Vec<String> = thread::scope(|scope| {
        let clients = [true, false, true, false].map(|way| scope.spawn(move || client(way)));
        // Not to hang where the middle panics: the clients have to be told.
        let middle = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for number in 0..10 {
                let page = format!("page-{number}");
                site.configure(&page);
                calls.reload("nginx").unwrap();
                eventually("the reload takes effect", || site.says(&page));
                let before = served.load(Ordering::Relaxed);
                eventually("clients go on", || served.load(Ordering::Relaxed) > before + 20);
            }
        }));
        over.store(true, Ordering::Relaxed);
        let all = clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        middle.unwrap_or_else(|cause| std::panic::resume_unwind(cause));
        all
    });
    assert_eq!(failures, Vec::<String>::new(), "of {} requests", served.into_inner());
    let view = calls.view("nginx");
    assert_eq!((view.state(), view.pid, view.restarts), (UnitState::Running, main, 0));
    daemon.stop();
}

/// Restarted, it is another process, and the old workers are gone. After kill -9 of the main process so are they, who
/// would still hold the port, and it serves again. Stopped as it likes it, it ends with status 0; no process is left,
/// nobody answers, and it stays so.
fn it_comes_back_and_goes() {
    let daemon = Daemon::start(Options::default());
    let (calls, site) = (Calls::to(&daemon), Site::in_house(&daemon));
    let first = calls.start(site.unit()).unwrap().pid;
    eventually("it serves", || site.says("first"));
    eventually("it has its workers", || family(first).len() == 3);
    let old = family(first);
    let second = calls.restart("nginx").unwrap().pid;
    assert!(gone(&old), "nothing of the old one is left once Restart answers");
    assert_ne!(second, first);
    eventually("it serves again", || site.says("first"));
    eventually("it has its workers again", || family(second).len() == 3);

    let old = family(second);
    kill(Pid::from_raw(second), Signal::SIGKILL).unwrap();
    eventually("it is started again by itself", || {
        let view = calls.view("nginx");
        view.state() == UnitState::Running && view.pid != second
    });
    assert!(gone(&old), "the workers of the one that was killed are gone");
    eventually("it serves after kill -9", || site.says("first"));
    let view = calls.view("nginx");
    assert_eq!((view.restarts, rpc::signal(&view.last_exit.unwrap())), (1, Some(9)));

    let old = family(view.pid);
    let exit = calls.stop("nginx").unwrap().exit.unwrap();
    assert_eq!(rpc::code(&exit), Some(0), "SIGQUIT is its own way to end: {exit:?}");
    assert!(gone(&old), "a unit that is down has no process");
    assert!(site.page().is_err() && site.page_by_socket().is_err(), "nobody answers");
    let view = calls.view("nginx");
    assert_eq!((view.state(), view.wanted_up), (UnitState::Inactive, false));
    daemon.stop();
}

/// A configuration that it does not take fails the start with the step's name, before it is executed; a reload with
/// it leaves the old one in force.
fn a_wrong_configuration_is_told() {
    let daemon = Daemon::start(Options::default());
    let (calls, site) = (Calls::to(&daemon), Site::in_house(&daemon));
    fs::write(site.config(), "nonsense;\n").unwrap();
    // Or it would be tried again and again, as a start that fails is a failure.
    let unit = Executable { restart: None, ..site.unit() };
    let refusal = calls.start(unit).unwrap_err();
    assert_eq!(refusal.code(), tonic::Code::FailedPrecondition, "{refusal}");
    assert_eq!(calls.view("nginx").state(), UnitState::Failed);
    let log = daemon.unit_log("nginx");
    let said = String::from_utf8_lossy(&log.stderr).into_owned();
    assert!(
        said.contains("unknown directive \"nonsense\""),
        "its own words are in its log: {said}"
    );
    site.configure("mended");
    let main = calls.start_named("nginx").unwrap().pid;
    eventually("it serves", || site.says("mended"));
    fs::write(site.config(), "nonsense;\n").unwrap();
    calls.reload("nginx").unwrap();
    eventually("it says that it keeps the old one", || {
        let log = daemon.unit_log("nginx");
        String::from_utf8_lossy(&log.stderr).matches("nonsense").count() >= 2
    });
    assert!(site.says("mended"));
    assert_eq!(calls.view("nginx").pid, main);
    daemon.stop();
}

/// Enabled from a file it starts with the next boot and serves; `aer` reloads, restarts and stops it; disabled, the
/// boot after that leaves it alone.
fn enabled_it_starts_at_boot() {
    let mut daemon = Daemon::start(Options::default());
    let (file, aer) = {
        let site = Site::in_house(&daemon);
        (site.toml(), site.address)
    };
    let fine = |daemon: &Daemon, words: &[&str]| {
        let output = daemon.aer(words);
        assert!(output.status.success(), "aer {words:?}: {}", output.err());
    };
    fine(&daemon, &["enable", "-f", &file]);
    daemon.restart();
    let site = Site { house: &daemon, address: aer };
    eventually("it serves after the boot", || site.says("first"));
    site.configure("second");
    fine(&daemon, &["reload", "nginx"]);
    eventually("the reload takes effect", || site.says("second"));
    let before = Calls::to(&daemon).view("nginx").pid;
    fine(&daemon, &["restart", "nginx"]);
    eventually("it serves after the restart", || site.says("second"));
    let after = Calls::to(&daemon).view("nginx").pid;
    assert_ne!(before, after);
    let old = family(after);
    fine(&daemon, &["stop", "nginx"]);
    assert!(gone(&old) && procfs::state(before).is_none());
    fine(&daemon, &["disable", "nginx"]);
    daemon.restart();
    let known = Calls::to(&daemon).list();
    assert_eq!(known, Vec::new(), "what is disabled does not start");
    daemon.stop();
}
