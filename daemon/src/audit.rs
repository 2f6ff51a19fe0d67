//! The audit log: who changed what, or tried to, why, and what came of it; a line of JSON for each.
//!
//! Invariants: all orders of all doors pass here, and all changes of the schedule. Nobody waits for it: a line is written
//! when its answer is on its way, and one that finds no room is told of as a gap.

use std::{fs, os::unix::fs::MetadataExt, time::Duration};

use logs::{LogName, LogStore};
use serde::Serialize;
use tokio::sync::oneshot;
use units::{Name, Order, Origin, RunId, Target};

use crate::clock;

/// The result of what may take for ever.
const ORDERED: &str = "ordered";

/// Where lines go.
#[derive(Clone)]
pub(crate) struct Audit {
    logs: LogStore,
    instance: RunId,
}

/// What somebody wants to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    action: &'static str,
    name: Option<String>,
    run: Option<String>,
    detail: Option<String>,
    /// It may take for ever: told when it begins, and once more only where it is refused.
    lasts: bool,
}

/// Where it is told what came of an attempt. Dropped without a word it says that nobody waited for that.
pub(crate) struct Outcome(Option<oneshot::Sender<Result<(), String>>>);

#[derive(Serialize)]
struct Line<'a> {
    time: String,
    action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    by: &'a By,
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'a str,
    result: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// Who it was, as far as that could be found out.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct By {
    door: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<String>,
}

impl By {
    fn of(origin: &Origin) -> Self {
        let (mut uid, mut pid) = (None, None);
        for word in origin.identity.split(' ') {
            match word.split_once(':') {
                Some(("uid", number)) => uid = number.parse().ok(),
                Some(("pid", number)) => pid = number.parse::<i32>().ok(),
                Some(_) | None => {}
            }
        }
        // The kernel tells uid and pid; the process itself is looked at while it waits for us, if it still does.
        let process = pid.filter(|&pid| pid > 0).map(|pid| format!("/proc/{pid}"));
        let gid = process.as_ref().and_then(|path| Some(fs::metadata(path).ok()?.gid()));
        let program = process.and_then(|path| fs::read(path + "/comm").ok());
        let program =
            program.map(|comm| String::from_utf8_lossy(comm.trim_ascii_end()).into_owned());
        Self { door: origin.door.to_string(), uid, gid, pid, program }
    }
}

impl Attempt {
    /// Something of this name.
    pub(crate) fn of(action: &'static str, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..Self::all(action) }
    }

    /// Something of no name.
    pub(crate) fn all(action: &'static str) -> Self {
        Self { action, name: None, run: None, detail: None, lasts: false }
    }

    /// With more about it.
    pub(crate) fn with(self, detail: String) -> Self {
        Self { detail: Some(detail), ..self }
    }

    fn on(action: &'static str, target: &Target) -> Self {
        match target {
            Target::Run(run) => Self { run: Some(run.to_string()), ..Self::all(action) },
            Target::Name(name) => Self::of(action, name.as_str()),
            Target::Pid(pid) => Self::all(action).with(format!("pid {pid}")),
        }
    }

    /// What an order would change; none where it only asks.
    pub(crate) fn of_order(order: &Order) -> Option<Self> {
        let named = |action, name: &Name| Self::of(action, name.as_str());
        Some(match order {
            Order::Execute(execution) => Self {
                run: Some(execution.run.to_string()),
                detail: Some(String::from_utf8_lossy(&execution.program).into_owned()),
                lasts: true,
                ..named("execute", &execution.name)
            },
            Order::Start { spec, .. } => named("start", &spec.name),
            Order::Restart { spec } => named("restart", &spec.name),
            Order::Reload { name } => named("reload", name),
            Order::Stop { target, how } => Self::on("stop", target).with(format!("{how:?}")),
            Order::Signal { target, signal, whom } => {
                Self::on("signal", target).with(format!("{signal} to {whom:?}"))
            }
            Order::Forget { which: Some(name) } => named("forget", name),
            Order::Forget { which: None } => Self::all("forget"),
            Order::ShutDown => Self::all("shutdown"),
            Order::Join { .. }
            | Order::Wait { .. }
            | Order::List
            | Order::Inspect { .. }
            | Order::Find(_)
            | Order::Count => return None,
        })
    }
}

impl Audit {
    /// By this daemon.
    pub(crate) fn new(logs: LogStore, instance: RunId) -> Self {
        Self { logs, instance }
    }

    /// Somebody tries to change something; what comes of it is told later.
    pub(crate) fn begin(&self, attempt: Attempt, origin: &Origin) -> Outcome {
        let (sender, outcome) = oneshot::channel::<Result<(), String>>();
        let (audit, origin) = (self.clone(), origin.clone());
        // A task of its own: whoever orders something waits for neither the look at him nor the line. Outside of the
        // runtime nobody orders anything.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let by = By::of(&origin);
                if attempt.lasts {
                    audit.write(&attempt, (&by, &origin.reason), (ORDERED, None));
                }
                let outcome = outcome.await;
                let (result, error) = match &outcome {
                    Ok(Ok(())) | Err(_) if attempt.lasts => return,
                    Ok(Ok(())) => ("done", None),
                    Ok(Err(why)) => ("refused", Some(why.as_str())),
                    Err(_) => ("unanswered", Some("the caller left before it was done")),
                };
                audit.write(&attempt, (&by, &origin.reason), (result, error));
            });
        }
        Outcome(Some(sender))
    }

    /// Something was done.
    pub(crate) fn tell(&self, attempt: &Attempt, origin: &Origin) {
        self.write(attempt, (&By::of(origin), &origin.reason), ("done", None));
    }

    fn write(
        &self,
        attempt: &Attempt,
        (by, why): (&By, &str),
        (result, error): (&str, Option<&str>),
    ) {
        let time = clock::wall();
        let Attempt { action, name, run, detail, lasts: _ } = attempt;
        let line = Line {
            time: humantime::format_rfc3339_micros(
                std::time::UNIX_EPOCH + Duration::from_nanos(time),
            )
            .to_string(),
            action,
            name: name.as_deref(),
            run: run.as_deref(),
            detail: detail.as_deref(),
            by,
            why,
            result,
            error,
        };
        // It is made of texts and numbers: no such line cannot be written.
        let line = serde_json::to_vec(&line).unwrap_or_default();
        if result == ORDERED {
            // The line of its start comes in a moment; to wake the writer now, too, would hold it up.
            self.logs.append_with_next(&LogName::Audit, self.instance, &line, time);
        } else {
            self.logs.append(&LogName::Audit, self.instance, &line, time);
        }
    }
}

impl Outcome {
    /// It was done, or refused.
    pub(crate) fn tell<T, E: std::fmt::Display>(&mut self, result: Result<T, &E>) {
        if let Some(sender) = self.0.take() {
            sender.send(result.map(drop).map_err(ToString::to_string)).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use units::{Door, StopHow, Whom};

    use super::*;

    #[test]
    fn what_only_asks_is_no_attempt() {
        assert_eq!(Attempt::of_order(&Order::List), None);
        assert_eq!(Attempt::of_order(&Order::Count), None);
        let name: Name = "web".parse().unwrap();
        let target = Target::Name(name.clone());
        let stop = Order::Stop { target: target.clone(), how: StopHow::Kill };
        assert_eq!(
            Attempt::of_order(&stop),
            Some(Attempt::of("stop", "web").with("Kill".to_owned()))
        );
        let signal = Order::Signal { target, signal: 15, whom: Whom::All };
        assert_eq!(
            Attempt::of_order(&signal),
            Some(Attempt::of("signal", "web").with("15 to All".to_owned()))
        );
        let forget = Order::Forget { which: None };
        assert_eq!(Attempt::of_order(&forget), Some(Attempt::all("forget")));
    }

    #[test]
    fn who_it_was_is_found_out() {
        let identity = format!("uid:7 pid:{}", std::process::id());
        let origin = Origin { door: Door::Grpc, identity, reason: String::new() };
        let by = By::of(&origin);
        assert_eq!((by.uid, by.pid), (Some(7), i32::try_from(std::process::id()).ok()));
        assert_eq!(by.gid, Some(nix::unistd::getegid().as_raw()));
        assert!(by.program.is_some());
        let by = By::of(&Origin::daemon("x"));
        assert_eq!(by, By { door: "daemon".to_owned(), ..By::default() });
    }
}
