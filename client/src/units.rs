//! Units: what is started, stopped and watched by name.
//!
//! Calls that wait for a program have no bound here: how long a start or a stop may take is the unit's to say, and
//! the daemon keeps it. Whoever does not want to wait drops the call, which changes nothing.

use api::{
    meta::AuraeMeta,
    runtime::{
        ForgetRequest, ForgetResponse, InspectRequest, InspectResponse, ListRequest, ReloadRequest,
        ReloadResponse, SignalRequest, SignalResponse, StopRequest, StopResponse, UnitView,
        WaitRequest, WaitResponse,
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

impl Client {
    /// Stops a unit and returns when it is down; of a run that is no unit's, orders its end. [`Client::stop`] is for
    /// runs alone, and gives up early.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn stop_unit(&self, what: StopRequest) -> Result<StopResponse, ClientError> {
        let attempt = format!("stopping {}", named(target(what.meta.as_ref(), &what.run_id)));
        self.persist(async || {
            let answer = self.runtime().stop(self.request(what.clone())).await;
            self.answer(&attempt, answer)
        })
        .await
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
        self.persist(async || {
            let answer = self.runtime().wait(self.request(what.clone())).await;
            self.answer(&attempt, answer)
        })
        .await
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

fn meta(name: &str) -> Option<AuraeMeta> {
    Some(AuraeMeta { name: name.to_owned(), ..AuraeMeta::default() })
}

/// Whom a request is about: a name, or else a run.
fn target<'a>(meta: Option<&'a AuraeMeta>, run_id: &'a str) -> &'a str {
    meta.map(|meta| meta.name.as_str()).filter(|_| run_id.is_empty()).unwrap_or(run_id)
}
