//! `runtime.Runtime`: executing, with the answer at the end or as it happens, and units.

use std::{sync::Arc, time::Duration};

use api::{
    meta::AuraeMeta,
    runtime::{
        Executable, ExecutableStatus, ForgetRequest, ForgetResponse, InspectRequest,
        InspectResponse, ListRequest, ReloadRequest, ReloadResponse, RestartRequest,
        RestartResponse, RunFrame, SignalRequest, SignalResponse, SignalWhom, StartRequest,
        StartResponse, StopRequest, StopResponse, UnitView, WaitRequest, WaitResponse,
        WatchRequest, WatchResponse, restart_request, runtime_server, start_request,
    },
};
use logs::LogName;
use prost::Message;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use units::{
    Answer, Execution, Name, Order, Origin, Refusal, RunId, StopHow, Target, UnitDetail, UnitSpec,
    Whom,
};

use super::{
    exec, origin,
    record::{record as on_the_wire, state},
    refused::{said, told},
    resume,
    run::Pump,
    status::{invalid, invalid_definition, no_unit, unanswered},
    unit::{self, name_of, named},
    usage, watching,
};
use crate::{
    definition,
    doors::{Call, Core, Unanswered, registered},
    spawning::log_of,
};

/// Frames that may wait for a client; with a batch behind them that is all a call holds in memory.
pub(super) const FRAMES: usize = 4;

/// The service.
pub(super) struct Runtime {
    core: Core,
    closed: watch::Receiver<bool>,
}

impl Runtime {
    /// Over this core.
    pub(super) fn new(core: Core, closed: watch::Receiver<bool>) -> Self {
        Self { core, closed }
    }

    /// Hands an executable in; the call, and where its output will be.
    async fn execute(
        &self,
        request: Request<Executable>,
        hears_start: bool,
    ) -> Result<(Call, LogName), Status> {
        let origin = origin::of(&request)?;
        let patience = origin::patience(request.metadata());
        let executable = request.into_inner();
        let name = said(executable.meta.as_ref());
        let execution = self.executable(executable).await;
        let execution = told(&self.core, ("execute", &name), &origin, execution)?;
        let log = log_of(&execution.name, execution.anonymous);
        let call = self.core.execute(execution, origin, patience, hears_start);
        Ok((call.map_err(|why| unanswered(&why))?, log))
    }

    /// What is to be executed, with every field looked at.
    async fn executable(&self, executable: Executable) -> Result<Execution, Status> {
        let execution = definition::execution(executable, &self.core.environment)
            .map_err(|why| invalid_definition(&why))?;
        if !execution.anonymous && self.core.schedule.holds(&execution.name).await {
            let name = &execution.name;
            let why = format!("the name {name} is registered; choose another, or destroy it first");
            return Err(Status::already_exists(why));
        }
        registered::supports(&self.core, &execution.setting.limits)
            .map_err(|why| no_unit(&why.into()))?;
        Ok(execution)
    }

    /// The unit that is to be brought up.
    async fn unit(
        &self,
        action: &'static str,
        what: Option<start_request::What>,
        origin: &Origin,
    ) -> Result<Arc<UnitSpec>, Status> {
        let name = match &what {
            Some(start_request::What::Name(name)) => name.clone(),
            Some(start_request::What::Executable(executable)) => said(executable.meta.as_ref()),
            None => String::new(),
        };
        let spec = match what {
            Some(start_request::What::Name(name)) => {
                registered::by_name(&self.core, &name).await.map_err(|why| no_unit(&why))
            }
            Some(start_request::What::Executable(it)) => unit::defined(&self.core, it).await,
            None => Err(invalid("what", "give a name or an executable")),
        };
        told(&self.core, (action, &name), origin, spec)
    }

    /// Brings a unit up: its name, its run, the main process of that; and whether it was up before.
    async fn up(
        &self,
        order: Order,
        origin: Origin,
        patience: Option<Duration>,
    ) -> Result<(Name, RunId, i32, bool), Status> {
        let answer = self.core.ask_within(order, origin, patience).await;
        let answer = answer.map_err(|why| unanswered(&why))?;
        let Answer::Up { name, run, pid, was_up } = answer else { return Err(out_of_turn(answer)) };
        Ok((name, run, pid, was_up))
    }
}

#[tonic::async_trait]
impl runtime_server::Runtime for Runtime {
    async fn exec(
        &self,
        request: Request<Executable>,
    ) -> Result<Response<ExecutableStatus>, Status> {
        if request.get_ref().resume.is_some() {
            return resume::exec(&self.core, request, self.closed.clone()).await.map(Response::new);
        }
        let (mut call, log) = self.execute(request, false).await?;
        let record = call.end().await.map_err(|why| unanswered(&why))?;
        let output = exec::read_output(&self.core, log, &record).await?;
        Ok(Response::new(exec::answer(&record, output)))
    }

    type RunStream = ReceiverStream<Result<RunFrame, Status>>;

    async fn run(&self, request: Request<Executable>) -> Result<Response<Self::RunStream>, Status> {
        if request.get_ref().resume.is_some() {
            return resume::run(&self.core, request, self.closed.clone()).await.map(Response::new);
        }
        let (mut call, log) = self.execute(request, true).await?;
        // A refusal is the call's own status.
        let first = call.step().await.map_err(|why| unanswered(&why))?;
        let (frames, stream) = mpsc::channel(FRAMES);
        let (core, closed) = (self.core.clone(), self.closed.clone());
        let pump = Pump { core, closed, call, frames, missing: 0, cursor: String::new() };
        tokio::spawn(async move {
            let frames = pump.frames.clone();
            if let Err(status) = pump.run(first, log).await {
                // A client that is gone needs no status.
                drop(frames.send(Err(status)).await);
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn stop(&self, request: Request<StopRequest>) -> Result<Response<StopResponse>, Status> {
        let origin = origin::of(&request)?;
        let patience = origin::patience(request.metadata());
        let StopRequest { meta, run_id, signal, kill } = request.into_inner();
        let (name, target) = (said(meta.as_ref()), target(meta, &run_id));
        let target = told(&self.core, ("stop", &name), &origin, target)?;
        let how = match (kill, signal) {
            (true, _) => StopHow::Kill,
            (false, 0) => StopHow::Usual,
            (false, signal) => StopHow::Signal(signal),
        };
        let answer = self.core.ask_within(Order::Stop { target, how }, origin, patience).await;
        let answer = answer.map_err(|why| unanswered(&why))?;
        let stopped = if let Answer::Stopping { run, name } = answer {
            StopResponse { meta: named(&name), run_id: run.to_string(), exit: None }
        } else if let Answer::Down { name, state: _, record } = answer {
            let exit = record.map(|record| on_the_wire(&record));
            let run_id = exit.as_ref().map_or_else(String::new, |exit| exit.run_id.clone());
            StopResponse { meta: named(&name), run_id, exit }
        } else {
            return Err(out_of_turn(answer));
        };
        Ok(Response::new(stopped))
    }

    async fn start(
        &self,
        request: Request<StartRequest>,
    ) -> Result<Response<StartResponse>, Status> {
        let origin = origin::of(&request)?;
        let patience = origin::patience(request.metadata());
        let spec = self.unit("start", request.into_inner().what, &origin).await?;
        let order = Order::Start { spec, run: None };
        let (name, run, pid, was_up) = self.up(order, origin, patience).await?;
        let (meta, run_id) = (named(&name), run.to_string());
        Ok(Response::new(StartResponse { meta, run_id, pid, was_up }))
    }

    async fn restart(
        &self,
        request: Request<RestartRequest>,
    ) -> Result<Response<RestartResponse>, Status> {
        let origin = origin::of(&request)?;
        let patience = origin::patience(request.metadata());
        let what = request.into_inner().what.map(|what| match what {
            restart_request::What::Name(name) => start_request::What::Name(name),
            restart_request::What::Executable(it) => start_request::What::Executable(it),
        });
        let spec = self.unit("restart", what, &origin).await?;
        let (name, run, pid, _) = self.up(Order::Restart { spec }, origin, patience).await?;
        Ok(Response::new(RestartResponse { meta: named(&name), run_id: run.to_string(), pid }))
    }

    async fn reload(
        &self,
        request: Request<ReloadRequest>,
    ) -> Result<Response<ReloadResponse>, Status> {
        let origin = origin::of(&request)?;
        let patience = origin::patience(request.metadata());
        let meta = request.into_inner().meta;
        let name = name_of(meta.as_ref());
        let name = told(&self.core, ("reload", &said(meta.as_ref())), &origin, name)?;
        let answer = self.core.ask_within(Order::Reload { name }, origin, patience).await;
        let answer = answer.map_err(|why| unanswered(&why))?;
        let Answer::Reloaded { name } = answer else { return Err(out_of_turn(answer)) };
        Ok(Response::new(ReloadResponse { meta: named(&name) }))
    }

    async fn signal(
        &self,
        request: Request<SignalRequest>,
    ) -> Result<Response<SignalResponse>, Status> {
        let origin = origin::of(&request)?;
        let SignalRequest { meta, run_id, signal, whom } = request.into_inner();
        let name = said(meta.as_ref());
        let whom = match SignalWhom::try_from(whom) {
            Ok(SignalWhom::Main) => Ok(Whom::Main),
            Ok(SignalWhom::All) => Ok(Whom::All),
            Err(_) => Err(invalid("whom", format!("{whom} is none of its values"))),
        };
        let to = target(meta, &run_id).and_then(|target| Ok((target, whom?)));
        let (target, whom) = told(&self.core, ("signal", &name), &origin, to)?;
        let answer = self.core.ask(Order::Signal { target, signal, whom }, origin).await;
        let answer = answer.map_err(|why| unanswered(&why))?;
        let Answer::Signalled { run } = answer else { return Err(out_of_turn(answer)) };
        let meta = Some(AuraeMeta { name, message: String::new() });
        Ok(Response::new(SignalResponse { meta, run_id: run.to_string() }))
    }

    async fn wait(&self, request: Request<WaitRequest>) -> Result<Response<WaitResponse>, Status> {
        let origin = origin::of(&request)?;
        let patience = origin::patience(request.metadata());
        let WaitRequest { meta, run_id } = request.into_inner();
        let target = target(meta, &run_id)?;
        let order = Order::Wait { target: target.clone() };
        let answer = match (self.core.ask_within(order, origin, patience).await, target) {
            (Err(why @ Unanswered::Refused(Refusal::NoSuchRun(_))), Target::Run(run)) => {
                let exit = resume::end_in_log(&self.core, run).await?;
                let exit = Some(exit.ok_or_else(|| unanswered(&why))?);
                return Ok(Response::new(WaitResponse { exit, ..WaitResponse::default() }));
            }
            (answer, _) => answer.map_err(|why| unanswered(&why))?,
        };
        let waited = if let Answer::Ended(record) = answer {
            let (meta, exit) = (named(&record.name), Some(on_the_wire(&record)));
            WaitResponse { meta, exit, ..WaitResponse::default() }
        } else if let Answer::Down { name, state: down, record } = answer {
            let exit = record.map(|record| on_the_wire(&record));
            WaitResponse { meta: named(&name), exit, state: state(down).into() }
        } else {
            return Err(out_of_turn(answer));
        };
        Ok(Response::new(waited))
    }

    type ListStream = tokio_stream::Iter<std::vec::IntoIter<Result<UnitView, Status>>>;

    async fn list(
        &self,
        request: Request<ListRequest>,
    ) -> Result<Response<Self::ListStream>, Status> {
        let origin = origin::of(&request)?;
        let with_usage = request.into_inner().usage;
        let answer = self.core.ask(Order::List, origin).await.map_err(|why| unanswered(&why))?;
        let Answer::Units(units) = answer else { return Err(out_of_turn(answer)) };
        let views = if with_usage {
            usage::with_usage(&self.core, units).await?
        } else {
            units.iter().map(|view| unit::view(view, None)).collect()
        };
        let views: Vec<_> = views.into_iter().map(Ok).collect();
        Ok(Response::new(tokio_stream::iter(views)))
    }

    async fn inspect(
        &self,
        request: Request<InspectRequest>,
    ) -> Result<Response<InspectResponse>, Status> {
        let origin = origin::of(&request)?;
        let name = name_of(request.into_inner().meta.as_ref())?;
        let detail = registered::inspect(&self.core, name.clone(), origin).await;
        let UnitDetail { view, spec, control: _, changes } = match detail {
            Ok(detail) => detail,
            Err(why) => return Err(unit::unknown(&self.core, &name, &why).await),
        };
        let executable = Executable::decode(&*spec.definition).map(definition::complete);
        let changes = changes.iter().map(|change| unit::change(change)).collect();
        let unit = usage::in_full(&self.core, view).await?;
        Ok(Response::new(InspectResponse {
            unit: Some(unit),
            executable: executable.ok(),
            changes,
        }))
    }

    async fn forget(
        &self,
        request: Request<ForgetRequest>,
    ) -> Result<Response<ForgetResponse>, Status> {
        let origin = origin::of(&request)?;
        let ForgetRequest { meta, all } = request.into_inner();
        let which = match (&meta, all) {
            (None, true) => Ok(None),
            (Some(_), true) => Err(invalid("all", "there is a name too; give one of both")),
            (meta, false) => name_of(meta.as_ref()).map(Some),
        };
        let which = told(&self.core, ("forget", &said(meta.as_ref())), &origin, which)?;
        let name = which.clone();
        let answer = match (self.core.ask(Order::Forget { which }, origin).await, name) {
            (Err(why), Some(name)) => return Err(unit::unknown(&self.core, &name, &why).await),
            (answer, _) => answer.map_err(|why| unanswered(&why))?,
        };
        let Answer::Forgotten(names) = answer else { return Err(out_of_turn(answer)) };
        let names = names.iter().map(Name::to_string).collect();
        Ok(Response::new(ForgetResponse { names }))
    }

    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        origin::of(&request)?;
        watching::watch(&self.core, request.into_inner(), self.closed.clone()).map(Response::new)
    }
}

/// The run or unit that a request names, by one of both.
fn target(meta: Option<AuraeMeta>, run_id: &str) -> Result<Target, Status> {
    let name = meta.unwrap_or_default().name;
    match (name.is_empty(), run_id.is_empty()) {
        (true, true) => Err(invalid("run_id", "there is none, and no name; give one")),
        (false, false) => Err(invalid("run_id", "there is a name too; give one")),
        (true, false) => run_id.parse().map(Target::Run).map_err(|why| invalid("run_id", why)),
        (false, true) => name.parse().map(Target::Name).map_err(|why| invalid("meta.name", why)),
    }
}

/// An answer that the core does not give to this order.
fn out_of_turn(answer: Answer) -> Status {
    tracing::error!(?answer, "the core answered something else");
    unanswered(&Unanswered::OutOfTurn)
}
