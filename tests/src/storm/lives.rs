//! Services that end again and again, and tell a file of their own of each life: what the daemon tells of them is held
//! against that.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use api::runtime::{
    Executable, ExitRecord, RestartPolicy, RestartWhen, UnitChange, WatchRequest,
    exit_record::Cause,
};
use client::{Client, LogSource, LogsQuery, WatchEvent};
use nix::sys::signal::Signal;
use uuid::Uuid;

use super::{Counts, Random, Task, client_at};
use crate::{
    Daemon,
    rpc::named,
    units::{again, name_in},
};

/// How many services.
const SERVICES: u64 = 6;

/// Of how many lives of a service the log is read: the watch has told of all, and to find one among thousands takes long.
const LOGS: usize = 500;

/// How a life ends, which is in its run's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// How long it lasts.
    pub after: Duration,
    /// The exit status.
    pub code: i32,
    /// The signal, where it is one.
    pub signal: Option<Signal>,
}

impl Ending {
    /// That of a run.
    ///
    /// # Panics
    /// Where that is no run's id.
    #[must_use]
    pub fn of(run: &str) -> Self {
        let [code, how, after, ..] = Uuid::parse_str(run).expect("a run's id").into_bytes();
        let signal = match how % 8 {
            0 => Some(Signal::SIGKILL),
            1 => Some(Signal::SIGTERM),
            _ => None,
        };
        Self { after: Duration::from_millis(u64::from(after % 48)), code: code.into(), signal }
    }

    fn is(&self, record: &ExitRecord) -> bool {
        match (self.signal, &record.cause) {
            (None, Some(Cause::Code(code))) => *code == self.code,
            (Some(wanted), Some(Cause::Signal(signal))) => *signal == wanted as i32,
            _ => false,
        }
    }
}

/// One life, as the program itself told.
#[derive(Debug)]
struct Life {
    run: String,
    pid: i32,
    ended: bool,
}

/// The services.
#[derive(Debug)]
pub(super) struct Services {
    names: Vec<String>,
    watcher: Task<Watched>,
}

/// A unit whose first change is the last that is watched.
const LAST: &str = "the-last";

/// The changes that one watcher saw who outlives all daemons, and what it was not told.
#[derive(Debug, Default)]
struct Watched {
    changes: Vec<UnitChange>,
    trouble: Vec<String>,
}

fn folder(daemon: &Daemon, name: &str) -> PathBuf {
    daemon.work(name).into()
}

impl Services {
    /// Starts all of them, and a watcher before.
    pub(super) fn begin(daemon: &Daemon, random: &mut Random) -> Self {
        let socket = daemon.socket();
        let watcher = Task::begin(move || watch(socket));
        let names: Vec<String> = (0..SERVICES).map(|number| format!("flap-{number}")).collect();
        for name in &names {
            let folder = folder(daemon, name);
            fs::create_dir(&folder).expect("the work folder is ours");
            let words = ["live", folder.to_str().expect("UTF-8")];
            let delay_ms = Some(random.below(6) * 10);
            let restart = Some(RestartPolicy { delay_ms, ..again(RestartWhen::Always) });
            // It may have ended before that is answered.
            drop(daemon.try_up(Executable { restart, ..named(name, daemon.probe(&words)) }));
        }
        Self { names, watcher }
    }

    /// Stops all of them, and compares.
    pub(super) fn end(self, daemon: &Daemon, counts: &mut Counts) {
        self.names.iter().for_each(|name| drop(daemon.down(name)));
        drop(daemon.try_up(named(LAST, daemon.probe(&[]))));
        let Watched { changes, trouble } = self.watcher.end();
        trouble.into_iter().for_each(|what| counts.complain(format!("the watch: {what}")));
        let mut told: HashMap<String, Vec<ExitRecord>> = HashMap::new();
        for change in changes {
            counts.changes += 1;
            if let Some(exit) = change.exit {
                let name = name_in(change.meta.as_ref()).to_owned();
                told.entry(name).or_default().push(exit);
            }
        }
        for name in &self.names {
            let told = told.remove(name).unwrap_or_default();
            let (socket, runs) = (daemon.socket(), lives(&folder(daemon, name)));
            let asked = name.clone();
            let answers = Task::begin(move || Answers::ask(socket, asked, runs)).end();
            judge(name, answers, told, counts);
        }
    }
}

/// Takes every change from the first on.
async fn watch(socket: PathBuf) -> Watched {
    let mut watched = Watched::default();
    let request = WatchRequest { after: Some(0), ..WatchRequest::default() };
    let mut stream = client_at(socket).await.watch(request).await.expect("it begins");
    let mut begun = false;
    loop {
        let trouble = match stream.next().await {
            Ok(Some(WatchEvent::Change(change))) if name_in(change.meta.as_ref()) == LAST => break,
            Ok(Some(WatchEvent::Change(change))) => {
                watched.changes.push(change);
                continue;
            }
            Ok(Some(WatchEvent::Begin(_))) if !std::mem::replace(&mut begun, true) => continue,
            Ok(Some(WatchEvent::Begin(begin))) => format!("it begins again: {begin:?}"),
            Ok(Some(WatchEvent::Gap(gap))) => gap.message,
            Ok(None) => break watched.trouble.push("it ended".to_owned()),
            Err(why) => break watched.trouble.push(why.to_string()),
        };
        watched.trouble.push(trouble);
    }
    watched
}

/// The lives of a service, in the order in which they began, and how often two were at once.
fn lives(folder: &Path) -> (Vec<Life>, usize) {
    let text = fs::read_to_string(folder.join("lives")).unwrap_or_default();
    let mut lives: Vec<Life> = Vec::new();
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["begin", run, pid] => {
                let pid = pid.parse().expect("a pid");
                lives.push(Life { run: run.to_owned(), pid, ended: false });
            }
            ["end", run] => {
                let life = lives.iter_mut().rev().find(|life| life.run == run);
                life.expect("who ends has begun").ended = true;
            }
            _ => panic!("no line of a life: {line:?}"),
        }
    }
    let twice = fs::read_to_string(folder.join("twice")).unwrap_or_default();
    (lives, twice.lines().count())
}

/// What a daemon answers, when all is over, about a service with these lives.
struct Answers {
    lives: Vec<Life>,
    twice: usize,
    /// The ends that the logs have of some of them, by their runs.
    logged: HashMap<String, Option<ExitRecord>>,
    restarts: u32,
    /// Everything that they printed.
    printed: String,
}

impl Answers {
    async fn ask(socket: PathBuf, name: String, (lives, twice): (Vec<Life>, usize)) -> Self {
        let client = client_at(socket).await;
        let mut logged = HashMap::new();
        for life in lives.iter().rev().step_by(lives.len().div_ceil(LOGS).max(1)) {
            logged.insert(life.run.clone(), exit_in_log(&client, &life.run).await);
        }
        let unit = client.inspect(&name).await.expect("it is known").unit;
        let printed = printed(&client, &name).await;
        Self { lives, twice, logged, restarts: unit.expect("it is told").restarts, printed }
    }
}

/// Holds what a watcher, the logs and the unit tell of a service against its lives.
fn judge(name: &str, answers: Answers, told: Vec<ExitRecord>, counts: &mut Counts) {
    let Answers { lives, twice, logged, restarts, printed } = answers;
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    lives.iter().for_each(|life| *times.entry(&life.run).or_default() += 1);
    for (run, times) in times.iter().filter(|(_, times)| **times > 1) {
        counts.complain(format!("{name}: run {run} began {times} times"));
    }
    if twice > 0 {
        counts.complain(format!("{name}: {twice} times two lived at once"));
    }
    counts.twice += lives.len() - times.len() + twice;
    counts.lives += lives.len();
    let mut by_run: HashMap<&str, Vec<&ExitRecord>> = HashMap::new();
    told.iter().for_each(|record| by_run.entry(&record.run_id).or_default().push(record));
    for (number, life) in (1..).zip(&lives) {
        let last = number == lives.len();
        if !life.ended && !last {
            counts.lost += 1;
            counts.complain(format!(
                "{name}: {life:?}, number {number} of {}, never ended",
                lives.len()
            ));
        }
        let watched = by_run.remove(life.run.as_str()).unwrap_or_default();
        counts.judge(name, (life, last), &watched, "the watch");
        if let Some(logged) = logged.get(&life.run) {
            let logged: Vec<_> = logged.iter().collect();
            counts.judge(name, (life, last), &logged, "the log");
        }
    }
    // The last one may have been stopped before it came to say that it lives.
    let mut mute = 0;
    for record in by_run.into_values().flatten() {
        match &record.cause {
            Some(Cause::Signal(9 | 15)) if record.restarts == restarts => mute += 1,
            other => {
                counts.exits_wrong += 1;
                counts.complain(format!(
                    "{name}: run {} never lived, and is told as {other:?}",
                    record.run_id
                ));
            }
        }
    }
    if usize::try_from(restarts).expect("it fits") + 1 != lives.len() + mute {
        counts.complain(format!(
            "{name}: {restarts} restarts are told, and {} lives were lived",
            lives.len()
        ));
    }
    judge_words(name, &lives, &printed, counts);
}

/// Each life prints its run.
fn judge_words(name: &str, lives: &[Life], printed: &str, counts: &mut Counts) {
    let mut wanted: Vec<&str> = lives.iter().map(|life| life.run.as_str()).collect();
    // One that was stopped at once may not have come to print.
    if printed.lines().count() < wanted.len() && lives.last().is_some_and(|life| !life.ended) {
        wanted.pop();
    }
    if printed.lines().ne(wanted.iter().copied()) {
        let (lives, lines) = (wanted.len(), printed.lines().count());
        counts.words_wrong += 1;
        counts
            .complain(format!("{name}: {lives} lives printed {lines} lines, or in another order"));
    }
}

impl Counts {
    /// What is told of a life, by somebody: once, and rightly.
    fn judge(&mut self, name: &str, (life, last): (&Life, bool), told: &[&ExitRecord], by: &str) {
        let ending = Ending::of(&life.run);
        // The last one may have been stopped before it came to its end.
        let stopped =
            |record: &ExitRecord| last && matches!(record.cause, Some(Cause::Signal(9 | 15)));
        match told {
            [record] if record.pid == life.pid && (ending.is(record) || stopped(record)) => {
                self.exits += 1;
            }
            [] => {
                self.exits_lost += 1;
                self.complain(format!("{name}: {by} has no end of {life:?}"));
            }
            records => {
                self.exits_wrong += 1;
                self.complain(format!(
                    "{name}: {life:?} is to end by {ending:?}, and {by} tells {records:?}"
                ));
            }
        }
    }
}

async fn exit_in_log(client: &Client, run: &str) -> Option<ExitRecord> {
    let source = LogSource::Run(Uuid::parse_str(run).ok()?);
    let query = LogsQuery { follow: true, ..LogsQuery::all(source) };
    let mut stream = client.logs(query).await.ok()?;
    let mut exit = None;
    while let Ok(Some(batch)) = stream.next().await {
        exit = batch.exit.or(exit);
    }
    exit
}

async fn printed(client: &Client, name: &str) -> String {
    let Ok(mut stream) = client.logs(LogsQuery::all(LogSource::Name(name.to_owned()))).await else {
        return String::new();
    };
    let mut bytes = Vec::new();
    while let Ok(Some(batch)) = stream.next().await {
        batch.chunks.iter().for_each(|chunk| bytes.extend_from_slice(&chunk.data));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
