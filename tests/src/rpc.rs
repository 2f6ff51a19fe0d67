//! The daemon's API as any client has it: over gRPC, with the generated code.

use api::{
    meta::AuraeMeta,
    observe::{
        GetSubProcessStreamRequest, LogChannelType, LogChunk, LogItem, LogsRequest, StatusRequest,
        StatusResponse, logs_request::Source, observe_client::ObserveClient,
    },
    runtime::{
        Executable, ExecutableStatus, ExitRecord, StopRequest, StopResponse, exit_record::Cause,
        runtime_client::RuntimeClient,
    },
};
use tokio::task::JoinHandle;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use crate::{Daemon, PATIENCE, run::Run};

pub use api::runtime::run_frame::Frame;

/// A program with its arguments as they stand.
#[must_use]
pub fn argv<S: AsRef<str>>(words: &[S]) -> Executable {
    let argv = words.iter().map(|word| word.as_ref().to_owned()).collect();
    Executable { argv, ..Executable::default() }
}

/// A command line to be parsed.
#[must_use]
pub fn command(text: &str) -> Executable {
    Executable { command: text.to_owned(), ..Executable::default() }
}

/// The same under a name.
#[must_use]
pub fn named(name: &str, executable: Executable) -> Executable {
    let meta = AuraeMeta { name: name.to_owned(), ..AuraeMeta::default() };
    Executable { meta: Some(meta), ..executable }
}

/// The same with a run id of the client's.
#[must_use]
pub fn identified(run_id: &str, executable: Executable) -> Executable {
    Executable { run_id: run_id.to_owned(), ..executable }
}

/// A run id nobody has used.
#[must_use]
pub fn fresh_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The exit status of a record whose program exited.
#[must_use]
pub fn code(exit: &ExitRecord) -> Option<i32> {
    if let Some(Cause::Code(code)) = exit.cause { Some(code) } else { None }
}

/// The signal of a record whose program was ended by one.
#[must_use]
pub fn signal(exit: &ExitRecord) -> Option<i32> {
    if let Some(Cause::Signal(signal)) = exit.cause { Some(signal) } else { None }
}

/// What a log held.
#[derive(Debug, Default)]
pub struct Logged {
    /// The bytes of standard output.
    pub stdout: Vec<u8>,
    /// The bytes of standard error.
    pub stderr: Vec<u8>,
    /// The run's end, where it was told.
    pub exit: Option<ExitRecord>,
    /// Where to go on.
    pub cursor: String,
    /// How many gaps were told.
    pub gaps: usize,
    /// The runs that printed it, each once, in the order of their first bytes.
    pub runs: Vec<String>,
}

impl Logged {
    fn add(&mut self, chunk: LogChunk) {
        match chunk.channel() {
            LogChannelType::ChannelStdout => self.stdout.extend(&chunk.data),
            LogChannelType::ChannelStderr => self.stderr.extend(&chunk.data),
        }
        if !self.runs.contains(&chunk.run_id) {
            self.runs.push(chunk.run_id);
        }
    }
}

impl Daemon {
    /// A new connection.
    ///
    /// # Panics
    /// Where the socket does not answer.
    #[must_use]
    #[track_caller]
    pub fn connect(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("unix://{}", self.socket().display()));
        let endpoint = endpoint.expect("a path is a URI here");
        self.block(async { endpoint.connect().await }).expect("the socket answers")
    }

    /// A client of `Runtime` over a new connection.
    #[must_use]
    #[track_caller]
    pub fn runtime_client(&self) -> RuntimeClient<Channel> {
        RuntimeClient::new(self.connect())
    }

    /// A client of `Observe` over a new connection.
    #[must_use]
    #[track_caller]
    pub fn observe_client(&self) -> ObserveClient<Channel> {
        ObserveClient::new(self.connect())
    }

    /// The probe with these arguments.
    #[must_use]
    pub fn probe(&self, actions: &[&str]) -> Executable {
        let mut words = vec![self.binary("probe")];
        words.extend(actions.iter().map(|&word| word.to_owned()));
        argv(&words)
    }

    /// `Runtime.Exec`.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn exec(&self, executable: Executable) -> Result<ExecutableStatus, Status> {
        let mut client = self.runtime_client();
        let answer = self.block(client.exec(executable))?.into_inner();
        self.remember(&answer.run_id);
        Ok(answer)
    }

    /// `Runtime.Exec` of a command that the daemon must accept.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    pub fn answer(&self, executable: Executable) -> ExecutableStatus {
        self.exec(executable).expect("the daemon accepts it")
    }

    /// `Runtime.Exec`, begun; aborting the handle drops the call.
    #[must_use]
    #[track_caller]
    pub fn begin(&self, executable: Executable) -> JoinHandle<Result<ExecutableStatus, Status>> {
        self.remember(&executable.run_id);
        let mut client = self.runtime_client();
        self.runtime().spawn(async move { Ok(client.exec(executable).await?.into_inner()) })
    }

    /// The answer of a call that was begun.
    ///
    /// # Panics
    /// Where it does not come, or the call was refused.
    #[track_caller]
    pub fn wait_for(
        &self,
        begun: JoinHandle<Result<ExecutableStatus, Status>>,
    ) -> ExecutableStatus {
        let answer = self.block(begun).expect("no panic").expect("the daemon accepts it");
        self.remember(&answer.run_id);
        answer
    }

    /// `Runtime.Run`, up to its first frame.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn try_run(&self, executable: Executable) -> Result<Run<'_>, Status> {
        let mut client = self.runtime_client();
        let stream = self.block(client.run(executable))?.into_inner();
        let mut run = Run::of(self, stream);
        if let Some(Frame::Started(started)) = run.next()? {
            self.remember(&started.run_id);
            run.started = started;
        }
        Ok(run)
    }

    /// `Runtime.Run` of a command that the daemon must start.
    ///
    /// # Panics
    /// Where it does not, or where something else comes before the news of it.
    #[must_use]
    #[track_caller]
    pub fn run(&self, executable: Executable) -> Run<'_> {
        let run = self.try_run(executable).expect("the daemon accepts it");
        assert!(run.started.pid > 0, "the first frame is not the start: {:?}", run.exit);
        run
    }

    /// `Runtime.Stop`.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn order_stop(&self, request: tonic::Request<StopRequest>) -> Result<StopResponse, Status> {
        let mut client = self.runtime_client();
        self.block(client.stop(request)).map(tonic::Response::into_inner)
    }

    /// `Observe.Status`.
    ///
    /// # Panics
    /// Where it is refused.
    #[must_use]
    #[track_caller]
    pub fn status(&self) -> StatusResponse {
        let mut client = self.observe_client();
        let answer = self.block(client.status(StatusRequest::default()));
        answer.expect("status always answers").into_inner()
    }

    /// `Observe.Status`, where the daemon may be away at this moment.
    #[must_use]
    pub fn status_if_there(&self) -> Option<StatusResponse> {
        let endpoint = Endpoint::from_shared(format!("unix://{}", self.socket().display())).ok()?;
        let ask = async {
            let mut client = ObserveClient::new(endpoint.connect().await.ok()?);
            Some(client.status(StatusRequest::default()).await.ok()?.into_inner())
        };
        self.runtime().block_on(async { tokio::time::timeout(PATIENCE, ask).await.ok()? })
    }

    /// `Observe.Logs` until its end.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn logs(&self, request: LogsRequest) -> Result<Logged, Status> {
        let mut client = self.observe_client();
        self.block(async {
            let mut stream = client.logs(request).await?.into_inner();
            let mut logged = Logged::default();
            while let Some(batch) = stream.message().await? {
                batch.chunks.into_iter().for_each(|chunk| logged.add(chunk));
                logged.gaps += usize::from(batch.gap.is_some());
                logged.exit = batch.exit.or(logged.exit);
                if !batch.cursor.is_empty() {
                    logged.cursor = batch.cursor;
                }
            }
            Ok(logged)
        })
    }

    /// Everything a run has printed, and its end.
    ///
    /// # Panics
    /// Where the daemon does not know it.
    #[must_use]
    #[track_caller]
    pub fn logs_of(&self, run_id: &str) -> Logged {
        let source = Some(Source::RunId(run_id.to_owned()));
        let request = LogsRequest { source, follow: true, ..LogsRequest::default() };
        self.logs(request).expect("the daemon knows the run")
    }

    /// What a unit's log has, of all its runs.
    ///
    /// # Panics
    /// Where nothing of this name has run.
    #[must_use]
    #[track_caller]
    pub fn unit_log(&self, name: &str) -> Logged {
        let source = Some(Source::Name(name.to_owned()));
        self.logs(LogsRequest { source, ..LogsRequest::default() }).expect("it has run")
    }

    /// The end of the newest run of a unit, which has printed something; waits for it.
    ///
    /// # Panics
    /// Where it has not.
    #[must_use]
    #[track_caller]
    pub fn newest_exit(&self, name: &str) -> ExitRecord {
        let run = self.unit_log(name).runs.pop().expect("it has printed something");
        self.logs_of(&run).exit.expect("a run that is followed ends with its exit")
    }

    /// `Observe.GetSubProcessStream`, until its end.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn lines(&self, pid: i32, channel: LogChannelType) -> Result<Vec<LogItem>, Status> {
        let mut client = self.observe_client();
        let process_id = i64::from(pid);
        let request = GetSubProcessStreamRequest { channel_type: channel.into(), process_id };
        self.block(async {
            let mut stream = client.get_sub_process_stream(request).await?.into_inner();
            let mut items = Vec::new();
            while let Some(item) = stream.message().await? {
                items.push(item);
            }
            Ok(items)
        })
    }
}
