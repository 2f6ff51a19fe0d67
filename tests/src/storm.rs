//! kill -9 of keeper and daemon at once under a storm of changes: is what was acknowledged there, and nothing else?
//!
//! Each client has names of its own and makes one change of them after the other, so that for each name it is known
//! what was acknowledged last and which one change was under way at the kill. After the restart a name must be as the
//! one or as the other says.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::schedule::schedule_executable_client::ScheduleExecutableClient;
use tonic::{Code, Status, transport::Channel};

use crate::{
    Daemon, argv,
    rpc::named,
    schedule::{commented, only_name},
    wait::{Deadline, PATIENCE},
};

const CLIENTS: u64 = 4;
/// Few for each client, so that each is enabled, disabled and destroyed often.
const NAMES: u64 = 6;

/// What some rounds have shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// How often keeper and daemon were killed.
    pub kills: u32,
    /// How many of the kills came while the daemon was still starting.
    pub while_starting: u32,
    /// Changes that were acknowledged.
    pub acknowledged: u64,
    /// Changes that were under way at a kill.
    pub under_way: u64,
    /// How many of those were there afterwards.
    pub under_way_found: u64,
}

/// What is known of a name: not registered, or whether it is enabled, and its comment.
type Known = Option<(bool, String)>;

/// One client, and what it knows of its names.
struct Client {
    number: u64,
    random: Random,
    acknowledged: BTreeMap<String, Known>,
    /// The change that has no answer.
    under_way: Option<(String, Known)>,
}

/// A small generator, so that a round can be made again (xorshift64, Marsaglia 2003).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // It has one state that it never leaves.
        Self(seed.max(1))
    }

    /// A number below this one.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound.max(1)
    }
}

/// A seed that nobody chose, or that of `AURAE_SEED`. Whoever uses it prints it.
#[must_use]
pub fn seed() -> u64 {
    let wanted = std::env::var("AURAE_SEED").ok().and_then(|text| text.parse().ok());
    wanted.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0)
}

/// Kills keeper and daemon this often, each at a random moment of a storm.
///
/// # Panics
/// Where something acknowledged is lost, or something destroyed is back; the message has the seed.
pub fn rounds(daemon: &mut Daemon, seed: u64, rounds: u32) -> Counts {
    let mut counts = Counts::default();
    let mut random = Random::new(seed);
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| Client {
            number,
            random: Random::new(random.below(u64::MAX)),
            acknowledged: BTreeMap::new(),
            under_way: None,
        })
        .collect();
    for round in 0..rounds {
        clients = storm(daemon, clients, random.below(60), &mut counts);
        counts.kills += 1;
        // Also the opening of the store must be killed, at every moment of it.
        while counts.kills < rounds && random.below(4) == 0 {
            daemon.launch_again();
            pass(Duration::from_micros(random.below(60_000)));
            daemon.crash();
            counts.kills += 1;
            counts.while_starting += 1;
        }
        daemon.start_again();
        check(daemon, &mut clients, &mut counts, &format!("AURAE_SEED={seed}, round {round}"));
        if counts.kills >= rounds {
            break;
        }
    }
    counts
}

/// Lets all clients change until some number of changes is acknowledged, and kills in the middle of the next ones.
fn storm(
    daemon: &mut Daemon,
    clients: Vec<Client>,
    until: u64,
    counts: &mut Counts,
) -> Vec<Client> {
    let acknowledged = Arc::new(AtomicU64::new(0));
    let begun: Vec<_> = clients
        .into_iter()
        .map(|client| {
            let (change, count) = (daemon.change_client(), Arc::clone(&acknowledged));
            daemon.runtime().spawn(client.change_until_killed(change, count))
        })
        .collect();
    let deadline = Deadline::after(PATIENCE);
    while acknowledged.load(Ordering::Relaxed) < until {
        assert!(!deadline.passed(), "the daemon acknowledges nothing");
        std::thread::yield_now();
    }
    daemon.crash();
    let clients = begun.into_iter().map(|client| daemon.block(client).expect("no panic")).collect();
    counts.acknowledged += acknowledged.load(Ordering::Relaxed);
    clients
}

/// Compares what the next daemon has with what is known, and takes it from there.
fn check(daemon: &Daemon, clients: &mut [Client], counts: &mut Counts, place: &str) {
    let mut found: BTreeMap<String, Known> = daemon
        .registered()
        .into_iter()
        .map(|(name, enabled, comment)| (name, Some((enabled, comment))))
        .collect();
    for client in clients {
        let under_way = client.under_way.take();
        counts.under_way += u64::from(under_way.is_some());
        for (name, known) in &mut client.acknowledged {
            let now = found.remove(name).unwrap_or_default();
            if now == *known {
                continue;
            }
            let expected = under_way.as_ref().filter(|(changed, _)| changed == name);
            let Some((_, wanted)) = expected else {
                panic!("{place}: {name} was acknowledged as {known:?}, and is {now:?}");
            };
            assert_eq!(now, *wanted, "{place}: {name} was acknowledged as {known:?}");
            counts.under_way_found += 1;
            *known = now;
        }
    }
    assert!(found.is_empty(), "{place}: nobody has registered {found:?}");
    let status = daemon.status();
    assert!(status.healthy, "{place}: {:?}", status.problems);
}

impl Client {
    async fn change_until_killed(
        mut self,
        mut change: ScheduleExecutableClient<Channel>,
        count: Arc<AtomicU64>,
    ) -> Self {
        for number in 0.. {
            let name = format!("client-{}-unit-{}", self.number, self.random.below(NAMES));
            let known = self.acknowledged.entry(name.clone()).or_default().clone();
            let comment = format!("{number} {}", self.random.below(u64::MAX));
            let (wanted, answer) = match self.random.below(5) {
                0..=2 => {
                    let wanted = Some((true, comment.clone()));
                    self.under_way = Some((name.clone(), wanted.clone()));
                    let executable = commented(&comment, named(&name, argv(&["/bin/true"])));
                    (wanted, change.enable(executable).await.map(drop))
                }
                3 => {
                    let wanted = known.clone().map(|(_, comment)| (false, comment));
                    self.under_way = Some((name.clone(), wanted.clone()));
                    (wanted, change.disable(only_name(&name)).await.map(drop))
                }
                _ => {
                    self.under_way = Some((name.clone(), None));
                    (None, change.destroy(only_name(&name)).await.map(drop))
                }
            };
            if !self.learn(&name, wanted, answer) {
                return self;
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
        self
    }

    /// Takes an answer in; false where it was the kill.
    fn learn(&mut self, name: &str, wanted: Known, answer: Result<(), Status>) -> bool {
        let known = self.acknowledged.get(name).cloned().flatten();
        match answer {
            Ok(()) => drop(self.acknowledged.insert(name.to_owned(), wanted)),
            Err(status) if status.code() == Code::NotFound => {
                assert_eq!(known, None, "{name} is registered, and was called unknown");
            }
            // A channel that broke, in one of the ways in which tonic tells that.
            Err(status) => {
                let codes = [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal];
                assert!(codes.contains(&status.code()), "{name}: {status}");
                return false;
            }
        }
        self.under_way = None;
        true
    }
}

/// A moment that is not waited for anything.
fn pass(span: Duration) {
    let deadline = Deadline::after(span);
    while !deadline.passed() {
        std::thread::yield_now();
    }
}
