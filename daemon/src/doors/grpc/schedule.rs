//! `schedule.Schedule` and `schedule.ScheduleExecutable`: on the wire, and not served yet.

use api::{
    runtime::Executable,
    schedule::{
        ExecutableDestroyResponse, ExecutableDisableResponse, ExecutableEnableResponse,
        ShowDisabledRequest, ShowDisabledResponse, ShowEnabledRequest, ShowEnabledResponse,
        schedule_executable_server::ScheduleExecutable, schedule_server,
    },
};
use tonic::{Request, Response, Status};

/// Answers UNIMPLEMENTED, as the wire has it for calls that are not served.
pub(super) struct Schedule;

fn unimplemented<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("the schedule is not served by this version of the daemon"))
}

#[tonic::async_trait]
impl schedule_server::Schedule for Schedule {
    async fn show_enabled(
        &self,
        _: Request<ShowEnabledRequest>,
    ) -> Result<Response<ShowEnabledResponse>, Status> {
        unimplemented()
    }

    async fn show_disabled(
        &self,
        _: Request<ShowDisabledRequest>,
    ) -> Result<Response<ShowDisabledResponse>, Status> {
        unimplemented()
    }
}

#[tonic::async_trait]
impl ScheduleExecutable for Schedule {
    async fn enable(
        &self,
        _: Request<Executable>,
    ) -> Result<Response<ExecutableEnableResponse>, Status> {
        unimplemented()
    }

    async fn disable(
        &self,
        _: Request<Executable>,
    ) -> Result<Response<ExecutableDisableResponse>, Status> {
        unimplemented()
    }

    async fn destroy(
        &self,
        _: Request<Executable>,
    ) -> Result<Response<ExecutableDestroyResponse>, Status> {
        unimplemented()
    }
}
