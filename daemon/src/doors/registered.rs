//! What is registered, as doors need it: the unit that a name stands for, and changes of the schedule with their line in the
//! audit log. Errors have no wire's form; each door has a table of its own.

use std::sync::Arc;

use api::runtime::Executable;
use prost::Message;
use schedule::{Change, ChangeError, OpenError};
use units::{
    Answer, InvalidName, Name, Order, Origin, Readiness, Refusal, ResourceLimits, UnitDetail,
    UnitSpec,
};

use super::{Core, Unanswered};
use crate::{
    audit::Attempt,
    cgroups::MissingController,
    definition::{self, Invalid},
    scheduling::{Unchanged, cause},
};

/// Why a name, or a definition, is no unit that can be brought up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoUnit {
    /// It is no name.
    #[error("{0}")]
    Name(#[from] InvalidName),
    /// What is registered cannot be read.
    #[error("what is registered as {name} cannot be read: {why}; enable it anew or destroy it")]
    Unreadable {
        /// The name.
        name: Name,
        /// Why.
        why: prost::DecodeError,
    },
    /// A field of its definition cannot be as it is.
    #[error("{}: {}", .0.field, .0.why)]
    Invalid(Invalid),
    /// Nobody would keep its limits.
    #[error("{0}")]
    Limits(#[from] MissingController),
    /// Nothing of this name.
    #[error(
        "nothing is registered under the name {0}, and no unit of it is known; enable it, or give its definition"
    )]
    Unknown(Name),
    /// It may be registered in a schedule that cannot be opened.
    #[error("{why}{}", cause(why.as_ref()))]
    Schedule {
        /// Why.
        why: Arc<OpenError>,
    },
    /// The core could not be asked.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
}

/// Why a change of the schedule was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotChanged {
    /// Nothing can be changed.
    #[error(transparent)]
    Unchanged(#[from] Unchanged),
    /// Not this.
    #[error(transparent)]
    Unmade(#[from] ChangeError),
    /// A fault of ours.
    #[error("the schedule gave no answer; please report this")]
    NoAnswer,
}

/// The unit that is registered under this name, or else the one that is known under it.
pub(crate) async fn by_name(core: &Core, name: &str) -> Result<Arc<UnitSpec>, NoUnit> {
    let name: Name = name.parse()?;
    let registered = core.schedule.entry(&name).await;
    if let Ok(Some(entry)) = &registered {
        let executable = Executable::decode(entry.definition.as_slice())
            .map_err(|why| NoUnit::Unreadable { name, why })?;
        return checked(core, executable);
    }
    match inspect(core, name.clone(), Origin::daemon("it is to be started")).await {
        Ok(detail) => {
            can_be(core, &detail.spec)?;
            Ok(detail.spec)
        }
        Err(Unanswered::Refused(Refusal::NoSuchUnit(_))) => Err(match registered {
            Ok(_) => NoUnit::Unknown(name),
            // It may be registered there.
            Err(why) => NoUnit::Schedule { why },
        }),
        Err(why) => Err(why.into()),
    }
}

/// A definition with every field looked at.
pub(crate) fn checked(core: &Core, executable: Executable) -> Result<Arc<UnitSpec>, NoUnit> {
    let spec = definition::unit(executable, core.usual).map_err(NoUnit::Invalid)?;
    can_be(core, &spec)?;
    Ok(Arc::new(spec))
}

/// Refuses what nobody could bring up here as it says.
fn can_be(core: &Core, spec: &UnitSpec) -> Result<(), NoUnit> {
    if spec.readiness == Readiness::Drpc && core.drpc.is_none() {
        let why =
            "nobody could say that it is ready: [doors.drpc] of the configuration names no socket";
        return Err(NoUnit::Invalid(Invalid { field: "readiness", why: why.to_owned() }));
    }
    Ok(supports(core, &spec.setting.limits)?)
}

/// Refuses limits that nobody would keep.
pub(crate) fn supports(core: &Core, limits: &ResourceLimits) -> Result<(), MissingController> {
    match &core.cgroups {
        Some(cgroups) => cgroups.supports(limits),
        None => MissingController::without_cgroups(limits),
    }
}

/// All about a unit.
pub(crate) async fn inspect(
    core: &Core,
    name: Name,
    origin: Origin,
) -> Result<UnitDetail, Unanswered> {
    let answer = core.ask(Order::Inspect { name }, origin).await?;
    let Answer::Unit(detail) = answer else { return Err(Unanswered::OutOfTurn) };
    Ok(*detail)
}

/// Makes one change of the schedule.
pub(crate) async fn change(core: &Core, change: Change) -> Result<(), NotChanged> {
    let (attempt, by) = attempt(&change);
    let mut outcome = core.audit.begin(attempt, by);
    let result = match core.schedule.change(vec![change]).await {
        Ok(results) => match results.into_iter().next() {
            Some(result) => result.map_err(NotChanged::Unmade),
            None => Err(NotChanged::NoAnswer),
        },
        Err(why) => Err(why.into()),
    };
    outcome.tell(result.as_ref());
    result
}

/// What a change changes, and who makes it.
fn attempt(change: &Change) -> (Attempt, &Origin) {
    match change {
        Change::Enable { name, by, .. } => (Attempt::of("enable", name.as_str()), by),
        Change::Import { name, by, .. } => (Attempt::of("import", name.as_str()), by),
        Change::Disable { name, by, .. } => (Attempt::of("disable", name.as_str()), by),
        Change::Destroy { name, by, .. } => (Attempt::of("destroy", name.as_str()), by),
    }
}

/// Says in the log what was changed, and by whom, when the answer is on its way: the threads that write the log would
/// hold it up.
pub(crate) fn tell_later(name: Name, by: Origin, what: &'static str) {
    tokio::spawn(async move { tracing::info!(%name, %by, "{what}") });
}
