//! Units as a client has them: the calls of `Runtime` that are about them, and waiting for a state.

use api::{
    REASON_KEY,
    meta::AuraeMeta,
    observe::{LogsRequest, logs_request::Source},
    runtime::{
        Executable, ExitRecord, ForgetRequest, InspectRequest, InspectResponse, ListRequest,
        ReloadRequest, RestartPolicy, RestartRequest, RestartResponse, RestartWhen, SignalRequest,
        SignalWhom, StartFailure, StartRequest, StartResponse, Step, StopRequest, StopResponse,
        UnitChange, UnitState, UnitView, WaitRequest, WaitResponse, WatchBegin, WatchRequest,
        WatchResponse, exit_record::Cause, restart_request, start_request, watch_response::Event,
    },
};
use tokio::task::JoinHandle;
use tonic::{Code, Request, Status, Streaming};

use crate::{Daemon, rpc, wait::PATIENCE};

/// A unit of this name, as requests have it.
#[must_use]
pub fn meta(name: &str) -> Option<AuraeMeta> {
    Some(AuraeMeta { name: name.to_owned(), ..AuraeMeta::default() })
}

/// The name in an answer.
#[must_use]
pub fn name_in(meta: Option<&AuraeMeta>) -> &str {
    meta.map_or("", |meta| meta.name.as_str())
}

/// A start of a unit that is known.
#[must_use]
pub fn by_name(name: &str) -> StartRequest {
    StartRequest { what: Some(start_request::What::Name(name.to_owned())) }
}

/// A start of this.
#[must_use]
pub fn of(executable: Executable) -> StartRequest {
    StartRequest { what: Some(start_request::What::Executable(executable)) }
}

/// An order to stop this unit.
#[must_use]
pub fn stopping(name: &str) -> StopRequest {
    StopRequest { meta: meta(name), ..StopRequest::default() }
}

/// Started again after such ends: at once, and as often as need be.
#[must_use]
pub fn again(when: RestartWhen) -> RestartPolicy {
    RestartPolicy {
        when: when.into(),
        delay_ms: Some(0),
        start_limit: Some(0),
        ..RestartPolicy::default()
    }
}

/// The same after a pause in which nothing happens by itself while a test runs.
#[must_use]
pub fn much_later(when: RestartWhen) -> RestartPolicy {
    RestartPolicy { delay_ms: Some(3_600_000), ..again(when) }
}

/// A command beside the main one, as it stands.
#[must_use]
pub fn step<S: AsRef<str>>(words: &[S]) -> Step {
    let argv = words.iter().map(|word| word.as_ref().to_owned()).collect();
    Step { argv, ..Step::default() }
}

/// A command beside the main one, to be parsed.
#[must_use]
pub fn step_line(command: &str) -> Step {
    Step { command: command.to_owned(), ..Step::default() }
}

/// The failure of a record whose program was never executed.
#[must_use]
pub fn failure(exit: &ExitRecord) -> Option<StartFailure> {
    if let Some(Cause::Failure(failure)) = &exit.cause { Some(failure.clone()) } else { None }
}

/// A request with a reason.
///
/// # Panics
/// Where the reason is not ASCII.
#[must_use]
pub fn because<T>(reason: &str, request: T) -> Request<T> {
    let mut request = Request::new(request);
    request.metadata_mut().insert(REASON_KEY, reason.parse().expect("ASCII"));
    request
}

impl Daemon {
    /// `Runtime.Start`.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn order_start(&self, request: Request<StartRequest>) -> Result<StartResponse, Status> {
        let mut client = self.runtime_client();
        let answer = self.block(client.start(request))?.into_inner();
        self.remember(&answer.run_id);
        Ok(answer)
    }

    /// The same of a definition that may be refused.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn try_up(&self, executable: Executable) -> Result<StartResponse, Status> {
        self.order_start(Request::new(of(executable)))
    }

    /// The same of a definition that must come up.
    ///
    /// # Panics
    /// Where it does not.
    #[track_caller]
    pub fn up(&self, executable: Executable) -> StartResponse {
        self.try_up(executable).expect("it comes up")
    }

    /// `Runtime.Start`, begun.
    #[must_use]
    #[track_caller]
    pub fn begin_start(&self, request: StartRequest) -> JoinHandle<Result<StartResponse, Status>> {
        let mut client = self.runtime_client();
        self.runtime().spawn(async move { Ok(client.start(request).await?.into_inner()) })
    }

    /// `Runtime.Stop`, begun.
    #[must_use]
    #[track_caller]
    pub fn begin_stop(&self, request: StopRequest) -> JoinHandle<Result<StopResponse, Status>> {
        let mut client = self.runtime_client();
        self.runtime().spawn(async move { Ok(client.stop(request).await?.into_inner()) })
    }

    /// The answer of a call that was begun.
    ///
    /// # Errors
    /// As the daemon answers.
    ///
    /// # Panics
    /// Where none comes.
    #[track_caller]
    pub fn answered<T>(&self, begun: JoinHandle<Result<T, Status>>) -> Result<T, Status> {
        self.block(begun).expect("no panic")
    }

    /// `Runtime.Stop` of a unit that there is.
    ///
    /// # Panics
    /// Where it is refused.
    #[track_caller]
    pub fn down(&self, name: &str) -> StopResponse {
        self.order_stop(Request::new(stopping(name))).expect("a unit can be stopped")
    }

    /// `Runtime.Restart` of what is known by this name.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn start_anew(&self, name: &str) -> Result<RestartResponse, Status> {
        self.order_restart(restart_request::What::Name(name.to_owned()))
    }

    /// `Runtime.Restart`.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn order_restart(&self, what: restart_request::What) -> Result<RestartResponse, Status> {
        let mut client = self.runtime_client();
        let answer = self.block(client.restart(RestartRequest { what: Some(what) }))?.into_inner();
        self.remember(&answer.run_id);
        Ok(answer)
    }

    /// `Runtime.Reload`.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn reload(&self, name: &str) -> Result<(), Status> {
        let mut client = self.runtime_client();
        self.block(client.reload(ReloadRequest { meta: meta(name) })).map(drop)
    }

    /// `Runtime.Signal` to a unit.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn signal_unit(&self, name: &str, signal: i32, whom: SignalWhom) -> Result<(), Status> {
        let mut client = self.runtime_client();
        let whom = whom.into();
        let request = SignalRequest { meta: meta(name), signal, whom, ..SignalRequest::default() };
        self.block(client.signal(request)).map(drop)
    }

    /// `Runtime.Wait` for a unit or a run.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn wait(&self, request: WaitRequest) -> Result<WaitResponse, Status> {
        let mut client = self.runtime_client();
        self.block(client.wait(request)).map(tonic::Response::into_inner)
    }

    /// `Runtime.Wait` for a unit that there is.
    ///
    /// # Panics
    /// Where it is refused.
    #[track_caller]
    pub fn wait_down(&self, name: &str) -> WaitResponse {
        let request = WaitRequest { meta: meta(name), ..WaitRequest::default() };
        self.wait(request).expect("a unit can be waited for")
    }

    /// `Runtime.List`.
    ///
    /// # Panics
    /// Where it is refused.
    #[must_use]
    #[track_caller]
    pub fn units(&self, usage: bool) -> Vec<UnitView> {
        let mut client = self.runtime_client();
        self.block(async {
            let mut stream = client.list(ListRequest { usage }).await?.into_inner();
            let mut views = Vec::new();
            while let Some(view) = stream.message().await? {
                views.push(view);
            }
            Ok::<_, Status>(views)
        })
        .expect("units can be listed")
    }

    /// `Runtime.Inspect`.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn inspect(&self, name: &str) -> Result<InspectResponse, Status> {
        let mut client = self.runtime_client();
        let request = InspectRequest { meta: meta(name) };
        self.block(client.inspect(request)).map(tonic::Response::into_inner)
    }

    /// A unit that there is, as it stands.
    ///
    /// # Panics
    /// Where it is not known.
    #[must_use]
    #[track_caller]
    pub fn unit(&self, name: &str) -> UnitView {
        self.inspect(name).expect("the unit is known").unit.expect("an answer has it")
    }

    /// The last changes of a unit that there is.
    ///
    /// # Panics
    /// Where it is not known.
    #[must_use]
    #[track_caller]
    pub fn changes(&self, name: &str) -> Vec<UnitChange> {
        self.inspect(name).expect("the unit is known").changes
    }

    /// The unit, when this holds of it; one that is not there yet is waited for.
    ///
    /// # Panics
    /// Where it does not come to hold.
    #[track_caller]
    pub fn until(
        &self,
        name: &str,
        what: &str,
        mut condition: impl FnMut(&UnitView) -> bool,
    ) -> UnitView {
        let mut client = self.runtime_client();
        let mut last = UnitView::default();
        let held = crate::wait::holds_within(PATIENCE, || {
            let answer = self.block(client.inspect(InspectRequest { meta: meta(name) }));
            match answer {
                Ok(answer) => last = answer.into_inner().unit.expect("it is there"),
                Err(why) if why.code() == Code::NotFound => return false,
                Err(why) => panic!("{name}: {why}"),
            }
            condition(&last)
        });
        assert!(held, "{name}: not within {PATIENCE:?}: {what}; it stands so: {last:?}");
        last
    }

    /// The unit, when it is in this state.
    ///
    /// # Panics
    /// Where it does not come there.
    #[track_caller]
    pub fn until_state(&self, name: &str, state: UnitState) -> UnitView {
        self.until(name, state.as_str_name(), |view| view.state() == state)
    }

    /// `Runtime.Forget`: the names that are free.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn forget(&self, request: ForgetRequest) -> Result<Vec<String>, Status> {
        let mut client = self.runtime_client();
        Ok(self.block(client.forget(request))?.into_inner().names)
    }

    /// `Runtime.Watch`, when it has begun.
    ///
    /// # Errors
    /// As the daemon answers.
    ///
    /// # Panics
    /// Where something else comes before the beginning.
    #[track_caller]
    pub fn watch(&self, request: WatchRequest) -> Result<Watch<'_>, Status> {
        let mut client = self.runtime_client();
        let mut stream = self.block(client.watch(request))?.into_inner();
        let first = self.block(stream.message())?;
        let Some(WatchResponse { event: Some(Event::Begin(begin)) }) = first else {
            panic!("a watch does not begin with {first:?}");
        };
        Ok(Watch { daemon: self, stream, begin })
    }

    /// Waits until a unit's log has this and nothing else: a program that was executed need not have come to print.
    ///
    /// # Panics
    /// Where it does not come to that.
    #[track_caller]
    pub fn until_logged(&self, name: &str, text: &str) {
        let mut last = String::new();
        let held = crate::wait::holds_within(PATIENCE, || {
            last = String::from_utf8_lossy(&self.unit_log(name).stdout).into_owned();
            last == text
        });
        assert!(held, "{name}: not within {PATIENCE:?}: {text:?} in its log, but {last:?}");
    }

    /// What the daemon itself has logged.
    ///
    /// # Panics
    /// Where it cannot be read.
    #[must_use]
    #[track_caller]
    pub fn own_log(&self) -> String {
        let source = Some(Source::Daemon(true));
        let logged = self.logs(LogsRequest { source, ..LogsRequest::default() });
        let rpc::Logged { stdout, stderr, .. } = logged.expect("the daemon's log can be read");
        String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned()
    }
}

/// Changes as they are told.
#[derive(Debug)]
pub struct Watch<'d> {
    daemon: &'d Daemon,
    stream: Streaming<WatchResponse>,
    /// Where it began.
    pub begin: WatchBegin,
}

impl Watch<'_> {
    /// The next thing that is told; waits for it.
    ///
    /// # Panics
    /// Where the watch ends.
    #[track_caller]
    pub fn event(&mut self) -> Event {
        let next = self.daemon.block(self.stream.message()).expect("the watch goes on");
        next.and_then(|answer| answer.event).expect("the watch goes on, and no answer is empty")
    }

    /// The next change.
    ///
    /// # Panics
    /// Where something else comes.
    #[track_caller]
    pub fn change(&mut self) -> UnitChange {
        let event = self.event();
        let Event::Change(change) = event else { panic!("no change: {event:?}") };
        change
    }

    /// The changes up to the one into this state, that one included.
    ///
    /// # Panics
    /// Where something else comes.
    #[track_caller]
    pub fn until_state(&mut self, name: &str, state: UnitState) -> Vec<UnitChange> {
        let mut seen = Vec::new();
        loop {
            let change = self.change();
            let last = change.to() == state && name_in(change.meta.as_ref()) == name;
            seen.push(change);
            if last {
                return seen;
            }
        }
    }
}
