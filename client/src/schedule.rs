//! The schedule: what starts at boot, and what is only registered.
//!
//! Whatever changes it is durable when the call returns. Answers that grow with the schedule are streams.

use std::time::Duration;

use api::{
    meta::AuraeMeta,
    runtime::Executable,
    schedule::{
        Damage, ExecutableDestroyResponse, ExecutableDisableResponse, ExecutableEnableResponse,
        ExportItem, ExportRequest, ImportResponse, ListRequest, Registration, RepairRequest,
        RepairResponse, Selection, ShowRequest, export_item::Item, schedule_client::ScheduleClient,
        schedule_executable_client::ScheduleExecutableClient,
    },
};
use tonic::{Streaming, transport::Channel};

use crate::{Client, ClientError, Endpoint, QUICK_ANSWER, client::named};

/// How long a change of one registration may take before the daemon counts as frozen. It waits for the disk,
/// which may be slow, and for whoever else is in front of the disk.
pub const DURABLE_ANSWER: Duration = Duration::from_secs(60);

/// The largest answer that is taken. One registration has no more than a request of 4 MiB brought; what a
/// repair has lost is a list in one answer, and this is some 100,000 names with their reasons.
const LARGEST_ANSWER: usize = 64 << 20;

/// One thing of the daemon's store.
#[expect(
    clippy::large_enum_variant,
    reason = "one exists at a time, and nearly all are the large one"
)]
#[derive(Clone, Debug, PartialEq)]
pub enum Exported {
    /// A registration that can be read.
    Registration(Registration),
    /// Something that cannot.
    Damage(Damage),
}

/// What is registered, one after the other.
#[derive(Debug)]
pub struct RegistrationStream {
    endpoint: Endpoint,
    attempt: String,
    registrations: Streaming<Registration>,
}

/// Everything that can be got out of the daemon's store, one after the other.
#[derive(Debug)]
pub struct ExportStream {
    endpoint: Endpoint,
    attempt: String,
    items: Streaming<ExportItem>,
}

impl Client {
    /// Registers an executable so that it starts at boot. Starts nothing by itself.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn enable(
        &self,
        executable: Executable,
    ) -> Result<ExecutableEnableResponse, ClientError> {
        let name = executable.meta.as_ref().map_or("", |meta| meta.name.as_str());
        let attempt = format!("enabling {}", named(name));
        let mut changes = self.changes();
        let request = self.request(executable);
        self.within(DURABLE_ANSWER, &attempt, changes.enable(request)).await
    }

    /// Keeps an executable registered and lets it not start at boot. Stops nothing by itself.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn disable(&self, name: &str) -> Result<ExecutableDisableResponse, ClientError> {
        let attempt = format!("disabling {}", named(name));
        let mut changes = self.changes();
        let request = self.request(only_named(name));
        self.within(DURABLE_ANSWER, &attempt, changes.disable(request)).await
    }

    /// Forgets an executable. Stops nothing by itself.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn destroy(&self, name: &str) -> Result<ExecutableDestroyResponse, ClientError> {
        let attempt = format!("destroying {}", named(name));
        let mut changes = self.changes();
        let request = self.request(only_named(name));
        self.within(DURABLE_ANSWER, &attempt, changes.destroy(request)).await
    }

    /// Lists what is registered, by name.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn list(&self, selection: Selection) -> Result<RegistrationStream, ClientError> {
        let attempt = "listing what is registered".to_owned();
        let request = self.request(ListRequest { selection: selection.into() });
        let answer = self.schedule().list(request).await;
        let registrations = self.answer(&attempt, answer)?;
        Ok(RegistrationStream { endpoint: self.endpoint().clone(), attempt, registrations })
    }

    /// Asks for one registration.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn show(&self, name: &str) -> Result<Registration, ClientError> {
        let attempt = format!("showing {}", named(name));
        let meta = Some(AuraeMeta { name: name.to_owned(), ..AuraeMeta::default() });
        let mut schedule = self.schedule();
        let request = self.request(ShowRequest { meta });
        let answer = self.within(QUICK_ANSWER, &attempt, schedule.show(request)).await?;
        answer.registration.ok_or(ClientError::Empty { attempt })
    }

    /// Asks for everything that can be got out of the store, also of one that is damaged.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn export(&self) -> Result<ExportStream, ClientError> {
        let attempt = "exporting the schedule".to_owned();
        let request = self.request(ExportRequest {});
        let answer = self.schedule().export(request).await;
        let items = self.answer(&attempt, answer)?;
        Ok(ExportStream { endpoint: self.endpoint().clone(), attempt, items })
    }

    /// Registers all of these or, where one is refused, none. Of each only `executable` and `status` are
    /// read. As much is sent at a time as the daemon takes; it may take as long as the disk needs.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn import<R>(&self, registrations: R) -> Result<ImportResponse, ClientError>
    where
        R: IntoIterator<Item = Registration, IntoIter: Send + 'static>,
    {
        let request = self.request(tokio_stream::iter(registrations));
        let answer = self.changes().import(request).await;
        self.answer("importing the schedule", answer)
    }

    /// Puts a damaged store aside and begins a new one with what can be got out of it. It takes as long as
    /// the disk needs.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn repair(&self) -> Result<RepairResponse, ClientError> {
        let answer = self.changes().repair(self.request(RepairRequest {})).await;
        self.answer("repairing the schedule", answer)
    }

    fn schedule(&self) -> ScheduleClient<Channel> {
        ScheduleClient::new(self.channel()).max_decoding_message_size(LARGEST_ANSWER)
    }

    fn changes(&self) -> ScheduleExecutableClient<Channel> {
        ScheduleExecutableClient::new(self.channel()).max_decoding_message_size(LARGEST_ANSWER)
    }
}

impl RegistrationStream {
    /// The next one, in the order in which they start at boot; `None` at the end.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn next(&mut self) -> Result<Option<Registration>, ClientError> {
        let message = self.registrations.message().await;
        message.map_err(|status| ClientError::call(&self.endpoint, &self.attempt, &status))
    }
}

impl ExportStream {
    /// The next thing of the store; `None` at the end.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn next(&mut self) -> Result<Option<Exported>, ClientError> {
        let message = self.items.message().await;
        let message =
            message.map_err(|status| ClientError::call(&self.endpoint, &self.attempt, &status))?;
        let Some(ExportItem { item }) = message else { return Ok(None) };
        match item {
            Some(Item::Registration(registration)) => {
                Ok(Some(Exported::Registration(registration)))
            }
            Some(Item::Damage(damage)) => Ok(Some(Exported::Damage(damage))),
            // To leave out a thing that this client does not know would make the export incomplete.
            None => Err(ClientError::Empty { attempt: self.attempt.clone() }),
        }
    }
}

fn only_named(name: &str) -> Executable {
    let meta = Some(AuraeMeta { name: name.to_owned(), ..AuraeMeta::default() });
    Executable { meta, ..Executable::default() }
}

#[cfg(test)]
mod tests {
    use tempfile::tempdir;
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_that_is_not_answered_is_given_up_later_than_a_question() {
        let folder = tempdir().unwrap();
        let path = folder.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        let client = Client::connect(Endpoint::Socket(path)).await.unwrap();
        let error = client.disable("a").await.unwrap_err();
        assert_eq!(error.to_string(), "disabling a: no answer within 60 s");
        let error = client.show("a").await.unwrap_err();
        assert_eq!(error.to_string(), "showing a: no answer within 10 s");
    }
}
