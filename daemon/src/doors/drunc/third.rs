//! The third generation (drunc 0.7 to 0.10.6): everything in envelopes, and faults as answers with a flag.

use api::drunc::{
    fourth,
    third::{
        BootRequest, CommandDescription, Description, LogLine, LogRequest, PlainText,
        ProcessInstance, ProcessInstanceList, ProcessQuery, ProcessUuid, Request as Envelope,
        Response as Answer, ResponseFlag, Stacktrace, process_manager_server,
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
pub(super) struct Third(pub(super) Processes);

/// What it serves: name, what it takes, what it does, what it answers.
const COMMANDS: [[&str; 4]; 8] = [
    ["describe", "None", "Tells who answers and what is served.", "Description"],
    ["boot", "BootRequest", "Starts a process.", "ProcessInstance"],
    ["terminate", "None", "Ends all processes of this process manager.", "ProcessInstanceList"],
    [
        "restart",
        "ProcessQuery",
        "Starts exactly one process again, under its uuid.",
        "ProcessInstance",
    ],
    ["kill", "ProcessQuery", "Ends processes, and tells of them no more.", "ProcessInstanceList"],
    ["flush", "ProcessQuery", "Forgets dead processes.", "ProcessInstanceList"],
    ["ps", "ProcessQuery", "Tells how processes are.", "ProcessInstanceList"],
    ["logs", "LogRequest", "The last lines of exactly one process.", "LogLine"],
];

/// A message of the package's, in an envelope.
fn packed<M: Message>(name: &str, message: &M) -> Any {
    pack(&format!("dunedaq.druncschema.{name}"), message)
}

fn unpacked<M: Message + Default>(name: &str, data: Option<&Any>) -> Result<M, Fault> {
    unpack(&format!("dunedaq.druncschema.{name}"), data)
}

fn selection(query: ProcessQuery) -> Result<Selection, Fault> {
    let ProcessQuery { uuids, names, user, session } = query;
    Selection::any(uuids.into_iter().map(|uuid| uuid.uuid).collect(), &names, user, session)
}

/// In the form of this generation.
fn fault(why: &Fault) -> (ResponseFlag, Any) {
    let text = why.to_string();
    let plain = |text| packed("PlainText", &PlainText { text });
    match why {
        Fault::Unauthorised(_) => (ResponseFlag::NotExecutedNotAuthorised, plain(text)),
        Fault::Form(_) => (ResponseFlag::NotExecutedBadRequestFormat, plain(text)),
        Fault::NotImplemented(_) => (ResponseFlag::NotExecutedNotImplemented, plain(text)),
        Fault::NoProcess | Fault::Several | Fault::Dead(_) | Fault::NoHost | Fault::Failed(_) => {
            let lines = Stacktrace { text: vec![text] };
            (ResponseFlag::DruncExceptionThrown, packed("Stacktrace", &lines))
        }
    }
}

/// A process as this generation is told of it: its shell cannot show one without a place among the others.
fn instance(process: &Process) -> ProcessInstance {
    let mut instance: ProcessInstance = same(&process.instance());
    let metadata = instance.process_description.as_mut().and_then(|it| it.metadata.as_mut());
    if let Some(metadata) = metadata
        && metadata.tree_id.as_deref().unwrap_or_default().is_empty()
    {
        metadata.tree_id = Some(format!("0.0.{}", process.ordinal));
    }
    instance
}

fn list(processes: &[Process]) -> Any {
    let values = processes.iter().map(instance).collect();
    packed("ProcessInstanceList", &ProcessInstanceList { values })
}

impl Third {
    fn caller(&self, request: &Request<Envelope>, operation: &str) -> Result<Caller, Fault> {
        let token = request.get_ref().token.as_ref();
        let name = token.map(|token| token.user_name.as_str()).unwrap_or_default();
        let peer = request.extensions().get::<Peer>();
        self.0.caller(peer, name, (Generation::Third, operation))
    }

    /// An answer of either kind.
    fn answer(&self, asked: Envelope, outcome: Result<Any, Fault>) -> Answer {
        let (flag, data) = match outcome {
            Ok(data) => (ResponseFlag::ExecutedSuccessfully, data),
            Err(why) => fault(&why),
        };
        Answer {
            name: self.0.node().to_owned(),
            token: asked.token,
            data: Some(data),
            flag: flag.into(),
            children: Vec::new(),
        }
    }

    async fn booted(&self, caller: Caller, asked: &Envelope) -> Result<Any, Fault> {
        let request: BootRequest = unpacked("BootRequest", asked.data.as_ref())?;
        let description: Option<fourth::ProcessDescription> =
            request.process_description.as_ref().map(same);
        let restriction: Option<fourth::ProcessRestriction> =
            request.process_restriction.as_ref().map(same);
        let processes = self.0.clone();
        let booted =
            finish(async move { processes.boot(&caller, description, restriction).await }).await?;
        Ok(packed("ProcessInstance", &instance(&booted)))
    }

    async fn restarted(&self, caller: Caller, asked: &Envelope) -> Result<Any, Fault> {
        let selection = selection(unpacked("ProcessQuery", asked.data.as_ref())?)?;
        let processes = self.0.clone();
        let restarted = finish(async move { processes.restart(&caller, &selection).await }).await?;
        Ok(packed("ProcessInstance", &instance(&restarted)))
    }

    async fn killed(&self, caller: Caller, asked: &Envelope) -> Result<Any, Fault> {
        let selection = selection(unpacked("ProcessQuery", asked.data.as_ref())?)?;
        let processes = self.0.clone();
        let killed = finish(async move {
            let meant = processes.select(&caller, &selection).await?;
            processes.end(&caller, meant, false).await
        });
        killed.await.map(|killed| list(&killed))
    }

    async fn terminated(&self, caller: Caller) -> Result<Any, Fault> {
        let processes = self.0.clone();
        let ended = finish(async move {
            let all = processes.all(&caller, false).await?;
            processes.end(&caller, all, false).await
        });
        ended.await.map(|ended| list(&ended))
    }

    async fn flushed(&self, caller: Caller, asked: &Envelope) -> Result<Any, Fault> {
        let selection = selection(unpacked("ProcessQuery", asked.data.as_ref())?)?;
        let processes = self.0.clone();
        let flushed = finish(async move { processes.flush(&caller, &selection).await });
        flushed.await.map(|flushed| list(&flushed))
    }

    async fn listed(&self, caller: Caller, asked: &Envelope) -> Result<Any, Fault> {
        let selection = selection(unpacked("ProcessQuery", asked.data.as_ref())?)?;
        Ok(list(&self.0.select(&caller, &selection).await?))
    }

    async fn lines(&self, caller: Caller, asked: &Envelope) -> Result<Vec<LogLine>, Fault> {
        let LogRequest { query, how_far } = unpacked("LogRequest", asked.data.as_ref())?;
        let selection = selection(query.unwrap_or_default())?;
        let (uuid, lines) = self.0.logs(&caller, &selection, how_far).await?;
        let of = |line| LogLine { uuid: Some(ProcessUuid { uuid: uuid.clone() }), line };
        Ok(lines.into_iter().map(of).collect())
    }

    fn described(&self) -> Any {
        let command = |[name, takes, help, answers]: [&str; 4]| CommandDescription {
            name: name.to_owned(),
            data_type: vec![takes.to_owned()],
            help: help.to_owned(),
            return_type: answers.to_owned(),
        };
        let description = Description {
            r#type: "process_manager".to_owned(),
            name: self.0.node().to_owned(),
            session: Some("no_session".to_owned()),
            commands: COMMANDS.into_iter().map(command).collect(),
            broadcast: None,
        };
        packed("Description", &description)
    }
}

/// Answers a call: who calls is looked at first, and then what `$do` does with it.
macro_rules! answered {
    ($self:ident, $request:ident, $operation:literal, |$caller:ident, $asked:ident| $do:expr) => {{
        let caller = $self.caller(&$request, $operation);
        let asked = $request.into_inner();
        let outcome = match caller {
            Ok($caller) => {
                let $asked = &asked;
                $do
            }
            Err(why) => Err(why),
        };
        Ok(Response::new($self.answer(asked, outcome)))
    }};
}

#[tonic::async_trait]
impl process_manager_server::ProcessManager for Third {
    async fn describe(&self, request: Request<Envelope>) -> Result<Response<Answer>, Status> {
        answered!(self, request, "describe", |_caller, _asked| Ok(self.described()))
    }

    async fn boot(&self, request: Request<Envelope>) -> Result<Response<Answer>, Status> {
        answered!(self, request, "boot", |caller, asked| self.booted(caller, asked).await)
    }

    async fn terminate(&self, request: Request<Envelope>) -> Result<Response<Answer>, Status> {
        answered!(self, request, "terminate", |caller, _asked| self.terminated(caller).await)
    }

    async fn restart(&self, request: Request<Envelope>) -> Result<Response<Answer>, Status> {
        answered!(self, request, "restart", |caller, asked| self.restarted(caller, asked).await)
    }

    async fn kill(&self, request: Request<Envelope>) -> Result<Response<Answer>, Status> {
        answered!(self, request, "kill", |caller, asked| self.killed(caller, asked).await)
    }

    async fn flush(&self, request: Request<Envelope>) -> Result<Response<Answer>, Status> {
        answered!(self, request, "flush", |caller, asked| self.flushed(caller, asked).await)
    }

    async fn ps(&self, request: Request<Envelope>) -> Result<Response<Answer>, Status> {
        answered!(self, request, "ps", |caller, asked| self.listed(caller, asked).await)
    }

    type logsStream = tokio_stream::Iter<std::vec::IntoIter<Result<Answer, Status>>>;

    async fn logs(&self, request: Request<Envelope>) -> Result<Response<Self::logsStream>, Status> {
        let caller = self.caller(&request, "logs");
        let asked = request.into_inner();
        let lines = match caller {
            Ok(caller) => self.lines(caller, &asked).await,
            Err(why) => Err(why),
        };
        let answers = match lines {
            Ok(lines) => {
                let one = |line| self.answer(asked.clone(), Ok(packed("LogLine", &line)));
                lines.into_iter().map(|line| Ok(one(line))).collect()
            }
            Err(why) => vec![Ok(self.answer(asked, Err(why)))],
        };
        Ok(Response::new(tokio_stream::iter(answers)))
    }
}
