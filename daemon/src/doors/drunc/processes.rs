//! What all generations have in common, but for booting: telling, ending and forgetting the processes of this door, in the language
//! of the core.
//!
//! Invariant: nothing is touched that did not come in by this door.

use std::sync::{Arc, atomic::AtomicU64};

use units::{Answer, Door, Name, Order, Origin, Refusal};

use super::{
    connection::Peer,
    ending::{self, Manner},
    fault::Fault,
    hosts::Hosts,
    lines,
    process::{Generation, Process},
    selection::Selection,
};
use crate::{
    configuration::DruncDoor,
    doors::{Core, Unanswered},
};

/// The processes of this door.
#[derive(Clone)]
pub(super) struct Processes {
    pub(super) core: Core,
    pub(super) settings: Arc<DruncDoor>,
    pub(super) hosts: Arc<Hosts>,
    /// The number of the next one that is booted, at least.
    pub(super) next: Arc<AtomicU64>,
}

/// Who calls.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) generation: Generation,
    /// As the core is told.
    pub(super) origin: Origin,
}

impl Processes {
    /// Over this core.
    pub(super) fn new(core: Core, settings: Arc<DruncDoor>) -> Self {
        let hosts = Arc::new(Hosts::of_this_machine(&core.identity.node));
        Self { core, settings, hosts, next: Arc::default() }
    }

    /// The node, which answers.
    pub(super) fn node(&self) -> &str {
        &self.core.identity.node
    }

    /// Where it listens.
    pub(super) fn endpoint(&self) -> String {
        self.settings.listen.to_string()
    }

    /// Who calls, unless nobody here serves him.
    pub(super) fn caller(
        &self,
        peer: Option<&Peer>,
        user_name: &str,
        (generation, operation): (Generation, &str),
    ) -> Result<Caller, Fault> {
        let peer =
            peer.ok_or_else(|| Fault::Unauthorised("nobody knows who has connected".to_owned()))?;
        let uid = peer.user.clone().map_err(|why| Fault::Unauthorised(why.to_string()))?;
        let (port, word) = (peer.address.port(), generation.word());
        let name = self.settings.users.get(user_name).map(|uid| format!(" user:{uid}"));
        let identity = format!("uid:{uid} port:{port} {word}{}", name.unwrap_or_default());
        let origin = Origin { door: Door::Drunc, identity, reason: operation.to_owned() };
        Ok(Caller { generation, origin })
    }

    /// All, in the order in which they were booted; those are left out that the caller takes for gone, unless he wants
    /// everything that was ever booted.
    pub(super) async fn all(&self, caller: &Caller, ever: bool) -> Result<Vec<Process>, Fault> {
        let answer = self.core.ask(Order::List, caller.origin.clone()).await?;
        let Answer::Units(views) = answer else { return Err(Unanswered::OutOfTurn.into()) };
        let mut all: Vec<Process> = views.into_iter().filter_map(Process::of).collect();
        if !ever && caller.generation == Generation::Third {
            all.retain(|process| !process.is_gone_for_third());
        }
        all.sort_by_key(|process| process.ordinal);
        Ok(all)
    }

    /// Those that are meant.
    pub(super) async fn select(
        &self,
        caller: &Caller,
        selection: &Selection,
    ) -> Result<Vec<Process>, Fault> {
        let all = self.all(caller, false).await?;
        Ok(all.into_iter().filter(|process| selection.has(process)).collect())
    }

    /// A process as it is now.
    pub(super) async fn process(&self, caller: &Caller, name: &Name) -> Result<Process, Fault> {
        let order = Order::Inspect { name: name.clone() };
        let answer = self.core.ask(order, caller.origin.clone()).await?;
        let Answer::Unit(detail) = answer else { return Err(Unanswered::OutOfTurn.into()) };
        Process::of(detail.view).ok_or(Fault::NoProcess)
    }

    /// Forgets one; false where it is not dead, or forgotten already.
    pub(super) async fn forget(&self, caller: &Caller, name: &Name) -> Result<bool, Fault> {
        let order = Order::Forget { which: Some(name.clone()) };
        match self.core.ask(order, caller.origin.clone()).await {
            Ok(_) => Ok(true),
            // Somebody was faster, or has started it again.
            Err(Unanswered::Refused(Refusal::NoSuchUnit(_) | Refusal::NotDead { .. })) => Ok(false),
            Err(why) => Err(why.into()),
        }
    }

    /// Starts exactly one again, alive or dead, under its uuid.
    pub(super) async fn restart(
        &self,
        caller: &Caller,
        selection: &Selection,
    ) -> Result<Process, Fault> {
        let process = selection.one_of(self.all(caller, true).await?)?;
        let order = Order::Restart { spec: Arc::clone(&process.view.spec) };
        self.core.ask(order, caller.origin.clone()).await?;
        self.process(caller, process.name()).await
    }

    /// Ends these; how they are then.
    pub(super) async fn end(
        &self,
        caller: &Caller,
        processes: Vec<Process>,
        crash: bool,
    ) -> Result<Vec<Process>, Fault> {
        let DruncDoor { kill_signals, kill_timeout, .. } = &*self.settings;
        let manner = match crash {
            true => Manner::Crash,
            false => Manner::Signals(kill_signals.clone(), *kill_timeout),
        };
        ending::end_all(&self.core, processes.clone(), &manner, &caller.origin).await?;
        let mut ended = Vec::with_capacity(processes.len());
        for process in processes {
            match self.process(caller, process.name()).await {
                Ok(now) => ended.push(now),
                // Flushed by somebody else meanwhile: then it was dead.
                Err(Fault::NoProcess) => {}
                Err(why) => return Err(why),
            }
        }
        Ok(ended)
    }

    /// Forgets those that are meant and dead; those are told that the caller could see.
    pub(super) async fn flush(
        &self,
        caller: &Caller,
        selection: &Selection,
    ) -> Result<Vec<Process>, Fault> {
        let mut flushed = Vec::new();
        for process in self.all(caller, true).await? {
            let seen = caller.generation != Generation::Third || !process.is_gone_for_third();
            let is_meant = selection.has(&process) && !process.lives();
            if is_meant && self.forget(caller, process.name()).await? && seen {
                flushed.push(process);
            }
        }
        Ok(flushed)
    }

    /// The last lines of exactly one.
    pub(super) async fn logs(
        &self,
        caller: &Caller,
        selection: &Selection,
        how_far: i32,
    ) -> Result<(String, Vec<String>), Fault> {
        let wanted = lines::wanted(how_far).ok_or_else(|| {
            Fault::Form(format!("how_far is {how_far}, which is no number of lines; 0 means 100"))
        })?;
        let process = selection.one_of(self.all(caller, false).await?)?;
        let Some(run) = process.newest_run() else { return Ok((process.uuid, Vec::new())) };
        let (logs, name) = (self.core.logs.clone(), process.name().clone());
        let read =
            tokio::task::spawn_blocking(move || lines::last(&logs, (&name, run), wanted)).await;
        match read {
            Ok(Ok(lines)) => Ok((process.uuid, lines)),
            Ok(Err(why)) => {
                let cause = std::error::Error::source(&why).map(|cause| format!(": {cause}"));
                Err(Fault::Failed(format!("{why}{}", cause.unwrap_or_default())))
            }
            Err(why) => Err(Fault::Failed(format!("a log reader ended without an answer: {why}"))),
        }
    }
}
