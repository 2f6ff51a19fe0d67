//! Clients who enable, disable and destroy: what is known to be registered, whatever dies meanwhile.
//!
//! Each client has names of its own and makes one change of them after the other, so that for each name it is known
//! what was acknowledged last and which one change was under way at a death. After it a name must be as the one or as
//! the other says.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use api::{
    meta::Status as State,
    schedule::{
        ShowRequest, schedule_client::ScheduleClient,
        schedule_executable_client::ScheduleExecutableClient,
    },
};
use tonic::{Code, Status, transport::Channel};

use super::{Counts, Random, Task};
use crate::{
    Daemon, argv,
    rpc::named,
    schedule::{commented, only_name},
    units::meta,
};

/// Few for each client, so that each is enabled, disabled and destroyed often.
const NAMES: u64 = 6;
/// How many clients there are where others have work for the daemon, too.
const AMONG_OTHERS: u64 = 2;
/// Between two changes of one client then: they are to be many, and not all that the machine does.
const PAUSE: Duration = Duration::from_millis(5);

/// What is known of a name: not registered, or whether it is enabled, and its comment.
type Known = Option<(bool, String)>;

/// One client, and what it knows of its names.
#[derive(Debug)]
pub(super) struct Changer {
    number: u64,
    random: Random,
    acknowledged: BTreeMap<String, Known>,
    /// The change that has no answer.
    under_way: Option<(String, Known)>,
    count: Arc<AtomicU64>,
    /// How many changes had no answer, and how many of them were made.
    pub(super) had_no_answer: u64,
    pub(super) of_these_made: u64,
    complaints: Vec<String>,
}

/// The clients of a storm over everything.
#[derive(Debug)]
pub(super) struct Changers {
    over: Arc<AtomicBool>,
    begun: Vec<Task<Changer>>,
}

impl Changers {
    /// Begins.
    pub(super) fn begin(daemon: &Daemon, random: &mut Random) -> Self {
        let over = Arc::<AtomicBool>::default();
        let begin = |number| {
            let changer = Changer::new(number, random.branch());
            let (channel, over) = (daemon.connect(), Arc::clone(&over));
            Task::begin(|| changer.change_until_over(channel, over))
        };
        let begun = (0..AMONG_OTHERS).map(begin).collect();
        Self { over, begun }
    }

    /// Lets each finish the change it is at, and compares.
    pub(super) fn end(self, daemon: &Daemon, counts: &mut Counts) {
        self.over.store(true, Ordering::Relaxed);
        let mut changers: Vec<Changer> = self.begun.into_iter().map(Task::end).collect();
        let mut complaints = compare(daemon, &mut changers);
        for changer in changers {
            counts.writes += changer.count.load(Ordering::Relaxed);
            counts.writes_without_answer += changer.had_no_answer;
            complaints.extend(changer.complaints);
        }
        counts.writes_lost += complaints.len();
        complaints.into_iter().for_each(|complaint| counts.complain(complaint));
    }
}

/// Compares what a daemon has registered with what these clients know, and takes it from there: what does not agree.
pub(super) fn compare(daemon: &Daemon, changers: &mut [Changer]) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut found: BTreeMap<String, Known> = daemon
        .registered()
        .into_iter()
        .map(|(name, enabled, comment)| (name, Some((enabled, comment))))
        .collect();
    for changer in changers {
        let names: Vec<String> = changer.acknowledged.keys().cloned().collect();
        for name in names {
            let now = found.remove(&name).unwrap_or_default();
            complaints.extend(changer.compare(&name, now));
        }
        changer.under_way = None;
    }
    complaints.extend((!found.is_empty()).then(|| format!("nobody has registered {found:?}")));
    let status = daemon.status();
    complaints.extend((!status.healthy).then(|| format!("not healthy: {:?}", status.problems)));
    complaints
}

impl Changer {
    pub(super) fn new(number: u64, random: Random) -> Self {
        Self {
            number,
            random,
            acknowledged: BTreeMap::new(),
            under_way: None,
            count: Arc::default(),
            had_no_answer: 0,
            of_these_made: 0,
            complaints: Vec::new(),
        }
    }

    /// Where its acknowledged changes are counted.
    pub(super) fn counting(mut self, count: &Arc<AtomicU64>) -> Self {
        self.count = Arc::clone(count);
        self
    }

    /// Compares how a name is now with what is known; what is wrong with it.
    fn compare(&mut self, name: &str, now: Known) -> Option<String> {
        let known = self.acknowledged.get_mut(name)?;
        if now == *known {
            return None;
        }
        let expected = self.under_way.as_ref().filter(|(changed, _)| changed == name);
        match expected {
            Some((_, wanted)) if now == *wanted => {
                self.of_these_made += 1;
                *known = now;
                None
            }
            under_way => Some(format!(
                "{name} was acknowledged as {known:?}, {under_way:?} was under way, and it is {now:?}"
            )),
        }
    }

    /// Changes until the connection breaks.
    pub(super) async fn change_until_broken(
        mut self,
        mut client: ScheduleExecutableClient<Channel>,
    ) -> Self {
        while self.change(&mut client).await {}
        self
    }

    /// Changes, with whichever daemon there is; after each that broke it looks what has become of it.
    async fn change_until_over(mut self, channel: Channel, over: Arc<AtomicBool>) -> Self {
        let mut client = ScheduleExecutableClient::new(channel.clone());
        let mut reader = ScheduleClient::new(channel);
        while !over.load(Ordering::Relaxed) {
            tokio::time::sleep(PAUSE).await;
            if !self.change(&mut client).await {
                self.look(&mut reader).await;
            }
        }
        self
    }

    async fn look(&mut self, reader: &mut ScheduleClient<Channel>) {
        let Some((name, _)) = self.under_way.clone() else { return };
        let now = loop {
            match reader.show(ShowRequest { meta: meta(&name) }).await {
                Ok(answer) => {
                    let registration = answer.into_inner().registration.expect("it is shown");
                    let enabled = registration.status() == State::Standby;
                    break registration.executable.map(|executable| (enabled, executable.comment));
                }
                Err(status) if status.code() == Code::NotFound => break None,
                // One that broke; the next connection waits for the next daemon.
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        };
        let wrong = self.compare(&name, now);
        self.complaints.extend(wrong);
        self.under_way = None;
    }

    /// One change; false where its connection broke.
    async fn change(&mut self, client: &mut ScheduleExecutableClient<Channel>) -> bool {
        let name = format!("client-{}-unit-{}", self.number, self.random.below(NAMES));
        let known = self.acknowledged.entry(name.clone()).or_default().clone();
        let comment = self.random.below(u64::MAX).to_string();
        let (wanted, answer) = match self.random.below(5) {
            0..=2 => {
                let wanted = Some((true, comment.clone()));
                self.under_way = Some((name.clone(), wanted.clone()));
                let executable = commented(&comment, named(&name, argv(&["/bin/true"])));
                (wanted, client.enable(executable).await.map(drop))
            }
            3 => {
                let wanted = known.map(|(_, comment)| (false, comment));
                self.under_way = Some((name.clone(), wanted.clone()));
                (wanted, client.disable(only_name(&name)).await.map(drop))
            }
            _ => {
                self.under_way = Some((name.clone(), None));
                (None, client.destroy(only_name(&name)).await.map(drop))
            }
        };
        self.learn(&name, wanted, answer)
    }

    /// Takes an answer in; false where it was a death.
    fn learn(&mut self, name: &str, wanted: Known, answer: Result<(), Status>) -> bool {
        let known = self.acknowledged.get(name).cloned().flatten();
        match answer {
            Ok(()) => drop(self.acknowledged.insert(name.to_owned(), wanted)),
            Err(status) if status.code() == Code::NotFound => {
                if let Some(known) = known {
                    self.complaints.push(format!("{name} is {known:?}, and was called unknown"));
                }
            }
            // A channel that broke, in one of the ways in which tonic tells that.
            Err(status) => {
                let codes = [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal];
                if !codes.contains(&status.code()) {
                    self.complaints.push(format!("{name}: {status}"));
                }
                self.had_no_answer += 1;
                return false;
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.under_way = None;
        true
    }
}
