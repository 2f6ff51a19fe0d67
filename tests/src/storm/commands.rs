//! Commands that are executed through the storm, by clients who reconnect: each has its answer, and ran once.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use api::runtime::{Executable, ExitRecord};
use client::{Client, ClientError, Frame};

use super::{Counts, Random, Task, client_at};
use crate::{
    Daemon,
    rpc::{code, fresh_id, identified},
};

/// How many clients.
const CLIENTS: u64 = 6;

/// What came of a command.
struct Called {
    run: String,
    /// What is wrong with its answer, if anything is.
    wrong: Option<String>,
    /// Whether there was none.
    lost: bool,
}

/// The clients.
pub(super) struct Callers {
    marks: String,
    over: Arc<AtomicBool>,
    begun: Vec<Task<Vec<Called>>>,
}

/// A command, and what is to come of it.
struct Wanted {
    run: String,
    executable: Executable,
    stdout: Vec<u8>,
    status: i32,
}

impl Callers {
    /// Begins.
    pub(super) fn begin(daemon: &Daemon, random: &mut Random) -> Self {
        let (marks, over) = (daemon.work("executed"), Arc::<AtomicBool>::default());
        let probe = daemon.probe(&[]).argv.swap_remove(0);
        let begin = |_| {
            let (over, mut random) = (Arc::clone(&over), random.branch());
            let (socket, place) = (daemon.socket(), [probe.clone(), marks.clone()]);
            Task::begin(async move || {
                let client = client_at(socket).await;
                let mut all = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let whole = random.below(2) == 0;
                    all.push(call(&client, &Wanted::draw(&place, &mut random), whole).await);
                }
                all
            })
        };
        let begun = (0..CLIENTS).map(begin).collect();
        Self { marks, over, begun }
    }

    /// Lets each finish the one it is at, and counts.
    pub(super) fn end(self, counts: &mut Counts) {
        self.over.store(true, Ordering::Relaxed);
        let called: Vec<Called> = self.begun.into_iter().flat_map(Task::end).collect();
        let text = fs::read_to_string(&self.marks).unwrap_or_default();
        let mut executed: BTreeMap<&str, usize> = BTreeMap::new();
        text.lines().for_each(|run| *executed.entry(run).or_default() += 1);
        for Called { run, wrong, lost } in called {
            counts.commands += 1;
            let times = executed.remove(&*run).unwrap_or(0);
            if times != 1 {
                counts.twice += times.saturating_sub(1);
                counts.lost += usize::from(times == 0 && !lost);
                counts.complain(format!("the command {run} was executed {times} times"));
            }
            counts.answers_lost += usize::from(lost);
            counts.exits += usize::from(wrong.is_none());
            counts.exits_wrong += usize::from(wrong.is_some() && !lost);
            wrong
                .into_iter()
                .for_each(|wrong| counts.complain(format!("the command {run}: {wrong}")));
        }
        for run in executed.into_keys() {
            counts.complain(format!("nobody asked for {run}, which was executed"));
        }
    }
}

impl Wanted {
    fn draw([probe, marks]: &[String; 2], random: &mut Random) -> Self {
        let run = fresh_id();
        let status = i32::try_from(random.below(256)).expect("small");
        let bytes = random.below(40_000);
        let (nap, last) = (random.below(80).to_string(), format!("the end of {run}"));
        let (count, exit) = (bytes.to_string(), status.to_string());
        let words = [
            probe, "append", marks, &run, "bytes", &count, "err", &run, "nap", &nap, "line", &last,
            "exit", &exit,
        ];
        let executable = identified(&run, crate::argv(&words));
        let mut stdout = vec![b'x'; usize::try_from(bytes).expect("small")];
        stdout.extend_from_slice(format!("{last}\n").as_bytes());
        Self { run, executable, stdout, status }
    }

    /// What is wrong with what came.
    fn wrong(&self, stdout: &[u8], stderr: &[u8], exit: Option<&ExitRecord>) -> Option<String> {
        if stdout != self.stdout {
            let (wanted, found) = (self.stdout.len(), stdout.len());
            return Some(format!(
                "{found} bytes of standard output came, {wanted} were printed, or they differ"
            ));
        }
        if stderr != self.run.as_bytes() {
            return Some(format!("standard error: {:?}", String::from_utf8_lossy(stderr)));
        }
        let status = exit.and_then(code);
        (status != Some(self.status))
            .then(|| format!("it ended with {}, and is told as {exit:?}", self.status))
    }
}

/// Executes it, with the answer at the end or as it comes.
async fn call(client: &Client, wanted: &Wanted, whole: bool) -> Called {
    let answer =
        if whole { at_once(client, wanted).await } else { as_it_comes(client, wanted).await };
    let run = wanted.run.clone();
    match answer {
        Ok(wrong) => Called { run, wrong, lost: false },
        Err(why) => Called { run, wrong: Some(chain(&why)), lost: true },
    }
}

fn chain(why: &ClientError) -> String {
    let cause = std::error::Error::source(why).map(|cause| format!(": {cause}"));
    format!("{why}{}", cause.unwrap_or_default())
}

async fn at_once(client: &Client, wanted: &Wanted) -> Result<Option<String>, ClientError> {
    let answer = client.exec(wanted.executable.clone()).await?;
    Ok(wanted.wrong(answer.stdout.as_bytes(), answer.stderr.as_bytes(), answer.exit.as_ref()))
}

async fn as_it_comes(client: &Client, wanted: &Wanted) -> Result<Option<String>, ClientError> {
    let mut stream = client.run(wanted.executable.clone()).await?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        match stream.next().await? {
            Frame::Started(_) => {}
            Frame::Stdout(bytes) => stdout.extend_from_slice(&bytes),
            Frame::Stderr(bytes) => stderr.extend_from_slice(&bytes),
            Frame::Gap(gap) => return Ok(Some(format!("a gap: {gap:?}"))),
            Frame::Exit(exit) => return Ok(wanted.wrong(&stdout, &stderr, Some(&exit))),
        }
    }
}
