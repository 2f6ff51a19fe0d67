//! What the peer says of units.

use api::runtime::{
    ForgetRequest, ForgetResponse, InspectRequest, InspectResponse, ListRequest, ReloadRequest,
    RestartRequest, RestartResponse, SignalRequest, StartRequest, StartResponse, StopRequest,
    StopResponse, UnitView, WaitRequest, WaitResponse, WatchRequest, WatchResponse,
    restart_request, start_request,
};
use tonic::{Request, Response, Status};

use crate::peer::{Asked, Voice, reason};

/// What calls about units answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Units {
    pub(crate) started: StartResponse,
    pub(crate) restarted: RestartResponse,
    /// None: an order to stop is for runs.
    pub(crate) stopped: Option<StopResponse>,
    pub(crate) waited: WaitResponse,
    pub(crate) views: Vec<UnitView>,
    pub(crate) inspected: InspectResponse,
    pub(crate) forgotten: ForgetResponse,
    pub(crate) events: Vec<WatchResponse>,
}

/// A call about units.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Called {
    Start(StartRequest),
    Stop(StopRequest),
    Restart(RestartRequest),
    Reload(ReloadRequest),
    Signal(SignalRequest),
    Wait(WaitRequest),
    List(ListRequest),
    Inspect(InspectRequest),
    Forget(ForgetRequest),
    Watch(WatchRequest),
}

impl Called {
    /// The name it is about, if it is about one.
    fn name(&self) -> String {
        let meta = match self {
            Self::Start(StartRequest { what: Some(start_request::What::Name(name)) })
            | Self::Restart(RestartRequest { what: Some(restart_request::What::Name(name)) }) => {
                return name.clone();
            }
            Self::Start(_) | Self::Restart(_) | Self::List(_) | Self::Watch(_) => None,
            Self::Stop(request) => request.meta.clone(),
            Self::Reload(request) => request.meta.clone(),
            Self::Signal(request) => request.meta.clone(),
            Self::Wait(request) => request.meta.clone(),
            Self::Inspect(request) => request.meta.clone(),
            Self::Forget(request) => request.meta.clone(),
        };
        meta.unwrap_or_default().name
    }
}

impl Voice {
    /// Notes the call, and answers as the script says.
    pub(crate) fn called<Q, A: Clone>(
        &self,
        request: Request<Q>,
        called: fn(Q) -> Called,
        answer: &A,
    ) -> Result<Response<A>, Status> {
        let reason = reason(&request);
        let called = called(request.into_inner());
        let name = called.name();
        self.note(Asked::Unit(called, reason));
        let refused = self.script.refused.iter().find(|(refused, _)| *refused == name);
        refused.map_or(Ok(Response::new(answer.clone())), |(_, status)| Err(status.clone()))
    }
}
