//! `daemon.Daemon.Power`: the end of the machine, or of the container.

use std::time::Duration;

use api::{
    daemon::{CancelPowerResponse, PowerAction, PowerRequest, PowerResponse},
    meta::AuraeMeta,
};
use keeper::protocol::Power;
use tonic::{Code, Status};
use units::Origin;

use super::status::invalid;
use crate::{
    clock,
    doors::Core,
    power::{Planned, Refused, named},
};

/// The longest message, in bytes.
const LONGEST_MESSAGE: usize = 1024;
/// The longest delay: longer than any is meant.
const LONGEST_DELAY: Duration = Duration::from_secs(366 * 86400);

/// What is asked for, in words for the audit log.
pub(super) fn described(request: &PowerRequest) -> String {
    let force = if request.force { ", at once" } else { "" };
    let action = request.action().as_str_name().trim_start_matches("POWER_ACTION_").to_lowercase();
    match request.delay_ms {
        0 => format!("{action}{force}"),
        delay => format!("{action}{force} in {delay} ms"),
    }
}

/// Orders it, for now or for later.
pub(super) fn order(
    core: &Core,
    request: PowerRequest,
    origin: &Origin,
) -> Result<PowerResponse, Status> {
    let power = action(&request)?;
    let delay = delay(request.delay_ms)?;
    let message = message(request.message)?;
    let plan = &core.power;
    let at = clock::now().monotonic.saturating_add(delay);
    let wanted = Planned { power, force: request.force, at, by: origin.to_string(), message };
    let (what, said) = (named(power), if request.force { " without order" } else { "" });
    let sentence = if delay.is_zero() {
        plan.order(wanted).map_err(|why| refused(&why))?;
        format!("{what} begins{said}")
    } else {
        plan.plan(wanted).map_err(|why| refused(&why))?;
        format!("{what} is planned{said}, in {delay:?}; aer power cancel takes it back")
    };
    let meta = Some(AuraeMeta { name: core.identity.node.clone(), message: sentence });
    let delay_ms = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
    Ok(PowerResponse { meta, delay_ms })
}

/// Forgets what was planned.
pub(super) fn cancel(core: &Core) -> Result<CancelPowerResponse, Status> {
    let Some(before) = core.power.cancel() else {
        let why = "nothing is planned that could be cancelled; what has begun goes on";
        return Err(Status::failed_precondition(why));
    };
    let message = format!("{} is not planned any more", named(before.power));
    tracing::warn!("power: {message}");
    let name = core.identity.node.clone();
    Ok(CancelPowerResponse { meta: Some(AuraeMeta { name, message }) })
}

/// What is planned, in words; empty where nothing is.
pub(super) fn planned(core: &Core) -> String {
    let Some(planned) = core.power.planned() else { return String::new() };
    let left = planned.at.saturating_sub(clock::now().monotonic);
    let left = Duration::from_secs(left.as_secs());
    let message = match planned.message.as_str() {
        "" => String::new(),
        message => format!(": {message}"),
    };
    format!("{} in {left:?}, ordered by {}{message}", named(planned.power), planned.by)
}

fn action(request: &PowerRequest) -> Result<Power, Status> {
    let wrong =
        || invalid("action", format!("{} is none: off, reboot, halt or kexec", request.action));
    match PowerAction::try_from(request.action).map_err(|_| wrong())? {
        PowerAction::Unspecified => Err(invalid("action", "say which: off, reboot, halt or kexec")),
        PowerAction::Off => Ok(Power::Off),
        PowerAction::Reboot => Ok(Power::Reboot),
        PowerAction::Halt => Ok(Power::Halt),
        PowerAction::Kexec => Ok(Power::Kexec),
    }
}

fn delay(milliseconds: i64) -> Result<Duration, Status> {
    let delay = u64::try_from(milliseconds).ok().map(Duration::from_millis);
    delay.filter(|delay| *delay <= LONGEST_DELAY).ok_or_else(|| {
        invalid(
            "delay_ms",
            format!("{milliseconds} is none: 0 to {} are", LONGEST_DELAY.as_millis()),
        )
    })
}

fn message(text: String) -> Result<String, Status> {
    if text.len() > LONGEST_MESSAGE {
        let why = format!("it is {} bytes long; at most {LONGEST_MESSAGE} are", text.len());
        return Err(invalid("message", why));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid("message", "it has control characters, which are not for a console"));
    }
    Ok(text)
}

fn refused(why: &Refused) -> Status {
    let code = match why {
        Refused::NotFirst(_) | Refused::KeeperLost | Refused::NothingLoaded | Refused::NoKernel => {
            Code::FailedPrecondition
        }
        Refused::Unwritten { .. } => Code::ResourceExhausted,
    };
    Status::new(code, why.to_string())
}
