//! Many clients at once, on one name.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tests::{
    Daemon, Options, argv,
    rpc::named,
    schedule::{commented, only_name},
};
use tonic::Code;

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[]; sixteen_clients_on_one_name]
}

const CLIENTS: u64 = 16;
const CHANGES: u64 = 100;

/// What one name is after a change.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    /// Enabled, with this comment.
    Enabled(String),
    Disabled,
    /// Not registered: destroyed, or told to be unknown.
    Unknown,
}

/// An answered change: when it was asked for and answered, by one count for all clients.
#[derive(Debug)]
struct Done {
    asked: u64,
    answered: u64,
    outcome: Outcome,
}

/// Every answer is OK or NOT_FOUND, and what is there in the end is the outcome of a change that no other one has
/// certainly followed; the next daemon finds the same.
fn sixteen_clients_on_one_name() {
    let mut daemon = Daemon::start(Options::default());
    let count = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (change, count) = (daemon.change_client(), Arc::clone(&count));
            daemon.runtime().spawn(client_of(client, change, count))
        })
        .collect();
    let done: Vec<Done> =
        clients.into_iter().flat_map(|client| daemon.block(client).unwrap()).collect();
    assert_eq!(done.len() as u64, CLIENTS * CHANGES);
    let last_asked = done.iter().map(|done| done.asked).max().unwrap();
    let possible: Vec<&Outcome> =
        done.iter().filter(|done| done.answered > last_asked).map(|done| &done.outcome).collect();
    let found = match daemon.registered().as_slice() {
        [] => Outcome::Unknown,
        [(_, true, comment)] => Outcome::Enabled(comment.clone()),
        [(_, false, _)] => Outcome::Disabled,
        more => panic!("one name, and there are {more:?}"),
    };
    assert!(possible.contains(&&found), "{found:?} is none of {possible:?}");
    let before = daemon.registered();
    daemon.crash();
    daemon.start_again();
    assert_eq!(daemon.registered(), before);
    daemon.stop();
}

async fn client_of(
    client: u64,
    mut change: api::schedule::schedule_executable_client::ScheduleExecutableClient<
        tonic::transport::Channel,
    >,
    count: Arc<AtomicU64>,
) -> Vec<Done> {
    let mut all = Vec::new();
    for number in 0..CHANGES {
        let asked = count.fetch_add(1, Ordering::SeqCst);
        let comment = format!("{client}-{number}");
        let (outcome, code) = match (client + number) % 3 {
            0 => {
                let executable = commented(&comment, named("one", argv(&["/bin/true"])));
                (Outcome::Enabled(comment), change.enable(executable).await.err())
            }
            1 => (Outcome::Disabled, change.disable(only_name("one")).await.err()),
            _ => (Outcome::Unknown, change.destroy(only_name("one")).await.err()),
        };
        let outcome = match code {
            None => outcome,
            Some(status) if status.code() == Code::NotFound => Outcome::Unknown,
            Some(status) => panic!("client {client}, change {number}: {status}"),
        };
        let answered = count.fetch_add(1, Ordering::SeqCst);
        all.push(Done { asked, answered, outcome });
    }
    all
}
