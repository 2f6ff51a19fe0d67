//! An Exec whose connection breaks gets its run back: the rest of its output, each byte once, and its exit.

use api::{
    observe::{LogsRequest, logs_request::Source},
    runtime::{Executable, ExitRecord, run_frame::Frame},
};
use nix::sys::signal::Signal;
use tests::{Daemon, Fifo, Options, Process, Relay, eventually, rpc};
use tonic::{Code, Status};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        exec_reclaims_its_run_and_its_exit,
        exec_with_json_reclaims_its_run,
        exec_is_cut_again_and_again,
        exec_goes_on_over_a_killed_daemon,
        an_exec_that_no_daemon_has_heard_of_is_executed,
        a_run_that_only_its_log_remembers_is_reclaimed,
        what_is_reclaimed_is_never_executed,
        signals_end_an_exec_that_finds_no_daemon,
    ]
}

fn quick() -> Options {
    Options::default().restart_delay("20ms")
}

fn reclaiming(run_id: &str, cursor: &str) -> Executable {
    let resume = Some(cursor.to_owned());
    Executable { run_id: run_id.to_owned(), resume, ..Executable::default() }
}

fn logs(daemon: &Daemon, source: Source) -> Vec<u8> {
    let request = LogsRequest { source: Some(source), ..LogsRequest::default() };
    daemon.logs(request).map(|logged| logged.stdout).unwrap_or_default()
}

/// `aer exec` over a connection that is cut: the daemon tells the run to end, as always when a caller goes, and `aer`
/// gets what it prints then, and its exit.
fn exec_reclaims_its_run_and_its_exit() {
    Daemon::with(quick(), |daemon| {
        let relay = daemon.relay();
        let script = "exec 2>/dev/null; trap 'echo two; exit 5' TERM; echo one; while :; do sleep 0.05; done";
        let aer = daemon.start_aer_over(&relay, &["exec", "--", "/bin/sh", "-c", script]);
        aer.wait_for_output("one\n");
        relay.cut();
        let output = aer.finish();
        assert_eq!((output.out(), output.err()), ("one\ntwo\n".to_owned(), String::new()));
        assert_eq!(output.code(), Some(5));
    });
}

/// The same where the whole answer is waited for.
fn exec_with_json_reclaims_its_run() {
    Daemon::with(quick(), |daemon| {
        let relay = daemon.relay();
        let mut up = Fifo::make(daemon.path(), "up");
        let script =
            "trap 'echo two; exit 5' TERM; echo one; echo up >\"$0\"; while :; do sleep 0.05; done";
        let words = ["-o", "json", "exec", "--", "/bin/sh", "-c", script, up.path()];
        let aer = daemon.start_aer_over(&relay, &words);
        assert_eq!(up.line(), "up");
        relay.cut();
        let output = aer.finish();
        assert!(
            output.out().contains(r#""stdout":"one\ntwo\n""#),
            "{}{}",
            output.out(),
            output.err()
        );
        assert_eq!(output.code(), Some(5));
    });
}

/// However often the connection is cut, each byte is printed once.
fn exec_is_cut_again_and_again() {
    Daemon::with(quick(), |daemon| {
        let relay = daemon.relay();
        let mut go = Fifo::make(daemon.path(), "go");
        // Deaf to the end of the call, and done long before it would be killed.
        let script = "trap '' TERM; seq 1 1500000; read -r _ <\"$0\"; seq 1 500000 >&2; exit 3";
        let aer =
            daemon.start_aer_over(&relay, &["exec", "--", "/bin/sh", "-c", script, go.path()]);
        let mut cuts = 0;
        for round in 1..=12_u64 {
            eventually("some of it has passed", || {
                relay.passed() > round * 700_000 || relay.passed() == 0 && round > 1
            });
            relay.cut();
            cuts += 1;
        }
        go.release();
        let output = aer.finish();
        let lines = |last: u32| (1..=last).map(|n| format!("{n}\n")).collect::<String>();
        assert!(output.out() == lines(1_500_000), "standard output is not what was printed");
        assert!(output.err() == lines(500_000), "standard error is not what was printed");
        assert_eq!((output.code(), cuts), (Some(3), 12));
    });
}

/// `aer exec` whose daemon dies gets the rest of its run, which is adopted, and its exit status; all of it comes once.
fn exec_goes_on_over_a_killed_daemon() {
    Daemon::with(quick(), |daemon| {
        let mut go = Fifo::make(daemon.path(), "go");
        let script = "echo one; read -r _ <\"$0\"; echo two; exit 5";
        let run_id = rpc::fresh_id();
        let words = ["exec", "--run-id", &run_id, "--", "/bin/sh", "-c", script, go.path()];
        let aer = daemon.start_aer(&words);
        aer.wait_for_output("one\n");
        daemon.replace();
        go.release();
        let output = aer.finish();
        assert_eq!((output.out().as_str(), output.err().as_str()), ("one\ntwo\n", ""));
        assert_eq!(output.code(), Some(5));
    });
}

/// A call that reached no daemon is made again: its run id sees to it that nothing is executed twice.
fn an_exec_that_no_daemon_has_heard_of_is_executed() {
    Daemon::with(quick(), |daemon| {
        let count = daemon.work("count");
        for json in [false, true] {
            // The first connection gets as far as a place that answers nothing.
            let path = daemon.path().join(format!("deaf-{json}"));
            let deaf = std::os::unix::net::UnixListener::bind(&path).unwrap();
            let mut command = daemon.command("aer");
            command.arg("--socket").arg(&path).args(if json { &["-o", "json"][..] } else { &[] });
            command.args([
                "exec",
                "--",
                &daemon.binary("probe"),
                "append",
                &count,
                "x",
                "line",
                "done",
            ]);
            let aer = Process::start(command, || {});
            let (first, _) = deaf.accept().unwrap();
            let mut begun = [0; 24];
            std::io::Read::read_exact(&mut &first, &mut begun).unwrap();
            std::fs::remove_file(&path).unwrap();
            drop(deaf);
            let relay = Relay::make(path, &daemon.socket());
            drop(first);
            let output = aer.finish();
            assert_eq!(output.code(), Some(0), "{}{}", output.out(), output.err());
            assert!(output.out().contains("done"));
            drop(relay);
        }
        assert_eq!(std::fs::read_to_string(&count).unwrap(), "x\nx\n");
    });
}

/// What frames a reclaimed run has: its output, its exit, and the cursors.
fn frames(
    daemon: &Daemon,
    executable: Executable,
) -> Result<(Vec<u8>, ExitRecord, Vec<String>), Status> {
    let mut client = daemon.runtime_client();
    daemon.block(async {
        let mut stream = client.run(executable).await?.into_inner();
        let (mut output, mut exit, mut cursors) = (Vec::new(), None, Vec::new());
        while let Some(frame) = stream.message().await? {
            if !frame.cursor.is_empty() {
                cursors.push(frame.cursor);
            }
            match frame.frame.unwrap() {
                Frame::Stdout(bytes) | Frame::Stderr(bytes) => output.extend_from_slice(&bytes),
                Frame::Exit(record) => exit = Some(record),
                Frame::Started(_) | Frame::Gap(_) => {}
            }
        }
        Ok((output, exit.unwrap(), cursors))
    })
}

/// A run that no daemon remembers is read from its log, from any cursor on, with its exit; in one answer, too.
fn a_run_that_only_its_log_remembers_is_reclaimed() {
    Daemon::with(quick(), |daemon| {
        let words =
            ["line", "one", "nap", "20", "err", "two\n", "nap", "20", "line", "three", "exit", "9"];
        let run_id = rpc::fresh_id();
        let executable = rpc::identified(&run_id, daemon.probe(&words));
        let (all, _, cursors) = frames(daemon, executable).unwrap();
        assert_eq!(all, b"one\ntwo\nthree\n");
        for known in [true, false] {
            let (again, exit, _) = frames(daemon, reclaiming(&run_id, "")).unwrap();
            assert_eq!((again, rpc::code(&exit)), (all.clone(), Some(9)), "{known}");
            let (rest, exit, _) = frames(daemon, reclaiming(&run_id, &cursors[0])).unwrap();
            assert_eq!((&*rest, rpc::code(&exit)), (&b"two\nthree\n"[..], Some(9)), "{known}");
            let answer = daemon.answer(reclaiming(&run_id, ""));
            assert_eq!((&*answer.stdout, &*answer.stderr), ("one\nthree\n", "two\n"), "{known}");
            assert_eq!((&*answer.exit_code, answer.stdout_omitted), ("9", 0), "{known}");
            let wrong = frames(daemon, reclaiming(&run_id, "units/other@0")).unwrap_err();
            assert_eq!(wrong.code(), Code::InvalidArgument, "{wrong}");
            daemon.replace();
        }
        assert_eq!(logs(daemon, Source::RunId(run_id)), b"one\nthree\n");
    });
}

/// A request that reclaims executes nothing, whatever else it says.
fn what_is_reclaimed_is_never_executed() {
    Daemon::with(quick(), |daemon| {
        let mark = daemon.work("mark");
        let words = daemon.probe(&["append", &mark, "x"]);
        let executable = Executable { resume: Some(String::new()), ..words };
        for run_id in [rpc::fresh_id(), String::new(), "x".to_owned()] {
            let executable = rpc::identified(&run_id, executable.clone());
            let wanted = if run_id.len() > 1 { Code::NotFound } else { Code::InvalidArgument };
            assert_eq!(frames(daemon, executable.clone()).unwrap_err().code(), wanted);
            assert_eq!(daemon.exec(executable).unwrap_err().code(), wanted);
        }
        let named = rpc::named("web", executable);
        assert_eq!(daemon.try_up(named).unwrap_err().code(), Code::InvalidArgument);
        assert!(!std::path::Path::new(&mark).exists());
    });
}

/// Whoever asks three times does not wait for a daemon that does not come.
fn signals_end_an_exec_that_finds_no_daemon() {
    Daemon::with(quick(), |daemon| {
        let relay = daemon.relay();
        let words =
            ["--reconnect", "1000s", "exec", "--", "/bin/sh", "-c", "echo one; exec sleep 1000"];
        let aer = daemon.start_aer_over(&relay, &words);
        aer.wait_for_output("one\n");
        drop(relay);
        eventually("it ends", || {
            aer.signal(Signal::SIGINT);
            aer.end_within(std::time::Duration::from_millis(20)).is_some()
        });
        let output = aer.finish();
        assert_eq!((output.code(), output.out()), (Some(130), "one\n".to_owned()));
    });
}
