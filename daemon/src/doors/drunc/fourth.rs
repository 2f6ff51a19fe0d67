//! The fourth generation (since 2025): typed messages, and faults as gRPC has them.

use api::drunc::fourth::{
    BootRequest, CommandDescription, Description, LogLines, LogOnServerRequest,
    LogOnServerResponse, LogRequest, OutcomeStatus, ProcessInstanceList, ProcessQuery, ProcessUuid,
    Request as Envelope, ResponseFlag, Token, process_manager_server,
};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::{
    connection::Peer,
    fault::Fault,
    finish,
    process::{Generation, Process},
    processes::{Caller, Processes},
    selection::Selection,
    told,
};

/// The service.
#[derive(Clone)]
pub(super) struct Fourth(pub(super) Processes);

/// What it serves: name, what it takes, what it does, what it answers.
const COMMANDS: [[&str; 4]; 10] = [
    ["describe", "Request", "Tells who answers and what is served.", "Description"],
    ["boot", "BootRequest", "Starts a process.", "ProcessInstanceList"],
    ["terminate", "Request", "Ends all processes of this process manager.", "ProcessInstanceList"],
    [
        "restart",
        "ProcessQuery",
        "Starts exactly one process again, under its uuid.",
        "ProcessInstanceList",
    ],
    ["kill", "ProcessQuery", "Ends processes.", "ProcessInstanceList"],
    ["flush", "ProcessQuery", "Forgets dead processes.", "ProcessInstanceList"],
    ["ps", "ProcessQuery", "Tells how processes are.", "ProcessInstanceList"],
    ["logs", "LogRequest", "The last lines of exactly one process.", "LogLines"],
    [
        "log_on_server",
        "LogOnServerRequest",
        "Writes a line to the daemon's log.",
        "LogOnServerResponse",
    ],
    ["echo_on_server", "LogOnServerRequest", "The same.", "LogOnServerResponse"],
];

/// In the form of this generation: the status says it in words, and its details in a word, with the call.
fn status(operation: &str, why: &Fault) -> Status {
    let code = match why {
        Fault::Unauthorised(_) => Code::PermissionDenied,
        Fault::NotImplemented(_) => Code::Unimplemented,
        Fault::Form(_)
        | Fault::NoProcess
        | Fault::Several
        | Fault::Dead(_)
        | Fault::NoHost
        | Fault::Failed(_) => Code::Internal,
    };
    let domain = format!("ProcessManager.{operation}");
    let details = ErrorDetails::with_error_info(why.reason(), domain, []);
    Status::with_error_details(code, why.to_string(), details)
}

fn selection(query: &ProcessQuery) -> Result<Selection, Fault> {
    let ProcessQuery { uuids, names, user, session, .. } = query;
    let uuids = uuids.iter().map(|uuid| uuid.uuid.clone()).collect();
    Selection::any(uuids, names, user.clone(), session.clone())
}

impl Fourth {
    /// Who calls, what he calls himself, and what is asked for.
    fn open<T>(
        &self,
        request: Request<T>,
        operation: &str,
        token: impl FnOnce(&T) -> Option<&Token>,
    ) -> Result<(Caller, Option<Token>, T), Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let message = request.into_inner();
        let token = token(&message).cloned();
        let name = token.as_ref().map(|token| token.user_name.as_str()).unwrap_or_default();
        let caller = self.0.caller(peer.as_ref(), name, (Generation::Fourth, operation));
        let caller = caller.map_err(|why| status(operation, &why))?;
        Ok((caller, token, message))
    }

    fn list(
        &self,
        operation: &str,
        token: Option<Token>,
        processes: Result<Vec<Process>, Fault>,
    ) -> Result<Response<ProcessInstanceList>, Status> {
        let processes = processes.map_err(|why| status(operation, &why))?;
        Ok(Response::new(ProcessInstanceList {
            name: self.0.node().to_owned(),
            token,
            values: processes.iter().map(Process::instance).collect(),
            flag: ResponseFlag::ExecutedSuccessfully.into(),
        }))
    }

    fn written(
        &self,
        request: Request<LogOnServerRequest>,
        operation: &str,
    ) -> Result<Response<LogOnServerResponse>, Status> {
        let (_, token, asked) = self.open(request, operation, |asked| asked.token.as_ref())?;
        told(&asked.severity, &asked.text);
        Ok(Response::new(LogOnServerResponse {
            token,
            name: self.0.node().to_owned(),
            flag: ResponseFlag::ExecutedSuccessfully.into(),
            children: Vec::new(),
        }))
    }
}

#[tonic::async_trait]
impl process_manager_server::ProcessManager for Fourth {
    async fn describe(&self, request: Request<Envelope>) -> Result<Response<Description>, Status> {
        let (_, token, _) = self.open(request, "describe", |asked| asked.token.as_ref())?;
        let command = |[name, takes, help, answers]: [&str; 4]| CommandDescription {
            name: name.to_owned(),
            data_type: vec![takes.to_owned()],
            help: help.to_owned(),
            return_type: answers.to_owned(),
        };
        Ok(Response::new(Description {
            token,
            r#type: "process_manager".to_owned(),
            name: self.0.node().to_owned(),
            endpoint: self.0.endpoint(),
            info: Some(concat!("auraed ", env!("CARGO_PKG_VERSION")).to_owned()),
            session: Some("no_session".to_owned()),
            commands: COMMANDS.into_iter().map(command).collect(),
            broadcast: None,
            flag: ResponseFlag::ExecutedSuccessfully.into(),
        }))
    }

    async fn boot(
        &self,
        request: Request<BootRequest>,
    ) -> Result<Response<ProcessInstanceList>, Status> {
        let (caller, token, asked) = self.open(request, "boot", |asked| asked.token.as_ref())?;
        let BootRequest { process_description, process_restriction, .. } = asked;
        let processes = self.0.clone();
        let booted = finish(async move {
            processes.boot(&caller, process_description, process_restriction).await
        });
        self.list("boot", token, booted.await.map(|process| vec![process]))
    }

    async fn terminate(
        &self,
        request: Request<Envelope>,
    ) -> Result<Response<ProcessInstanceList>, Status> {
        let (caller, token, _) = self.open(request, "terminate", |asked| asked.token.as_ref())?;
        let processes = self.0.clone();
        let ended = finish(async move {
            let all = processes.all(&caller, false).await?;
            processes.end(&caller, all, false).await
        });
        self.list("terminate", token, ended.await)
    }

    async fn restart(
        &self,
        request: Request<ProcessQuery>,
    ) -> Result<Response<ProcessInstanceList>, Status> {
        let (caller, token, query) = self.open(request, "restart", |asked| asked.token.as_ref())?;
        let processes = self.0.clone();
        let restarted =
            finish(async move { processes.restart(&caller, &selection(&query)?).await });
        self.list("restart", token, restarted.await.map(|process| vec![process]))
    }

    async fn kill(
        &self,
        request: Request<ProcessQuery>,
    ) -> Result<Response<ProcessInstanceList>, Status> {
        let (caller, token, query) = self.open(request, "kill", |asked| asked.token.as_ref())?;
        let processes = self.0.clone();
        let killed = finish(async move {
            let meant = processes.select(&caller, &selection(&query)?).await?;
            processes.end(&caller, meant, query.crash.unwrap_or(false)).await
        });
        self.list("kill", token, killed.await)
    }

    async fn flush(
        &self,
        request: Request<ProcessQuery>,
    ) -> Result<Response<ProcessInstanceList>, Status> {
        let (caller, token, query) = self.open(request, "flush", |asked| asked.token.as_ref())?;
        let processes = self.0.clone();
        let flushed = finish(async move { processes.flush(&caller, &selection(&query)?).await });
        self.list("flush", token, flushed.await)
    }

    async fn ps(
        &self,
        request: Request<ProcessQuery>,
    ) -> Result<Response<ProcessInstanceList>, Status> {
        let (caller, token, query) = self.open(request, "ps", |asked| asked.token.as_ref())?;
        let selected = match selection(&query) {
            Ok(selection) => self.0.select(&caller, &selection).await,
            Err(why) => Err(why),
        };
        self.list("ps", token, selected)
    }

    async fn logs(&self, request: Request<LogRequest>) -> Result<Response<LogLines>, Status> {
        let (caller, token, asked) = self.open(request, "logs", |asked| asked.token.as_ref())?;
        let read = match selection(&asked.query.unwrap_or_default()) {
            Ok(selection) => self.0.logs(&caller, &selection, asked.how_far).await,
            Err(why) => Err(why),
        };
        let name = self.0.node().to_owned();
        let lines = match read {
            Ok((uuid, lines)) => {
                let (uuid, flag) = (Some(ProcessUuid { uuid }), ResponseFlag::ExecutedSuccessfully);
                LogLines { name, token, uuid, lines, flag: flag.into() }
            }
            // What asks for the wrong thing is told so in the place of lines.
            Err(why @ (Fault::Form(_) | Fault::NoProcess | Fault::Several)) => {
                let (lines, flag) =
                    (vec![why.to_string()], ResponseFlag::NotExecutedBadRequestFormat);
                LogLines { name, token, uuid: None, lines, flag: flag.into() }
            }
            Err(why) => return Err(status("logs", &why)),
        };
        Ok(Response::new(lines))
    }

    async fn log_on_server(
        &self,
        request: Request<LogOnServerRequest>,
    ) -> Result<Response<LogOnServerResponse>, Status> {
        self.written(request, "log_on_server")
    }

    async fn echo_on_server(
        &self,
        request: Request<LogOnServerRequest>,
    ) -> Result<Response<LogOnServerResponse>, Status> {
        self.written(request, "echo_on_server")
    }

    async fn send_msg(
        &self,
        request: Request<Envelope>,
    ) -> Result<Response<OutcomeStatus>, Status> {
        self.open(request, "send_msg", |asked| asked.token.as_ref())?;
        Err(status("send_msg", &Fault::NotImplemented("send_msg")))
    }
}
