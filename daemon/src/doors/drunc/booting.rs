//! Booting: from a request to a unit that runs, on the first machine that is allowed and is this one.
//!
//! Invariant: what could not be booted leaves nothing but its log.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use api::{
    drunc::fourth::{ProcessDescription, ProcessRestriction, ProcessUuid},
    meta::AuraeMeta,
    runtime::{Executable, Owner, RestartPolicy, StopPolicy},
};
use prost::Message;
use units::{Door, Order, RunId};

use super::{
    copying, ending,
    fault::Fault,
    process::{About, Process, unit_name},
    processes::{Caller, Processes},
    script,
};
use crate::{configuration::DruncDoor, definition};

/// How many processes there may be, dead ones included.
const MOST: usize = 4096;
/// Letters of what somebody called a process that are in its unit's comment.
const SHOWN: usize = 100;

impl Processes {
    /// Starts a process, on the first machine that is allowed, is this one and can.
    pub(super) async fn boot(
        &self,
        caller: &Caller,
        description: Option<ProcessDescription>,
        restriction: Option<ProcessRestriction>,
    ) -> Result<Process, Fault> {
        let description = description.ok_or_else(|| {
            Fault::Form("process_description is missing: it says what to run".to_owned())
        })?;
        let restriction = restriction.unwrap_or_default();
        if restriction.allowed_hosts.is_empty() {
            return Err(Fault::NoHost);
        }
        let script = script::of(&description)?;
        absolute("process_execution_directory", &description.process_execution_directory)?;
        absolute("process_logs_path", &description.process_logs_path)?;
        let ordinal = self.number(caller).await?;
        let mut reasons = Vec::new();
        for host in &restriction.allowed_hosts {
            if !self.hosts.mean(host) {
                reasons.push(format!(
                    "{host}: it is not this machine ({}), and no way leads there",
                    self.node()
                ));
                continue;
            }
            let asked = (description.clone(), restriction.clone(), ordinal);
            match self.start(caller, asked, host, &script).await {
                Ok(process) => return Ok(process),
                Err(why) => reasons.push(format!("{host}: {why}")),
            }
        }
        let called = description.metadata.map(|metadata| metadata.name).unwrap_or_default();
        let reasons = reasons.join("; ");
        Err(Fault::Failed(format!("cannot boot {called:?} on any allowed host: {reasons}")))
    }

    /// A number that none has, where there is room for one more.
    async fn number(&self, caller: &Caller) -> Result<u64, Fault> {
        let mut all = self.all(caller, true).await?;
        let last = all.iter().map(|process| process.ordinal).max().unwrap_or(0);
        self.next.fetch_max(last.saturating_add(1), Ordering::Relaxed);
        if all.len() >= MOST {
            // Those that nobody sees any more in the world where they were killed.
            all.retain(Process::is_gone_for_third);
            let room = all.first().ok_or_else(|| {
                Fault::Failed(format!(
                    "there are {MOST} processes, dead ones included, and no more are kept; flush the dead ones"
                ))
            })?;
            self.forget(caller, room.name()).await?;
        }
        Ok(self.next.fetch_add(1, Ordering::Relaxed))
    }

    async fn start(
        &self,
        caller: &Caller,
        (mut description, restriction, ordinal): (ProcessDescription, ProcessRestriction, u64),
        host: &str,
        script: &str,
    ) -> Result<Process, Fault> {
        let id = uuid::Uuid::new_v4();
        let metadata = description.metadata.get_or_insert_default();
        metadata.uuid = Some(ProcessUuid { uuid: id.to_string() });
        host.clone_into(&mut metadata.hostname);
        let session = metadata.session.clone().unwrap_or_default();
        let shown =
            |text: &str| text.chars().filter(|c| !c.is_control()).take(SHOWN).collect::<String>();
        let comment = format!(
            "drunc: {}/{} of {}",
            shown(&session),
            shown(&metadata.name),
            shown(&metadata.user)
        );
        let name = unit_name(&metadata.name, &id.to_string());
        let user = self.settings.users.get(&metadata.user).copied().or(self.settings.run_as);
        let user = user.map(|uid| uid.to_string());
        let directory = description.process_execution_directory.clone();
        let path = PathBuf::from(&description.process_logs_path);
        let about =
            About { description: Some(description), restriction: Some(restriction), ordinal };
        let executable = Executable {
            meta: Some(AuraeMeta { name, message: String::new() }),
            comment,
            argv: vec!["bash".to_owned(), "-c".to_owned(), script.to_owned()],
            user: user.clone().unwrap_or_default(),
            working_directory: directory,
            stop: Some(self.stop_policy()),
            restart: Some(RestartPolicy { start_limit: Some(0), ..RestartPolicy::default() }),
            owner: Some(Owner { door: Door::Drunc.to_string(), about: about.encode_to_vec() }),
            ..Executable::default()
        };
        let spec = definition::unit_of_door(executable, self.core.usual)
            .map_err(|why| Fault::Form(why.to_string()))?;
        let name = spec.name.clone();
        if !path.as_os_str().is_empty() {
            make_empty(path, user).await?;
        }
        let run = Some(RunId::from_bytes(id.into_bytes()));
        let order = Order::Start { spec: Arc::new(spec), run };
        if let Err(why) = self.core.ask(order, caller.origin.clone()).await {
            // It was never booted; what its log says of it stays.
            drop(self.forget(caller, &name).await);
            return Err(why.into());
        }
        self.process(caller, &name).await
    }

    /// How a process is told to end when it is stopped by whomever.
    fn stop_policy(&self) -> StopPolicy {
        let DruncDoor { kill_signals, kill_timeout, .. } = &*self.settings;
        let before_kill = kill_signals.iter().filter(|&&signal| signal != ending::SIGKILL).count();
        let time = kill_timeout.saturating_mul(u32::try_from(before_kill).unwrap_or(u32::MAX));
        StopPolicy {
            signal: kill_signals.first().copied().unwrap_or(ending::SIGKILL),
            // 0 would be for ever.
            timeout_ms: Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)),
            ..StopPolicy::default()
        }
    }
}

/// Paths mean the same whoever reads them.
fn absolute(field: &str, path: &str) -> Result<(), Fault> {
    if path.is_empty() || Path::new(path).is_absolute() {
        return Ok(());
    }
    Err(Fault::Form(format!("{field}: {path:?} is a relative path; give an absolute one")))
}

/// Makes a log file, and its folder; so that a process whose log cannot be written is not booted.
async fn make_empty(path: PathBuf, user: Option<String>) -> Result<(), Fault> {
    let shown = path.display().to_string();
    let made = tokio::task::spawn_blocking(move || copying::begin(&path, user.as_deref())).await;
    let why = match made {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(why)) => why.to_string(),
        Err(why) => why.to_string(),
    };
    Err(Fault::Failed(format!(
        "cannot make its log file {shown} (process_logs_path): {why}; give a path that can be written"
    )))
}
