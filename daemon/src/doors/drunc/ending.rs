//! Ending processes: signal by signal, leaves first.

use std::{collections::BTreeMap, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use units::{Answer, Name, Order, Origin, Refusal, StopHow, Target, Whom};

use super::{fault::Fault, process::Process};
use crate::doors::{Core, Unanswered};

/// How many are ended at a time.
const AT_ONCE: usize = 64;
/// How much longer than its signals take a process may need to be gone.
const LEEWAY: Duration = Duration::from_secs(60);
/// The signal that nothing survives.
pub(super) const SIGKILL: i32 = 9;

/// How a process is ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// By these signals, one after the other, with so much time in between; the last is SIGKILL.
    Signals(Vec<i32>, Duration),
    /// By SIGKILL alone, as if by itself.
    Crash,
}

/// Ends these; those that are deepest among the others first, and each depth at once.
pub(super) async fn end_all(
    core: &Core,
    processes: Vec<Process>,
    manner: &Manner,
    origin: &Origin,
) -> Result<(), Fault> {
    let mut depths: BTreeMap<usize, Vec<Name>> = BTreeMap::new();
    for process in processes {
        depths.entry(process.depth()).or_default().push(process.name().clone());
    }
    let mut outcome = Ok(());
    for names in depths.into_values().rev() {
        for part in names.chunks(AT_ONCE) {
            let mut ends = JoinSet::new();
            for name in part {
                let (core, name, manner, origin) =
                    (core.clone(), name.clone(), manner.clone(), origin.clone());
                ends.spawn(async move { end(&core, &name, &manner, &origin).await });
            }
            while let Some(ended) = ends.join_next().await {
                let failed = |why| Err(Fault::Failed(format!("cannot end a process: {why}")));
                // All are ended that can be; the first that cannot is told.
                outcome = outcome.and(ended.unwrap_or_else(failed));
            }
        }
    }
    outcome
}

/// Ends one, and waits until it is down. One that is forgotten meanwhile is ended.
async fn end(core: &Core, name: &Name, manner: &Manner, origin: &Origin) -> Result<(), Fault> {
    let answer = match manner {
        Manner::Signals(signals, grace) => by_signals(core, name, (signals, *grace), origin).await,
        Manner::Crash => crash(core, name, origin).await,
    };
    match answer {
        Ok(_) | Err(Unanswered::Refused(Refusal::NoSuchUnit(_))) => Ok(()),
        Err(Unanswered::Refused(Refusal::DeadlinePassed)) => Err(Fault::Failed(format!(
            "{name} has got its signals and is not gone yet; what it waits for in the kernel has to come first"
        ))),
        Err(why) => Err(why.into()),
    }
}

async fn by_signals(
    core: &Core,
    name: &Name,
    (signals, grace): (&[i32], Duration),
    origin: &Origin,
) -> Result<Answer, Unanswered> {
    let all = grace.saturating_mul(u32::try_from(signals.len()).unwrap_or(u32::MAX));
    let stop = |how| {
        let order = Order::Stop { target: Target::Name(name.clone()), how };
        core.ask_within(order, origin.clone(), Some(all.saturating_add(LEEWAY)))
    };
    let how = |signal| if signal == SIGKILL { StopHow::Kill } else { StopHow::Signal(signal) };
    let Some((first, later)) = signals.split_first() else { return stop(StopHow::Kill).await };
    let down = stop(how(*first));
    tokio::pin!(down);
    for signal in later {
        if let Ok(answer) = timeout(grace, &mut down).await {
            return answer;
        }
        // Nobody waits for this: who waits for the first one hears when it is down.
        let (core, origin) = (core.clone(), origin.clone());
        let order = Order::Stop { target: Target::Name(name.clone()), how: how(*signal) };
        tokio::spawn(async move { drop(core.ask_within(order, origin, Some(all)).await) });
    }
    down.await
}

async fn crash(core: &Core, name: &Name, origin: &Origin) -> Result<Answer, Unanswered> {
    let target = Target::Name(name.clone());
    let kill = Order::Signal { target: target.clone(), signal: SIGKILL, whom: Whom::All };
    match core.ask(kill, origin.clone()).await {
        // It is dead already.
        Ok(_)
        | Err(Unanswered::Refused(Refusal::NotRunning { .. } | Refusal::NoMainProcess(_))) => {}
        Err(why) => return Err(why),
    }
    core.ask_within(Order::Wait { target }, origin.clone(), Some(LEEWAY)).await
}
