//! What a client means by a name, a run, a process id: a log, and where it begins there.

use api::observe::log_source::Of;
use logs::{Located, LogName, Position};
use tonic::Status;
use units::{Name, Origin, RunId, Target};

use super::{
    follow::{Reading, blocking},
    status::{invalid, unanswered, unreadable},
};
use crate::doors::Core;

/// The log of a source.
pub(super) async fn reading(core: &Core, of: Of, origin: Origin) -> Result<Reading, Status> {
    match of {
        Of::Daemon(true) => Ok(whole(LogName::Daemon, "daemon".to_owned())),
        Of::Audit(true) => Ok(whole(LogName::Audit, "audit".to_owned())),
        Of::Daemon(false) => Err(invalid("daemon", "true is the only value it takes")),
        Of::Audit(false) => Err(invalid("audit", "true is the only value it takes")),
        Of::RunId(run) => {
            let run = run.parse::<RunId>().map_err(|why| invalid("run_id", why))?;
            of_run(core, Target::Run(run), origin).await
        }
        Of::ProcessId(pid) => of_run(core, pid_target(pid)?, origin).await,
        Of::Name(name) => {
            let name: Name = name.parse().map_err(|why| invalid("name", why))?;
            match newest(core, &name).await? {
                Some(_) => Ok(whole(LogName::Unit(name.clone()), name.to_string())),
                // A made-up name is one run's.
                None => of_run(core, Target::Name(name), origin).await,
            }
        }
        Of::Newest(name) => {
            let name: Name = name.parse().map_err(|why| invalid("newest", why))?;
            match newest(core, &name).await? {
                Some(run) => Ok(of_unit(run, name)),
                None => of_run(core, Target::Name(name), origin).await,
            }
        }
        Of::Previous(name) => {
            let name: Name = name.parse().map_err(|why| invalid("previous", why))?;
            let (logs, log) = (core.logs.clone(), LogName::Unit(name.clone()));
            let previous = blocking(move || logs.locate_previous(&log)).await?;
            let none = || {
                Status::not_found(format!(
                    "previous: {name} has no run before its newest in the log store"
                ))
            };
            let previous = previous.map_err(|why| unreadable(&why))?.ok_or_else(none)?;
            Ok(of_unit(previous, name))
        }
    }
}

/// A run by what the core knows of it, or else its log.
pub(super) async fn of_run(core: &Core, target: Target, origin: Origin) -> Result<Reading, Status> {
    let found = core.find(target.clone(), origin).await.map_err(|why| unanswered(&why))?;
    let run = found.as_ref().map(|found| found.run);
    let logs = core.logs.clone();
    let looked_for = target.clone();
    let located = blocking(move || match (run, looked_for) {
        (Some(run), _) | (None, Target::Run(run)) => logs.locate(run),
        (None, Target::Pid(pid)) => logs.locate_pid(pid),
        (None, Target::Name(_)) => Ok(None),
    });
    let located = located.await?.map_err(|why| unreadable(&why))?;
    match (located, found) {
        (Some(located), found) => {
            let name = match (&located.log, found) {
                (_, Some(found)) => found.name.to_string(),
                (LogName::Unit(name), None) => name.to_string(),
                (LogName::Commands | LogName::Daemon | LogName::Audit, None) => {
                    located.run.to_string()
                }
            };
            let (log, from) = (located.log.clone(), located.first);
            Ok(Reading { log, from, run: Some(located), name })
        }
        // It failed before it had a log: there is nothing to read, but its end to tell.
        (None, Some(found)) => {
            let log = LogName::Commands;
            let run = Located {
                run: found.run,
                log: log.clone(),
                first: Position(u64::MAX),
                pid: None,
                started: None,
                ended: None,
            };
            let name = found.name.to_string();
            Ok(Reading { log, from: Position(u64::MAX), run: Some(run), name })
        }
        (None, None) => Err(Status::not_found(unknown(&target))),
    }
}

fn unknown(target: &Target) -> String {
    match target {
        Target::Run(run) => format!("run_id: no run {run} is known, and no log has it"),
        Target::Pid(pid) => {
            format!("process_id: no run with the main process {pid} is known, and no log has it")
        }
        Target::Name(name) => {
            format!("name: nothing of the name {name} has run here")
        }
    }
}

/// The process id that a client gave.
pub(super) fn pid_target(pid: i64) -> Result<Target, Status> {
    match i32::try_from(pid) {
        Ok(pid) if pid > 0 => Ok(Target::Pid(pid)),
        Ok(_) | Err(_) => Err(invalid("process_id", format!("{pid} is not the id of a process"))),
    }
}

async fn newest(core: &Core, name: &Name) -> Result<Option<Located>, Status> {
    let (logs, log) = (core.logs.clone(), LogName::Unit(name.clone()));
    let newest = blocking(move || logs.locate_newest(&log)).await?;
    newest.map_err(|why| unreadable(&why))
}

fn whole(log: LogName, name: String) -> Reading {
    Reading { log, from: Position(0), run: None, name }
}

fn of_unit(run: Located, name: Name) -> Reading {
    let (log, from, name) = (run.log.clone(), run.first, name.to_string());
    Reading { log, from, run: Some(run), name }
}
