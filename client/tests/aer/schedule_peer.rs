//! What the peer says of the schedule.

use api::{
    meta::AuraeMeta,
    runtime::Executable,
    schedule::{
        ExecutableDestroyResponse, ExecutableDisableResponse, ExecutableEnableResponse, ExportItem,
        ExportRequest, ImportResponse, ListRequest, Registration, RepairRequest, RepairResponse,
        ShowDisabledRequest, ShowDisabledResponse, ShowEnabledRequest, ShowEnabledResponse,
        ShowRequest, ShowResponse, schedule_executable_server::ScheduleExecutable,
        schedule_server::Schedule,
    },
};
use tonic::{Request, Response, Status, Streaming};

use crate::peer::{Asked, Then, Voice, reason};

/// Which call it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changing {
    Enable,
    Disable,
    Destroy,
}

pub(crate) type Answers<T> = tokio_stream::Iter<std::vec::IntoIter<Result<T, Status>>>;

impl Voice {
    fn change(
        &self,
        changing: Changing,
        request: Request<Executable>,
    ) -> Result<Option<AuraeMeta>, Status> {
        let reason = reason(&request);
        let executable = request.into_inner();
        let meta = executable.meta.clone();
        self.note(Asked::Change(changing, executable, reason));
        let name = meta.as_ref().map_or("", |meta| meta.name.as_str());
        let refused = self.script.refused.iter().find(|(refused, _)| *refused == name);
        refused.map_or(Ok(meta), |(_, status)| Err(status.clone()))
    }

    /// The answers, and then what the script has for the end.
    fn answers<T: Clone>(&self, answers: &[T]) -> Response<Answers<T>> {
        let mut answers: Vec<_> = answers.iter().cloned().map(Ok).collect();
        if let Then::Fail(status) = &self.script.then {
            answers.push(Err(status.clone()));
        }
        Response::new(tokio_stream::iter(answers))
    }
}

#[tonic::async_trait]
impl Schedule for Voice {
    type ListStream = Answers<Registration>;
    type ExportStream = Answers<ExportItem>;

    async fn list(
        &self,
        request: Request<ListRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        self.note(Asked::List(request.into_inner().selection()));
        Ok(self.answers(&self.script.registrations))
    }

    async fn show(&self, request: Request<ShowRequest>) -> Result<Response<ShowResponse>, Status> {
        let name = request.into_inner().meta.unwrap().name;
        self.note(Asked::Show(name.clone()));
        if let Then::Fail(status) = &self.script.then {
            return Err(status.clone());
        }
        let called = |registration: &&Registration| {
            let executable = registration.executable.as_ref().unwrap();
            executable.meta.as_ref().unwrap().name == name
        };
        let registration = self.script.registrations.iter().find(called).cloned();
        Ok(Response::new(ShowResponse { registration }))
    }

    async fn export(
        &self,
        _: Request<ExportRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        self.note(Asked::Export);
        Ok(self.answers(&self.script.items))
    }

    async fn show_enabled(
        &self,
        _: Request<ShowEnabledRequest>,
    ) -> Result<Response<ShowEnabledResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn show_disabled(
        &self,
        _: Request<ShowDisabledRequest>,
    ) -> Result<Response<ShowDisabledResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tonic::async_trait]
impl ScheduleExecutable for Voice {
    async fn enable(
        &self,
        request: Request<Executable>,
    ) -> Result<Response<ExecutableEnableResponse>, Status> {
        let meta = self.change(Changing::Enable, request)?;
        Ok(Response::new(ExecutableEnableResponse { meta }))
    }

    async fn disable(
        &self,
        request: Request<Executable>,
    ) -> Result<Response<ExecutableDisableResponse>, Status> {
        let meta = self.change(Changing::Disable, request)?;
        Ok(Response::new(ExecutableDisableResponse { meta }))
    }

    async fn destroy(
        &self,
        request: Request<Executable>,
    ) -> Result<Response<ExecutableDestroyResponse>, Status> {
        let meta = self.change(Changing::Destroy, request)?;
        Ok(Response::new(ExecutableDestroyResponse { meta }))
    }

    async fn import(
        &self,
        request: Request<Streaming<Registration>>,
    ) -> Result<Response<ImportResponse>, Status> {
        let mut stream = request.into_inner();
        let mut registrations = Vec::new();
        // With a status before the first one is read: a daemon need not read on what it refuses.
        if let Then::Fail(status) = &self.script.then {
            return Err(status.clone());
        }
        while let Some(registration) = stream.message().await? {
            registrations.push(registration);
        }
        self.note(Asked::Import(registrations));
        Ok(Response::new(self.script.import))
    }

    async fn repair(&self, _: Request<RepairRequest>) -> Result<Response<RepairResponse>, Status> {
        self.note(Asked::Repair);
        match &self.script.then {
            Then::Fail(status) => Err(status.clone()),
            Then::End | Then::ObeyStops | Then::IgnoreStops | Then::PrintForever => {
                Ok(Response::new(self.script.repair.clone()))
            }
        }
    }
}
