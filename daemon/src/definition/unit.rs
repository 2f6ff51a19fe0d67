//! What a unit is.

use std::time::Duration;

use api::runtime::{
    Executable, KillMode as WireKillMode, Readiness as WireReadiness, RestartPolicy,
    RestartWhen as WireWhen, Step, StopPolicy, UnitKind,
};
use prost::Message;
use units::{
    CommandSpec, Door, ExitSet, KillMode, Kind, Owner, Readiness, Restart, RestartWhen, SIGTERM,
    StartLimit, StopSpec, UnitSpec,
};

use crate::configuration::Configuration;

use super::{Invalid, command, comment, invalid, parse_name, surroundings};

/// The longest time that a definition may name: a year, past which deadlines would mean nothing.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// Commands of one kind at most.
const STEPS: usize = 64;

/// What a unit is that does not say otherwise: the daemon's configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usual {
    /// How long each step of its start may take.
    pub(crate) start_timeout: Duration,
    /// How long it may take to end.
    pub(crate) stop_timeout: Duration,
}

impl Usual {
    /// As it is configured.
    pub(crate) fn of(configuration: &Configuration) -> Self {
        let Configuration { start_timeout, stop_timeout, .. } = configuration;
        Self { start_timeout: *start_timeout, stop_timeout: *stop_timeout }
    }
}

/// A unit as a client of the API defines it.
pub(crate) fn unit(executable: Executable, usual: Usual) -> Result<UnitSpec, Invalid> {
    if executable.owner.is_some() {
        return Err(invalid(
            "owner",
            "only the door can say it that the unit came in by; leave it out",
        ));
    }
    unit_of_door(executable, usual)
}

/// A unit as its definition says, which may be another door's. It has a name, which is its identity.
pub(crate) fn unit_of_door(mut executable: Executable, usual: Usual) -> Result<UnitSpec, Invalid> {
    let definition = executable.encode_to_vec();
    if !executable.run_id.is_empty() {
        let why = "a unit gets a new one each time it is started; leave it out";
        return Err(invalid("run_id", why));
    }
    if executable.resume.is_some() {
        return Err(invalid("resume", "nothing is gone on with here; leave it out"));
    }
    let name = parse_name(&executable.meta.take().unwrap_or_default().name)?;
    let main =
        command(("command", "argv"), &executable.command, std::mem::take(&mut executable.argv))?;
    let setting = surroundings::setting(&mut executable)?;
    let Executable { kind, remain_after_exit, before, after, on_stop, on_reload, .. } = executable;
    let start_timeout = match executable.start_timeout_ms {
        None => Some(usual.start_timeout),
        Some(time) => bounded("start_timeout_ms", time)?,
    };
    let mut restart = restart(executable.restart.unwrap_or_default())?;
    restart.success = exits("success", &executable.success)?;
    let spec = UnitSpec {
        comment: comment(executable.comment)?,
        kind: kind_of(kind, remain_after_exit)?,
        before: steps("before", before)?,
        after: steps("after", after)?,
        on_stop: steps("on_stop", on_stop)?,
        on_reload: steps("on_reload", on_reload)?,
        setting: setting.into(),
        restart,
        stop: stop(executable.stop.unwrap_or_default(), usual)?,
        start_timeout,
        run_limit: bounded("run_limit_ms", executable.run_limit_ms)?,
        readiness: match WireReadiness::try_from(executable.readiness) {
            Ok(WireReadiness::Executed) => Readiness::Executed,
            Ok(WireReadiness::Notify) => Readiness::Notify,
            Ok(WireReadiness::Drpc) => Readiness::Drpc,
            Err(_) => return Err(unknown("readiness", executable.readiness)),
        },
        definition: definition.into(),
        owner: executable.owner.map(owner).transpose()?,
        ..UnitSpec::new(name, main)
    };
    spec.check().map_err(|why| Invalid { field: wire_name(why.field), why: why.why })?;
    Ok(spec)
}

fn owner(owner: api::runtime::Owner) -> Result<Owner, Invalid> {
    let door = owner.door.parse::<Door>().map_err(|why| invalid("owner.door", why))?;
    Ok(Owner { door, about: owner.about.into() })
}

/// What the wire calls a field of the specification.
pub(super) fn wire_name(field: &'static str) -> &'static str {
    match field {
        "start_timeout" => "start_timeout_ms",
        "run_limit" => "run_limit_ms",
        "limits.cpu_quota" => "limits.cpu_quota_percent",
        "limits.memory_max" => "limits.memory_max_bytes",
        "limits.memory_high" => "limits.memory_high_bytes",
        "restart.delay" => "restart.delay_ms",
        "restart.max_delay" => "restart.max_delay_ms",
        "restart.start_limit.starts" => "restart.start_limit",
        "restart.start_limit.interval" => "restart.start_interval_ms",
        "restart.success" => "success",
        same => same,
    }
}

/// Exec and Run make no unit: what only a unit can keep is refused rather than ignored.
pub(super) fn refuse_what_only_units_say(executable: &Executable) -> Result<(), Invalid> {
    let said = [
        ("kind", executable.kind != i32::from(UnitKind::Service)),
        ("remain_after_exit", executable.remain_after_exit),
        ("before", !executable.before.is_empty()),
        ("after", !executable.after.is_empty()),
        ("on_stop", !executable.on_stop.is_empty()),
        ("on_reload", !executable.on_reload.is_empty()),
        ("restart", executable.restart.is_some()),
        ("stop", executable.stop.is_some()),
        ("start_timeout_ms", executable.start_timeout_ms.is_some()),
        ("run_limit_ms", executable.run_limit_ms != 0),
        ("readiness", executable.readiness != i32::from(WireReadiness::Executed)),
        ("success", !executable.success.is_empty()),
        ("user", !executable.user.is_empty()),
        ("owner", executable.owner.is_some()),
    ];
    match said.into_iter().find(|(_, said)| *said) {
        Some((field, _)) => {
            Err(invalid(field, "only a unit can have it; leave it out, or use Start instead"))
        }
        None => Ok(()),
    }
}

fn unknown(field: &'static str, number: i32) -> Invalid {
    invalid(field, format!("{number} is none of its values"))
}

fn kind_of(kind: i32, remain_after_exit: bool) -> Result<Kind, Invalid> {
    match UnitKind::try_from(kind) {
        Ok(UnitKind::Oneshot) => Ok(Kind::Oneshot { remain_after_exit }),
        Ok(UnitKind::Service) if remain_after_exit => {
            let why = "only a oneshot can count as up when it has ended; leave it out, or make it a oneshot";
            Err(invalid("remain_after_exit", why))
        }
        Ok(UnitKind::Service) => Ok(Kind::Service),
        Err(_) => Err(unknown("kind", kind)),
    }
}

fn steps(field: &'static str, steps: Vec<Step>) -> Result<Vec<CommandSpec>, Invalid> {
    if steps.len() > STEPS {
        let number = steps.len();
        return Err(invalid(field, format!("there are {number}; at most {STEPS} are allowed")));
    }
    let one = |(number, step): (usize, Step)| {
        let step = command(("command", "argv"), &step.command, step.argv);
        step.map_err(|Invalid { field: part, why }| {
            invalid(field, format!("[{number}].{part}: {why}"))
        })
    };
    steps.into_iter().enumerate().map(one).collect()
}

/// A time; 0 is none.
fn bounded(field: &'static str, milliseconds: u64) -> Result<Option<Duration>, Invalid> {
    let time = Duration::from_millis(milliseconds);
    if time > LONGEST {
        let why = format!("{milliseconds} ms are more than a year; give less, or 0 for no bound");
        return Err(invalid(field, why));
    }
    Ok(Some(time).filter(|time| !time.is_zero()))
}

fn exits(field: &'static str, words: &[String]) -> Result<ExitSet, Invalid> {
    let mut all = ExitSet::default();
    for word in words {
        let set = word.parse::<ExitSet>().map_err(|why| invalid(field, why))?;
        if set == ExitSet::default() {
            return Err(invalid(
                field,
                "there is an empty word; an exit status or a signal is expected",
            ));
        }
        all.codes.extend(set.codes);
        all.signals.extend(set.signals);
    }
    Ok(all)
}

fn restart(policy: RestartPolicy) -> Result<Restart, Invalid> {
    let usual = Restart::default();
    let when = match WireWhen::try_from(policy.when) {
        Ok(WireWhen::No) => RestartWhen::No,
        Ok(WireWhen::Always) => RestartWhen::Always,
        Ok(WireWhen::OnSuccess) => RestartWhen::OnSuccess,
        Ok(WireWhen::OnFailure) => RestartWhen::OnFailure,
        Ok(WireWhen::OnAbnormal) => RestartWhen::OnAbnormal,
        Ok(WireWhen::OnAbort) => RestartWhen::OnAbort,
        Err(_) => return Err(unknown("restart.when", policy.when)),
    };
    let time = |field, milliseconds: Option<u64>, usual: Duration| match milliseconds {
        None => Ok(usual),
        Some(time) => Ok(bounded(field, time)?.unwrap_or_default()),
    };
    let limit = StartLimit::default();
    let interval = time("restart.start_interval_ms", policy.start_interval_ms, limit.interval)?;
    let starts = policy.start_limit.unwrap_or(limit.starts);
    Ok(Restart {
        when,
        delay: time("restart.delay_ms", policy.delay_ms, usual.delay)?,
        max_delay: match policy.max_delay_ms {
            None => None,
            Some(time) => Some(bounded("restart.max_delay_ms", time)?.unwrap_or_default()),
        },
        steps: policy.steps,
        jitter: bounded("restart.jitter_ms", policy.jitter_ms)?.unwrap_or_default(),
        reset_after: time("restart.reset_after_ms", policy.reset_after_ms, usual.reset_after)?,
        start_limit: (starts > 0).then_some(StartLimit { starts, interval }),
        success: ExitSet::default(),
        prevent: exits("restart.prevent", &policy.prevent)?,
        force: exits("restart.force", &policy.force)?,
    })
}

fn stop(policy: StopPolicy, usual: Usual) -> Result<StopSpec, Invalid> {
    Ok(StopSpec {
        signal: if policy.signal == 0 { SIGTERM } else { policy.signal },
        timeout: match policy.timeout_ms {
            None => usual.stop_timeout,
            Some(time) => bounded("stop.timeout_ms", time)?.unwrap_or(LONGEST),
        },
        kill_mode: match WireKillMode::try_from(policy.kill_mode) {
            Ok(WireKillMode::ControlGroup) => KillMode::ControlGroup,
            Ok(WireKillMode::Mixed) => KillMode::Mixed,
            Ok(WireKillMode::Process) => KillMode::Process,
            Ok(WireKillMode::None) => KillMode::None,
            Err(_) => return Err(unknown("stop.kill_mode", policy.kill_mode)),
        },
        final_kill: policy.final_kill.unwrap_or(true),
    })
}
