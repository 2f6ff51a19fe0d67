//! The first generation (2023-05): everything in envelopes, and faults as gRPC's unknown errors.

use api::drunc::first::{
    Request as Envelope, Response as Answer,
    dune_process_manager::{
        BootRequest, LogLine, LogRequest, ProcessInstance, ProcessInstanceList, ProcessQuery,
        ProcessUuid, process_manager_server,
    },
};
use prost::Message;
use prost_types::Any;
use tonic::{Request, Response, Status};

use super::{
    connection::Peer,
    envelope::{pack, same, unpack},
    fault::Fault,
    finish,
    process::{Generation, Process},
    processes::{Caller, Processes},
    selection::Selection,
};

/// The service.
#[derive(Clone)]
pub(super) struct First(pub(super) Processes);

/// A message of the package's, in an envelope.
fn packed<M: Message>(name: &str, message: &M) -> Any {
    pack(&format!("DUNEProcessManager.{name}"), message)
}

fn unpacked<M: Message + Default>(name: &str, data: Option<&Any>) -> Result<M, Fault> {
    unpack(&format!("DUNEProcessManager.{name}"), data)
}

fn selection(query: &ProcessQuery) -> Result<Selection, Fault> {
    let uuid = query.uuid.as_ref().map(|uuid| uuid.uuid.as_str());
    let ProcessQuery { user, session, name, .. } = query;
    Selection::all([uuid, user.as_deref(), session.as_deref(), name.as_deref()])
}

/// In the form of this generation.
fn status(why: &Fault) -> Status {
    match why {
        Fault::Unauthorised(_) => Status::permission_denied(why.to_string()),
        Fault::NotImplemented(_) => Status::unimplemented(why.to_string()),
        Fault::Form(_)
        | Fault::NoProcess
        | Fault::Several
        | Fault::Dead(_)
        | Fault::NoHost
        | Fault::Failed(_) => Status::unknown(why.to_string()),
    }
}

fn one(process: &Process) -> Any {
    let instance: ProcessInstance = same(&process.instance());
    packed("ProcessInstance", &instance)
}

fn list(processes: &[Process]) -> Any {
    let values = processes.iter().map(|process| same(&process.instance())).collect();
    packed("ProcessInstanceList", &ProcessInstanceList { values })
}

/// The first that is dead already.
fn all_live(processes: &[Process]) -> Result<(), Fault> {
    match processes.iter().find(|process| !process.lives()) {
        Some(dead) => Err(Fault::Dead(dead.uuid.clone())),
        None => Ok(()),
    }
}

impl First {
    fn open(
        &self,
        request: Request<Envelope>,
        operation: &str,
    ) -> Result<(Caller, Envelope), Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let asked = request.into_inner();
        let name = asked.token.as_ref().map(|token| token.user_name.as_str()).unwrap_or_default();
        let caller = self.0.caller(peer.as_ref(), name, (Generation::First, operation));
        Ok((caller.map_err(|why| status(&why))?, asked))
    }

    /// Does what is asked for with a query.
    async fn with_query<F>(
        &self,
        request: Request<Envelope>,
        operation: &str,
        act: impl FnOnce(Processes, Caller, ProcessQuery, Selection) -> F,
    ) -> Result<Response<Answer>, Status>
    where
        F: Future<Output = Result<Any, Fault>> + Send + 'static,
    {
        let (caller, asked) = self.open(request, operation)?;
        let selected = unpacked("ProcessQuery", asked.data.as_ref())
            .and_then(|query: ProcessQuery| Ok((selection(&query)?, query)));
        let (selection, query) = selected.map_err(|why| status(&why))?;
        let act = act(self.0.clone(), caller, query, selection);
        answer(asked, finish(act).await)
    }
}

fn answer(asked: Envelope, outcome: Result<Any, Fault>) -> Result<Response<Answer>, Status> {
    let data = outcome.map_err(|why| status(&why))?;
    Ok(Response::new(Answer { token: asked.token, data: Some(data) }))
}

#[tonic::async_trait]
impl process_manager_server::ProcessManager for First {
    async fn boot(&self, request: Request<Envelope>) -> Result<Response<Answer>, Status> {
        let (caller, asked) = self.open(request, "boot")?;
        let request: Result<BootRequest, Fault> = unpacked("BootRequest", asked.data.as_ref());
        let request = request.map_err(|why| status(&why))?;
        let processes = self.0.clone();
        let booted = finish(async move {
            let description = request.process_description.as_ref().map(same);
            let restriction = request.process_restriction.as_ref().map(same);
            processes.boot(&caller, description, restriction).await
        });
        answer(asked, booted.await.map(|process| one(&process)))
    }

    async fn restart(&self, request: Request<Envelope>) -> Result<Response<Answer>, Status> {
        let act = |processes: Processes, caller, _, selection| async move {
            processes.restart(&caller, &selection).await.map(|process| one(&process))
        };
        self.with_query(request, "restart", act).await
    }

    async fn is_alive(&self, request: Request<Envelope>) -> Result<Response<Answer>, Status> {
        let act = |processes: Processes, caller, _, selection: Selection| async move {
            selection.one_of(processes.all(&caller, false).await?).map(|process| one(&process))
        };
        self.with_query(request, "is_alive", act).await
    }

    async fn kill(&self, request: Request<Envelope>) -> Result<Response<Answer>, Status> {
        let act = |processes: Processes, caller, _, selection: Selection| async move {
            let meant = vec![selection.one_of(processes.all(&caller, false).await?)?];
            all_live(&meant)?;
            let killed = processes.end(&caller, meant, false).await?;
            killed.first().map(one).ok_or(Fault::NoProcess)
        };
        self.with_query(request, "kill", act).await
    }

    async fn killall(&self, request: Request<Envelope>) -> Result<Response<Answer>, Status> {
        let act = |processes: Processes, caller, query: ProcessQuery, selection| async move {
            let mut meant = processes.select(&caller, &selection).await?;
            if query.force {
                meant.retain(Process::lives);
            }
            // Before any is killed.
            all_live(&meant)?;
            Ok(list(&processes.end(&caller, meant, false).await?))
        };
        self.with_query(request, "killall", act).await
    }

    async fn flush(&self, request: Request<Envelope>) -> Result<Response<Answer>, Status> {
        let act = |processes: Processes, caller, _, selection| async move {
            Ok(list(&processes.flush(&caller, &selection).await?))
        };
        self.with_query(request, "flush", act).await
    }

    async fn list_process(&self, request: Request<Envelope>) -> Result<Response<Answer>, Status> {
        let act = |processes: Processes, caller, _, selection| async move {
            Ok(list(&processes.select(&caller, &selection).await?))
        };
        self.with_query(request, "list_process", act).await
    }

    type logsStream = tokio_stream::Iter<std::vec::IntoIter<Result<LogLine, Status>>>;

    async fn logs(&self, request: Request<Envelope>) -> Result<Response<Self::logsStream>, Status> {
        let (caller, asked) = self.open(request, "logs")?;
        let asked: Result<LogRequest, Fault> = unpacked("LogRequest", asked.data.as_ref());
        let LogRequest { query, how_far } = asked.map_err(|why| status(&why))?;
        let selection = selection(&query.unwrap_or_default()).map_err(|why| status(&why))?;
        let read = self.0.logs(&caller, &selection, how_far).await;
        let (uuid, lines) = read.map_err(|why| status(&why))?;
        let of = |line| Ok(LogLine { uuid: Some(ProcessUuid { uuid: uuid.clone() }), line });
        let lines: Vec<_> = lines.into_iter().map(of).collect();
        Ok(Response::new(tokio_stream::iter(lines)))
    }
}
