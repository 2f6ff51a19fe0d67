//! The calls about units, over one channel that is held, one by one or many under way.

use std::{future::Future, time::Duration};

use api::{
    meta::AuraeMeta,
    runtime::{
        Executable, ForgetRequest, InspectRequest, InspectResponse, ListRequest, ReloadRequest,
        RestartRequest, RestartResponse, StartRequest, StartResponse, StopRequest, StopResponse,
        UnitView, restart_request, runtime_client::RuntimeClient, start_request,
    },
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use crate::{Daemon, PATIENCE, argv, rpc::named};

/// How many calls are under way at once, where there are many to make.
const UNDER_WAY: usize = 64;
/// A bound for thousands of calls, the slowest of which wait for a program.
const LONGEST: Duration = Duration::from_secs(300);

/// A client of one thread, as `aer` is: its own hand-overs are not the daemon's price.
#[derive(Debug)]
pub struct Calls {
    here: Runtime,
    client: RuntimeClient<Channel>,
}

/// A unit of this name that sleeps until it is told to end.
#[must_use]
pub fn sleeper(name: &str) -> Executable {
    named(name, argv(&["/bin/sleep", "infinity"]))
}

/// As many names, in order.
#[must_use]
pub fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("service-{number:05}")).collect()
}

fn meta(name: &str) -> Option<AuraeMeta> {
    Some(AuraeMeta { name: name.to_owned(), ..AuraeMeta::default() })
}

fn stopping(name: &str) -> StopRequest {
    StopRequest { meta: meta(name), ..StopRequest::default() }
}

impl Calls {
    /// To this daemon.
    ///
    /// # Panics
    /// Where its socket does not answer.
    #[must_use]
    #[track_caller]
    pub fn to(daemon: &Daemon) -> Self {
        let here = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let address = Endpoint::from_shared(format!("unix://{}", daemon.socket().display()));
        let channel = here.block_on(address.expect("a path is a URI here").connect());
        Self { here, client: RuntimeClient::new(channel.expect("the socket answers")) }
    }

    /// `Runtime.Start` of this.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn start(&self, executable: Executable) -> Result<StartResponse, Status> {
        self.start_what(start_request::What::Executable(executable))
    }

    /// `Runtime.Start` by name.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn start_named(&self, name: &str) -> Result<StartResponse, Status> {
        self.start_what(start_request::What::Name(name.to_owned()))
    }

    #[track_caller]
    fn start_what(&self, what: start_request::What) -> Result<StartResponse, Status> {
        let mut client = self.client.clone();
        self.wait(PATIENCE, async move { client.start(StartRequest { what: Some(what) }).await })
            .map(tonic::Response::into_inner)
    }

    /// `Runtime.Stop` of a unit.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn stop(&self, name: &str) -> Result<StopResponse, Status> {
        let mut client = self.client.clone();
        self.wait(PATIENCE, client.stop(stopping(name))).map(tonic::Response::into_inner)
    }

    /// `Runtime.Restart` by name.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn restart(&self, name: &str) -> Result<RestartResponse, Status> {
        let mut client = self.client.clone();
        let what = Some(restart_request::What::Name(name.to_owned()));
        self.wait(PATIENCE, client.restart(RestartRequest { what }))
            .map(tonic::Response::into_inner)
    }

    /// `Runtime.Reload`.
    ///
    /// # Errors
    /// As the daemon answers.
    #[track_caller]
    pub fn reload(&self, name: &str) -> Result<(), Status> {
        let mut client = self.client.clone();
        self.wait(PATIENCE, client.reload(ReloadRequest { meta: meta(name) })).map(drop)
    }

    /// `Runtime.Inspect` of a unit that is known.
    ///
    /// # Panics
    /// Where it is not.
    #[must_use]
    #[track_caller]
    pub fn inspect(&self, name: &str) -> InspectResponse {
        let mut client = self.client.clone();
        let answer = self.wait(PATIENCE, client.inspect(InspectRequest { meta: meta(name) }));
        answer.unwrap_or_else(|why| panic!("{name} is known: {why}")).into_inner()
    }

    /// The unit in an Inspect.
    ///
    /// # Panics
    /// Where it is not known.
    #[must_use]
    #[track_caller]
    pub fn view(&self, name: &str) -> UnitView {
        self.inspect(name).unit.expect("an answer has a unit")
    }

    /// `Runtime.List`, to its end.
    ///
    /// # Panics
    /// Where it breaks off.
    #[must_use]
    #[track_caller]
    pub fn list(&self) -> Vec<UnitView> {
        let mut client = self.client.clone();
        self.wait(PATIENCE, async move {
            let mut stream = client.list(ListRequest::default()).await?.into_inner();
            let mut all = Vec::new();
            while let Some(view) = stream.message().await? {
                all.push(view);
            }
            Ok::<_, Status>(all)
        })
        .expect("a list comes to its end")
    }

    /// `Runtime.Forget` of all that are down; how many that were.
    ///
    /// # Panics
    /// Where it is refused.
    #[track_caller]
    pub fn forget_all(&self) -> usize {
        let mut client = self.client.clone();
        let request = ForgetRequest { all: true, ..ForgetRequest::default() };
        let answer = self.wait(PATIENCE, client.forget(request));
        answer.expect("what is down can be forgotten").into_inner().names.len()
    }

    /// Starts all of these, with many calls under way.
    ///
    /// # Panics
    /// Where one does not start.
    #[track_caller]
    pub fn start_all(&self, executables: Vec<Executable>) {
        self.each(executables, |mut client, executable| async move {
            let what = Some(start_request::What::Executable(executable));
            client.start(StartRequest { what }).await.map(drop)
        });
    }

    /// Starts all units of these names, with many calls under way.
    ///
    /// # Panics
    /// Where one does not start.
    #[track_caller]
    pub fn start_all_named(&self, names: &[String]) {
        self.each(names.to_vec(), |mut client, name| async move {
            let what = Some(start_request::What::Name(name));
            client.start(StartRequest { what }).await.map(drop)
        });
    }

    /// Stops all of these, with many calls under way.
    ///
    /// # Panics
    /// Where one does not stop.
    #[track_caller]
    pub fn stop_all(&self, names: &[String]) {
        self.each(names.to_vec(), |mut client, name| async move {
            client.stop(stopping(&name)).await.map(drop)
        });
    }

    #[track_caller]
    fn each<T, F>(&self, items: Vec<T>, call: impl Fn(RuntimeClient<Channel>, T) -> F)
    where
        F: Future<Output = Result<(), Status>> + Send + 'static,
    {
        self.wait(LONGEST, async {
            let mut under_way = JoinSet::new();
            let mut items = items.into_iter();
            loop {
                let item = if under_way.len() < UNDER_WAY { items.next() } else { None };
                if let Some(item) = item {
                    under_way.spawn(call(self.client.clone(), item));
                } else if let Some(done) = under_way.join_next().await {
                    done.expect("no panic").expect("the daemon does it");
                } else {
                    return;
                }
            }
        });
    }

    #[track_caller]
    fn wait<T>(&self, span: Duration, future: impl Future<Output = T>) -> T {
        let done = self.here.block_on(async { tokio::time::timeout(span, future).await });
        done.unwrap_or_else(|_| panic!("no answer within {span:?}"))
    }
}
