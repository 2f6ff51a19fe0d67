//! Programs never wait for us: what they print while there is no daemon.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Mutex,
};

use nix::{
    sys::{
        signal::{Signal, kill},
        statvfs::statvfs,
    },
    unistd::Pid,
};
use tests::{
    Daemon, Fifo, House, Need, Options, Tracking, argv, binaries, eventually, mount::Mount, procfs,
    rpc,
};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases![[];
        a_program_goes_on_without_a_daemon,
        a_program_goes_on_without_a_daemon_best_effort,
        what_was_kept_is_taken_once_however_often_daemons_are_killed,
        a_program_that_is_silent_or_ends_is_taken_too,
    ];
    cases.extend(
        cases![[Need::Mounts]; a_small_runtime_folder_leaves_programs_waiting_and_loses_nothing],
    );
    cases
}

/// What `seq 1 N` prints in the tests of much output: 62 MB.
const LAST: u64 = 8_000_000;

/// A keeper whose next daemons can be held up before their first word: a program of our own stands before the core.
struct Gated {
    daemon: Daemon,
    gate: PathBuf,
    closed: Mutex<Option<Fifo>>,
}

impl Gated {
    fn start(house: House) -> Self {
        let folder = house.path().join("gated");
        fs::create_dir(&folder).unwrap();
        let gate = folder.join("gate");
        binaries::copy(Path::new(&house.binary("auraed")), &folder.join("auraed"));
        binaries::put("gate", &folder, "auraed-core");
        fs::write(folder.join("core"), house.binary("auraed-core")).unwrap();
        let mut command = house.command(folder.join("auraed").to_str().unwrap());
        let usual = house.auraed();
        // Its own arguments, without the words that lead to the program.
        let own = usual.get_args().skip_while(|word| *word != "--config");
        command.args(own).env("NOTIFY_SOCKET", house.path().join("notify"));
        Self { daemon: Daemon::start_as(house, command), gate, closed: Mutex::default() }
    }

    /// Kills the daemon; the next one does not get to its first word.
    fn without_daemon(&self) {
        let folder = self.gate.parent().unwrap();
        *self.closed.lock().unwrap() = Some(Fifo::make(folder, "gate"));
        let before = self.daemon.status().daemon_pid;
        kill(Pid::from_raw(before), Signal::SIGKILL).unwrap();
        eventually("it is gone", || procfs::gone(before));
    }

    /// Lets the next daemon begin.
    fn open(&self) {
        fs::remove_file(&self.gate).unwrap();
        self.closed.lock().unwrap().as_mut().unwrap().release();
    }

    fn serves_again(&self) {
        eventually("the next daemon serves", || self.daemon.status_if_there().is_some());
    }

    fn overflow(&self) -> PathBuf {
        self.daemon.runtime_dir().join("overflow")
    }

    /// The files that the keeper has made, and their sizes.
    fn files(&self) -> Vec<(PathBuf, fs::Metadata)> {
        let entries = fs::read_dir(self.overflow()).unwrap().map(Result::unwrap);
        entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?))).collect()
    }

    /// How much of the commands' log there is.
    fn logged(&self) -> u64 {
        let entries = fs::read_dir(self.daemon.state_dir().join("logs/commands"));
        let data = |path: &Path| path.extension().is_some_and(|kind| kind == "log");
        let entries = entries.into_iter().flatten().map(Result::unwrap);
        entries.filter(|e| data(&e.path())).map(|e| e.metadata().unwrap().len()).sum()
    }

    /// Kills whatever daemon there is.
    fn kill_daemon(&self) {
        for pid in procfs::descendants(self.daemon.keeper()) {
            if procfs::parent(pid) == Some(self.daemon.keeper())
                && procfs::command(pid) == "auraed-core"
            {
                kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
            }
        }
    }

    /// Ends a run that may have ended already.
    fn end(&self, run_id: &str) {
        let what = api::runtime::StopRequest {
            run_id: run_id.to_owned(),
            kill: true,
            ..api::runtime::StopRequest::default()
        };
        self.daemon.order_stop(tonic::Request::new(what)).ok();
    }
}

/// Prints the numbers to [`LAST`] as soon as it is released.
fn sequence(release: &Fifo) -> api::runtime::Executable {
    argv(&[
        "/bin/sh",
        "-c",
        "read -r _ <\"$0\"; exec seq 1 \"$1\"",
        release.path(),
        &LAST.to_string(),
    ])
}

/// Lines 1, 2, 3 … each whole and once: how many.
pub(crate) fn check(output: &[u8]) -> u64 {
    let mut count = 0;
    for line in output.split_inclusive(|&byte| byte == b'\n') {
        count += 1;
        let wanted = format!("{count:010}\n");
        assert!(line == wanted.as_bytes(), "{count}: {:?}", String::from_utf8_lossy(line));
    }
    count
}

fn sequence_text() -> Vec<u8> {
    (1..=LAST).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}

fn goes_on(options: Options) {
    let gated = Gated::start(House::prepare(options));
    let count_file = gated.daemon.work("count");
    let counted = || -> u64 {
        fs::read_to_string(&count_file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    };
    let mut run = gated.daemon.run(gated.daemon.probe(&["numbered", &count_file, "0"]));
    run.read_until(&format!("{:010}\n", 7));
    let run_id = run.started.run_id.clone();
    gated.without_daemon();
    let at_death = counted();
    // Several times what the largest pipe holds.
    eventually("the program goes on", || counted() > at_death + 300_000);
    let files = gated.files();
    let [(path, file)] = &*files else { panic!("one file: {files:?}") };
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with(&format!("{}.stdout.", run_id.replace('-', ""))), "{name}");
    assert_eq!(file.mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(gated.overflow()).unwrap().mode() & 0o7777, 0o700);
    gated.open();
    gated.serves_again();
    gated.end(&run_id);
    let logged = gated.daemon.logs_of(&run_id);
    assert!(logged.exit.is_some());
    assert_eq!(logged.gaps, 0);
    let found = check(&logged.stdout);
    let counted = counted();
    assert!(found == counted || found == counted + 1, "{counted} were written, {found} are there");
    assert!(gated.files().is_empty(), "what was taken is removed");
    gated.daemon.stop();
}

/// A program that prints at full speed is not held up by the lack of a daemon, and every line is there once afterwards.
fn a_program_goes_on_without_a_daemon() {
    goes_on(Options::default());
}

/// The same without cgroups.
fn a_program_goes_on_without_a_daemon_best_effort() {
    goes_on(Options::default().tracking(Tracking::BestEffort));
}

/// Daemons that are killed while they take what was kept, each after some more of it, lose and repeat nothing; and the
/// exit of a program that ended meanwhile is exact.
fn what_was_kept_is_taken_once_however_often_daemons_are_killed() {
    let options = Options::default().restart_delay("20ms");
    let gated = Gated::start(House::prepare(options));
    let mut release = Fifo::make(gated.daemon.path(), "release");
    let run = gated.daemon.run(sequence(&release));
    let (run_id, pid) = (run.started.run_id.clone(), run.started.pid);
    gated.without_daemon();
    release.release();
    eventually("it has printed all, and ended", || procfs::gone(pid));
    assert!(!gated.files().is_empty());
    gated.open();
    let mut killed = 0;
    for round in 1..=10_u64 {
        let target = round * 4_000_000;
        eventually("some of it is taken", || gated.logged() >= target);
        gated.kill_daemon();
        killed += u64::from(!gated.files().is_empty());
    }
    assert!(killed >= 3, "it was killed in the middle of it {killed} times");
    gated.serves_again();
    let logged = gated.daemon.logs_of(&run_id);
    assert!(logged.stdout == sequence_text(), "every line is there, in order and once");
    assert_eq!((logged.gaps, logged.stderr.len()), (0, 0));
    let exit = logged.exit.unwrap();
    assert_eq!((rpc::code(&exit), exit.stdout_total), (Some(0), logged.stdout.len() as u64));
    assert!(gated.files().is_empty(), "what was taken is removed");
    gated.daemon.stop();
}

/// What was kept of a program that then fell silent, and what is left in pipes that never were full, is taken without
/// another byte of theirs.
fn a_program_that_is_silent_or_ends_is_taken_too() {
    let gated = Gated::start(House::prepare(Options::default()));
    let mut release = Fifo::make(gated.daemon.path(), "release");
    let said = gated.daemon.work("said");
    let script =
        "read -r _ <\"$0\"; seq 1 600000; echo to stderr >&2; : >\"$1\"; read -r _ <\"$0\"";
    let run = gated.daemon.run(argv(&["/bin/sh", "-c", script, release.path(), &said]));
    let run_id = run.started.run_id.clone();
    gated.without_daemon();
    release.release();
    let expected: Vec<u8> = (1..=600_000).flat_map(|n| format!("{n}\n").into_bytes()).collect();
    eventually("it has printed all", || Path::new(&said).exists());
    assert_eq!(gated.files().len(), 1, "its standard error is not full");
    gated.open();
    gated.serves_again();
    eventually("all of it is in the log", || {
        let request = api::observe::LogsRequest {
            source: Some(api::observe::logs_request::Source::RunId(run_id.clone())),
            ..api::observe::LogsRequest::default()
        };
        let logged = gated.daemon.logs(request).unwrap();
        logged.stdout == expected && logged.stderr == b"to stderr\n"
    });
    gated.end(&run_id);
    drop(release);
    gated.daemon.stop();
}

/// Where the runtime folder is used up but for a reserve, the keeper says so once, programs wait, and nothing is lost.
fn a_small_runtime_folder_leaves_programs_waiting_and_loses_nothing() {
    let house = House::prepare(Options::default());
    fs::create_dir(house.runtime_dir()).unwrap();
    house.keep(Mount::memory(&house.runtime_dir(), "8m").unwrap());
    let gated = Gated::start(house);
    let mut release = Fifo::make(gated.daemon.path(), "release");
    let run = gated.daemon.run(sequence(&release));
    let (run_id, pid) = (run.started.run_id.clone(), run.started.pid);
    gated.without_daemon();
    release.release();
    const SAID: &str = "cannot keep what programs print";
    eventually("the keeper says that there is no room", || gated.daemon.log().contains(SAID));
    let disk = statvfs(&gated.daemon.runtime_dir()).unwrap();
    let free = disk.blocks_available() * disk.fragment_size();
    assert!(((2 << 20) - (64 << 10)..3 << 20).contains(&free), "a quarter is left: {free}");
    assert!(procfs::alive(pid), "it waits");
    gated.open();
    gated.serves_again();
    let log = gated.daemon.log();
    assert_eq!(log.matches(SAID).count(), 1, "it is said once:\n{log}");
    gated.end(&run_id);
    let logged = gated.daemon.logs_of(&run_id);
    assert!(logged.stdout.len() > 5 << 20, "only {} bytes", logged.stdout.len());
    assert!(sequence_text().starts_with(&logged.stdout), "every line, in order and once");
    assert_eq!(logged.gaps, 0);
    gated.daemon.stop();
}
