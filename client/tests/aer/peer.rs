//! The other end of the wire: a gRPC server that says what a test tells it to say, and remembers what it was
//! asked. It has no logic of a daemon.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use api::{
    REASON_KEY,
    observe::{
        GetAuraeDaemonLogStreamRequest, GetSubProcessStreamRequest, LogBatch, LogItem, LogsRequest,
        StatusRequest, StatusResponse,
        observe_server::{Observe, ObserveServer},
    },
    runtime::{
        Executable, ExecutableStatus, ForgetRequest, ForgetResponse, InspectRequest,
        InspectResponse, ListRequest, ReloadRequest, ReloadResponse, RestartRequest,
        RestartResponse, RunFrame, SignalRequest, SignalResponse, StartRequest, StartResponse,
        StopRequest, StopResponse, UnitView, WaitRequest, WaitResponse, WatchRequest,
        WatchResponse,
        exit_record::Cause,
        run_frame::Frame,
        runtime_server::{Runtime, RuntimeServer},
    },
    schedule::{
        ExportItem, ImportResponse, Registration, RepairResponse, Selection,
        schedule_executable_server::ScheduleExecutableServer, schedule_server::ScheduleServer,
    },
};
use tempfile::{TempDir, tempdir};
use tokio::{net::UnixListener, sync::broadcast};
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::{Request, Response, Status, transport::Server};

use crate::{
    exit, frame,
    schedule_peer::{Answers, Changing},
    unit_peer::{Called, Units},
};

/// How long a test waits for what must happen.
const SOON: Duration = Duration::from_secs(20);

/// What the peer does after the frames of a script.
#[derive(Clone, Debug)]
pub(crate) enum Then {
    /// Ends the stream.
    End,
    /// Ends the call with a status.
    Fail(Status),
    /// Prints each order to stop on standard error; ends with SIGKILL where the order is to kill.
    ObeyStops,
    /// Prints each order to stop on standard error, and goes on.
    IgnoreStops,
    /// Prints until nobody takes it.
    PrintForever,
}

/// What the peer says.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// What Run streams first.
    pub(crate) frames: Vec<RunFrame>,
    /// What Run and Exec do then.
    pub(crate) then: Then,
    /// What Exec answers.
    pub(crate) answer: ExecutableStatus,
    /// What Status answers.
    pub(crate) status: StatusResponse,
    /// What Logs streams.
    pub(crate) batches: Vec<LogBatch>,
    /// What List streams; Show answers the first that has the name.
    pub(crate) registrations: Vec<Registration>,
    /// What Export streams.
    pub(crate) items: Vec<ExportItem>,
    /// What Import answers.
    pub(crate) import: ImportResponse,
    /// What Repair answers.
    pub(crate) repair: RepairResponse,
    /// What calls about units answer.
    pub(crate) units: Units,
    /// What a change of a name is refused with.
    pub(crate) refused: Vec<(&'static str, Status)>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            frames: Vec::new(),
            then: Then::End,
            answer: ExecutableStatus::default(),
            status: StatusResponse::default(),
            batches: Vec::new(),
            registrations: Vec::new(),
            items: Vec::new(),
            import: ImportResponse::default(),
            repair: RepairResponse::default(),
            units: Units::default(),
            refused: Vec::new(),
        }
    }
}

/// What the peer was asked.
#[derive(Debug)]
pub(crate) enum Asked {
    Change(Changing, Executable, Option<String>),
    List(Selection),
    Show(String),
    Export,
    Import(Vec<Registration>),
    Repair,
    Execute(Executable, Option<String>),
    Stop(StopRequest),
    Unit(Called, Option<String>),
    Logs(LogsRequest),
}

pub(crate) struct Peer {
    _folder: TempDir,
    pub(crate) socket: PathBuf,
    asked: mpsc::Receiver<Asked>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Peer {
    pub(crate) fn new(script: Script) -> Self {
        let folder = tempdir().unwrap();
        let socket = folder.path().join("aurae.sock");
        let (asked, receiver) = mpsc::sync_channel(64);
        let (stops, _) = broadcast::channel(8);
        let voice = Arc::new(Voice { script, asked: Mutex::new(asked), stops });
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let listener = {
            let _entered = runtime.enter();
            UnixListenerStream::new(UnixListener::bind(&socket).unwrap())
        };
        let server = Server::builder()
            .add_service(RuntimeServer::from_arc(Arc::clone(&voice)))
            .add_service(ObserveServer::from_arc(Arc::clone(&voice)))
            .add_service(ScheduleServer::from_arc(Arc::clone(&voice)))
            .add_service(ScheduleExecutableServer::from_arc(voice));
        runtime.spawn(server.serve_with_incoming(listener));
        Self { _folder: folder, socket, asked: receiver, runtime: Some(runtime) }
    }

    /// The next thing that it was asked.
    pub(crate) fn asked(&self) -> Asked {
        self.asked.recv_timeout(SOON).expect("the peer was asked nothing")
    }

    /// The next order to stop.
    pub(crate) fn stop(&self) -> StopRequest {
        loop {
            if let Asked::Stop(stop) = self.asked() {
                return stop;
            }
        }
    }

    /// Dies, its connections with it.
    pub(crate) fn vanish(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.vanish();
    }
}

pub(crate) struct Voice {
    pub(crate) script: Script,
    asked: Mutex<mpsc::SyncSender<Asked>>,
    stops: broadcast::Sender<StopRequest>,
}

impl Voice {
    pub(crate) fn note(&self, asked: Asked) {
        self.asked.lock().unwrap().send(asked).ok();
    }

    fn note_execute(&self, request: Request<Executable>) {
        let reason = reason(&request);
        self.note(Asked::Execute(request.into_inner(), reason));
    }
}

pub(crate) fn reason<T>(request: &Request<T>) -> Option<String> {
    request.metadata().get(REASON_KEY).map(|value| value.to_str().unwrap().into())
}

#[tonic::async_trait]
impl Runtime for Voice {
    type RunStream = ReceiverStream<Result<RunFrame, Status>>;

    async fn exec(
        &self,
        request: Request<Executable>,
    ) -> Result<Response<ExecutableStatus>, Status> {
        let mut stops = self.stops.subscribe();
        self.note_execute(request);
        match &self.script.then {
            Then::Fail(status) => return Err(status.clone()),
            Then::ObeyStops => while !stops.recv().await.unwrap().kill {},
            Then::End | Then::IgnoreStops | Then::PrintForever => {}
        }
        Ok(Response::new(self.script.answer.clone()))
    }

    async fn run(&self, request: Request<Executable>) -> Result<Response<Self::RunStream>, Status> {
        let mut stops = self.stops.subscribe();
        self.note_execute(request);
        let (frames, receiver) = tokio::sync::mpsc::channel(4);
        let Script { frames: first, then, .. } = self.script.clone();
        if let (Then::Fail(status), true) = (&then, first.is_empty()) {
            return Err(status.clone());
        }
        tokio::spawn(async move {
            for frame in first {
                frames.send(Ok(frame)).await?;
            }
            match then {
                Then::End => {}
                Then::Fail(status) => frames.send(Err(status)).await?,
                Then::PrintForever => loop {
                    let line = b"line\n".repeat(2000);
                    frames.send(Ok(frame(Frame::Stdout(line.into())))).await?;
                },
                Then::ObeyStops | Then::IgnoreStops => loop {
                    let stop = stops.recv().await.unwrap();
                    let line = format!("signal {} kill {}\n", stop.signal, stop.kill);
                    frames.send(Ok(frame(Frame::Stderr(line.into())))).await?;
                    if stop.kill && matches!(then, Then::ObeyStops) {
                        frames.send(Ok(exit(Cause::Signal(9)))).await?;
                        break;
                    }
                },
            }
            Ok::<_, tokio::sync::mpsc::error::SendError<_>>(())
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        if let Some(answer) = &self.script.units.stopped {
            return self.called(request, Called::Stop, answer);
        }
        let stop = request.into_inner();
        self.note(Asked::Stop(stop.clone()));
        let known = self.stops.send(stop).is_ok();
        let answer = Response::new(StopResponse::default());
        if known { Ok(answer) } else { Err(Status::not_found("no such run")) }
    }

    type ListStream = Answers<UnitView>;
    type WatchStream = Answers<WatchResponse>;

    async fn start(
        &self,
        request: Request<StartRequest>,
    ) -> Result<Response<StartResponse>, Status> {
        self.called(request, Called::Start, &self.script.units.started)
    }

    async fn restart(
        &self,
        request: Request<RestartRequest>,
    ) -> Result<Response<RestartResponse>, Status> {
        self.called(request, Called::Restart, &self.script.units.restarted)
    }

    async fn reload(
        &self,
        request: Request<ReloadRequest>,
    ) -> Result<Response<ReloadResponse>, Status> {
        self.called(request, Called::Reload, &ReloadResponse::default())
    }

    async fn signal(
        &self,
        request: Request<SignalRequest>,
    ) -> Result<Response<SignalResponse>, Status> {
        self.called(request, Called::Signal, &SignalResponse::default())
    }

    async fn wait(&self, request: Request<WaitRequest>) -> Result<Response<WaitResponse>, Status> {
        self.called(request, Called::Wait, &self.script.units.waited)
    }

    async fn list(
        &self,
        request: Request<ListRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let views = self.called(request, Called::List, &self.script.units.views)?.into_inner();
        Ok(Response::new(tokio_stream::iter(views.into_iter().map(Ok).collect::<Vec<_>>())))
    }

    async fn inspect(
        &self,
        request: Request<InspectRequest>,
    ) -> Result<Response<InspectResponse>, Status> {
        self.called(request, Called::Inspect, &self.script.units.inspected)
    }

    async fn forget(
        &self,
        request: Request<ForgetRequest>,
    ) -> Result<Response<ForgetResponse>, Status> {
        self.called(request, Called::Forget, &self.script.units.forgotten)
    }

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let events = self.called(request, Called::Watch, &self.script.units.events)?.into_inner();
        Ok(Response::new(tokio_stream::iter(events.into_iter().map(Ok).collect::<Vec<_>>())))
    }
}

#[tonic::async_trait]
impl Observe for Voice {
    type GetAuraeDaemonLogStreamStream = ReceiverStream<Result<LogItem, Status>>;
    type GetSubProcessStreamStream = ReceiverStream<Result<LogItem, Status>>;
    type LogsStream = tokio_stream::Iter<std::vec::IntoIter<Result<LogBatch, Status>>>;

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(self.script.status.clone()))
    }

    async fn logs(
        &self,
        request: Request<LogsRequest>,
    ) -> Result<Response<Self::LogsStream>, Status> {
        self.note(Asked::Logs(request.into_inner()));
        let mut batches: Vec<_> = self.script.batches.iter().cloned().map(Ok).collect();
        if let Then::Fail(status) = &self.script.then {
            batches.push(Err(status.clone()));
        }
        Ok(Response::new(tokio_stream::iter(batches)))
    }

    async fn get_aurae_daemon_log_stream(
        &self,
        _: Request<GetAuraeDaemonLogStreamRequest>,
    ) -> Result<Response<Self::GetAuraeDaemonLogStreamStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_sub_process_stream(
        &self,
        _: Request<GetSubProcessStreamRequest>,
    ) -> Result<Response<Self::GetSubProcessStreamStream>, Status> {
        Err(Status::unimplemented(""))
    }
}
