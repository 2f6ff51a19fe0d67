//! A process of this door: a unit, which the core keeps, and what drunc calls it.
//!
//! Invariant: everything is in the unit. What the request said and the uuid are in what its owner knows of it, what becomes
//! of it is its state; so the next daemon serves the same processes, and nothing has to be written down here.

use std::sync::Arc;

use api::drunc::fourth::{
    ProcessDescription, ProcessInstance, ProcessMetadata, ProcessRestriction, ProcessUuid,
    process_instance::StatusCode,
};
use prost::Message;
use units::{Cause, Door, Name, RunId, UnitSpec, UnitView, Wanted};

/// The word in an identity that says by which generation something was wanted.
const GENERATION: &str = "drunc:";
/// How long the readable part of a unit's name is at most.
const LONGEST_NAME: usize = 100;

/// The generations that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// 2023-05.
    First,
    /// 2024-06 to early 2025.
    Third,
    /// Since 2025.
    Fourth,
}

impl Generation {
    /// Its word in an identity.
    pub(super) fn word(self) -> String {
        let number = match self {
            Self::First => 1,
            Self::Third => 3,
            Self::Fourth => 4,
        };
        format!("{GENERATION}{number}")
    }
}

/// What the unit's owner knows of it. The next release reads it too: fields are only added.
#[derive(Clone, PartialEq, Message)]
pub(super) struct About {
    /// What was asked for, with uuid and host.
    #[prost(message, optional, tag = "1")]
    pub(super) description: Option<ProcessDescription>,
    /// The same.
    #[prost(message, optional, tag = "2")]
    pub(super) restriction: Option<ProcessRestriction>,
    /// Its number among all that were booted.
    #[prost(uint64, tag = "3")]
    pub(super) ordinal: u64,
}

/// A process.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) uuid: String,
    pub(super) description: ProcessDescription,
    pub(super) restriction: ProcessRestriction,
    /// Its number among all that were booted.
    pub(super) ordinal: u64,
    pub(super) view: UnitView,
}

impl Process {
    /// The process that a unit is, if it is this door's.
    pub(super) fn of(view: UnitView) -> Option<Self> {
        let About { description, restriction, ordinal } = about(&view.spec)?;
        let description = description?;
        let uuid = description.metadata.as_ref()?.uuid.as_ref()?.uuid.clone();
        Some(Self {
            uuid,
            description,
            restriction: restriction.unwrap_or_default(),
            ordinal,
            view,
        })
    }

    /// What it is known by.
    pub(super) fn metadata(&self) -> &ProcessMetadata {
        static NONE: ProcessMetadata = ProcessMetadata {
            uuid: None,
            user: String::new(),
            session: None,
            name: String::new(),
            hostname: String::new(),
            tree_id: None,
        };
        self.description.metadata.as_ref().unwrap_or(&NONE)
    }

    /// The unit's name.
    pub(super) fn name(&self) -> &Name {
        &self.view.name
    }

    /// Whether it runs, or is on its way up or down.
    pub(super) fn lives(&self) -> bool {
        !self.view.state.is_dead()
    }

    /// Its newest run, if it ever had one.
    pub(super) fn newest_run(&self) -> Option<RunId> {
        self.view.run.or_else(|| self.view.last.as_ref().map(|record| record.run))
    }

    /// Whether a client of the third generation has killed it, for whose like it is gone then.
    pub(super) fn is_gone_for_third(&self) -> bool {
        let desired = &self.view.desired;
        let word = Generation::Third.word();
        !self.lives()
            && desired.wanted == Wanted::Down
            && desired.by.door == Door::Drunc
            && desired.by.identity.split(' ').any(|it| it == word)
    }

    /// How deep it is among the others: leaves are ended first.
    pub(super) fn depth(&self) -> usize {
        self.metadata().tree_id.as_deref().unwrap_or_default().matches('.').count()
    }

    /// How it ended: its exit status, or the negative number of the signal.
    fn return_code(&self) -> Option<i32> {
        if self.lives() {
            return None;
        }
        // Dead without an end, it was lost before it ran.
        Some(self.view.last.as_ref().map_or(-1, |record| match &record.cause {
            Cause::Exited(status) => *status,
            Cause::Signalled { signal, .. } => signal.saturating_neg(),
            Cause::Failed(failure) => failure.stage,
            Cause::Lost(_) => -1,
        }))
    }

    /// As it is told.
    pub(super) fn instance(&self) -> ProcessInstance {
        let status = if self.lives() { StatusCode::Running } else { StatusCode::Dead };
        let pid = Some(self.view.pid).filter(|&pid| self.lives() && pid > 0);
        ProcessInstance {
            process_description: Some(self.description.clone()),
            process_restriction: Some(self.restriction.clone()),
            status_code: status.into(),
            return_code: self.return_code(),
            uuid: Some(ProcessUuid { uuid: self.uuid.clone() }),
            remote_pid: pid.map(|pid| pid.to_string()),
        }
    }
}

/// What this door knows of a unit, if it is its.
fn about(spec: &Arc<UnitSpec>) -> Option<About> {
    let owner = spec.owner.as_ref().filter(|owner| owner.door == Door::Drunc)?;
    About::decode(&*owner.about).ok()
}

/// The name of a process's unit: what it is called, as far as a name can be that, and its uuid.
pub(super) fn unit_name(called: &str, uuid: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "_-.+".contains(c) { c } else { '_' };
    let readable: String = called.chars().take(LONGEST_NAME).map(fits).collect();
    let begins_well = readable.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let front = if begins_well { "" } else { "_" };
    format!("{front}{readable}@{uuid}")
}

/// Whether a name may be one of these, so that it is worth asking.
pub(super) fn may_be_ours(name: &Name) -> bool {
    name.as_str().rsplit_once('@').is_some_and(|(_, uuid)| uuid.parse::<RunId>().is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_it_is_called_it_has_a_name(called in ".{0,200}") {
            let name = unit_name(&called, "67e55044-10b1-426f-9247-bb680e5fe0c8");
            let name: Name = name.parse().unwrap();
            prop_assert!(may_be_ours(&name));
        }

        #[test]
        fn no_about_hurts(bytes in any::<Vec<u8>>()) {
            drop(About::decode(bytes.as_slice()));
        }
    }
}
