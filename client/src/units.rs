//! Units: what is started, stopped and watched by name.
//!
//! Calls that wait for a program have no bound here: how long a start or a stop may take is the unit's to say, and
//! the daemon keeps it. Whoever does not want to wait drops the call, which changes nothing.

pub use api::runtime::watch_response::Event as WatchEvent;
use api::{
    meta::AuraeMeta,
    runtime::{
        Executable, ForgetRequest, ForgetResponse, InspectRequest, InspectResponse, ListRequest,
        ReloadRequest, ReloadResponse, RestartRequest, RestartResponse, SignalRequest,
        SignalResponse, StartRequest, StartResponse, StopRequest, StopResponse, UnitView,
        WaitRequest, WaitResponse, WatchRequest, WatchResponse, restart_request, start_request,
    },
};
use tonic::Streaming;

use crate::{Client, ClientError, Endpoint, QUICK_ANSWER, client::named};

/// Units that are known, one after the other.
#[derive(Debug)]
pub struct UnitStream {
    endpoint: Endpoint,
    attempt: String,
    units: Streaming<UnitView>,
}

/// Changes of units, as they happen.
#[derive(Debug)]
pub struct WatchStream {
    endpoint: Endpoint,
    attempt: String,
    events: Streaming<WatchResponse>,
}

impl Client {
    /// Starts a unit by its name, and returns when it is up.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn start(&self, name: &str) -> Result<StartResponse, ClientError> {
        let what = Some(start_request::What::Name(name.to_owned()));
        let answer = self.runtime().start(self.request(StartRequest { what })).await;
        self.answer(&format!("starting {}", named(name)), answer)
    }

    /// Starts this, whether it is registered or not, and returns when it is up.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn start_this(&self, executable: Executable) -> Result<StartResponse, ClientError> {
        let attempt = format!("starting {}", called(&executable));
        let what = Some(start_request::What::Executable(executable));
        let answer = self.runtime().start(self.request(StartRequest { what })).await;
        self.answer(&attempt, answer)
    }

    /// Stops a unit if it is up, starts it, and returns when it is up again.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn restart(&self, name: &str) -> Result<RestartResponse, ClientError> {
        let what = Some(restart_request::What::Name(name.to_owned()));
        let answer = self.runtime().restart(self.request(RestartRequest { what })).await;
        self.answer(&format!("restarting {}", named(name)), answer)
    }

    /// Stops a unit if it is up, starts this in its place, and returns when that is up.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn restart_as(&self, executable: Executable) -> Result<RestartResponse, ClientError> {
        let attempt = format!("restarting {}", called(&executable));
        let what = Some(restart_request::What::Executable(executable));
        let answer = self.runtime().restart(self.request(RestartRequest { what })).await;
        self.answer(&attempt, answer)
    }

    /// Stops a unit and returns when it is down; of a run that is no unit's, orders its end. [`Client::stop`] is for
    /// runs alone, and gives up early.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn stop_unit(&self, what: StopRequest) -> Result<StopResponse, ClientError> {
        let attempt = format!("stopping {}", named(target(what.meta.as_ref(), &what.run_id)));
        let answer = self.runtime().stop(self.request(what)).await;
        self.answer(&attempt, answer)
    }

    /// Reloads a unit, and returns when it has been reloaded.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn reload(&self, name: &str) -> Result<ReloadResponse, ClientError> {
        let request = self.request(ReloadRequest { meta: meta(name) });
        let answer = self.runtime().reload(request).await;
        self.answer(&format!("reloading {}", named(name)), answer)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn signal(&self, what: SignalRequest) -> Result<SignalResponse, ClientError> {
        let attempt = format!("signalling {}", named(target(what.meta.as_ref(), &what.run_id)));
        let mut runtime = self.runtime();
        let request = self.request(what);
        self.within(QUICK_ANSWER, &attempt, runtime.signal(request)).await
    }

    /// Waits until a unit is down, or a run has ended.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn wait(&self, what: WaitRequest) -> Result<WaitResponse, ClientError> {
        let attempt = format!("waiting for {}", named(target(what.meta.as_ref(), &what.run_id)));
        let answer = self.runtime().wait(self.request(what)).await;
        self.answer(&attempt, answer)
    }

    /// Lists the units that are known, by name, with what they use.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn units(&self) -> Result<UnitStream, ClientError> {
        let attempt = "listing the units".to_owned();
        let request = self.request(ListRequest { usage: true });
        let answer = self.runtime().list(request).await;
        let units = self.answer(&attempt, answer)?;
        Ok(UnitStream { endpoint: self.endpoint().clone(), attempt, units })
    }

    /// Asks for all about one unit.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn inspect(&self, name: &str) -> Result<InspectResponse, ClientError> {
        let attempt = format!("inspecting {}", named(name));
        let mut runtime = self.runtime();
        let request = self.request(InspectRequest { meta: meta(name) });
        self.within(QUICK_ANSWER, &attempt, runtime.inspect(request)).await
    }

    /// Drops what is known of a unit that is down, or, where no name is given, of all that are.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn forget(&self, name: Option<&str>) -> Result<ForgetResponse, ClientError> {
        let attempt = match name {
            Some(name) => format!("forgetting {}", named(name)),
            None => "forgetting what is down".to_owned(),
        };
        let mut runtime = self.runtime();
        let request =
            self.request(ForgetRequest { meta: name.and_then(meta), all: name.is_none() });
        self.within(QUICK_ANSWER, &attempt, runtime.forget(request)).await
    }

    /// Watches the changes of units.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn watch(&self, what: WatchRequest) -> Result<WatchStream, ClientError> {
        let attempt = "watching the units".to_owned();
        let answer = self.runtime().watch(self.request(what)).await;
        let events = self.answer(&attempt, answer)?;
        Ok(WatchStream { endpoint: self.endpoint().clone(), attempt, events })
    }
}

impl UnitStream {
    /// The next one, in the order of names; `None` at the end.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn next(&mut self) -> Result<Option<UnitView>, ClientError> {
        let message = self.units.message().await;
        message.map_err(|status| ClientError::call(&self.endpoint, &self.attempt, &status))
    }
}

impl WatchStream {
    /// The next thing that happened; `None` where the daemon ended the watch.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn next(&mut self) -> Result<Option<WatchEvent>, ClientError> {
        loop {
            let message = self.events.message().await;
            match message
                .map_err(|status| ClientError::call(&self.endpoint, &self.attempt, &status))?
            {
                Some(WatchResponse { event: Some(event) }) => return Ok(Some(event)),
                // A newer daemon may tell of things that this client does not know.
                Some(WatchResponse { event: None }) => {}
                None => return Ok(None),
            }
        }
    }
}

fn meta(name: &str) -> Option<AuraeMeta> {
    Some(AuraeMeta { name: name.to_owned(), ..AuraeMeta::default() })
}

/// Whom a request is about: a name, or else a run.
fn target<'a>(meta: Option<&'a AuraeMeta>, run_id: &'a str) -> &'a str {
    meta.map(|meta| meta.name.as_str()).filter(|_| run_id.is_empty()).unwrap_or(run_id)
}

/// The name of what is started or, where the daemon is to make one up, its program.
fn called(executable: &Executable) -> &str {
    let name = executable.meta.as_ref().map(|meta| meta.name.as_str());
    let first = executable.argv.first().map(String::as_str);
    let program = first.or_else(|| executable.command.split_whitespace().next());
    name.filter(|name| !name.is_empty()).or(program).unwrap_or("a command")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_started_is_called_by_its_name_or_its_program() {
        let unit = |name: &str, command: &str, argv: &[&str]| Executable {
            meta: meta(name),
            command: command.into(),
            argv: argv.iter().map(ToString::to_string).collect(),
            ..Executable::default()
        };
        assert_eq!(called(&unit("web", "nginx -g x", &[])), "web");
        assert_eq!(called(&unit("", "nginx -g x", &[])), "nginx");
        assert_eq!(called(&unit("", "", &["nginx", "-g"])), "nginx");
        assert_eq!(called(&Executable::default()), "a command");
    }
}
