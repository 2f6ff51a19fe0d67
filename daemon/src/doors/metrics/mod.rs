//! Metrics: for Prometheus at a listener of their own, and for a collector of OpenTelemetry's; neither unless the
//! configuration names it.
//!
//! Invariants: nothing is counted, and nothing wakes, where it is off; where it is on, what is told is put together when
//! somebody asks, from what the core, the kernel and the logs say then. It takes no orders, and no failure of it ends
//! anything: a listener that cannot be had is a problem in Status, and tried again.

mod exposition;
mod family;
mod http;
mod latency;
mod measure;
#[cfg(feature = "opentelemetry")]
mod otlp;

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

pub(crate) use latency::{Latencies, Timing};

use super::{Core, telling::Problem};
use crate::configuration::{Configuration, Export, MetricsListen};

/// How many are answered at a time; others wait at the listener.
const ANSWERED: usize = 64;
/// How long it takes until it is tried again what failed.
const RETRY: Duration = Duration::from_secs(5);

/// What is kept for who asks.
#[derive(Debug)]
pub(crate) struct Metrics {
    listen: Option<MetricsListen>,
    export: Option<Export>,
    pub(crate) latencies: Latencies,
    problem: Problem,
    /// Why they are not sent.
    unsent: Problem,
}

impl Metrics {
    /// As it is configured; nothing where they are neither told nor sent.
    pub(crate) fn of(configuration: &Configuration) -> Option<Arc<Self>> {
        let Configuration { metrics: listen, export, .. } = configuration.clone();
        if listen.is_none() && export.is_none() {
            return None;
        }
        let (latencies, problem, unsent) = Default::default();
        Some(Arc::new(Self { listen, export, latencies, problem, unsent }))
    }

    /// Why nobody can ask, or nothing is sent, where that is so.
    pub(crate) fn problems(&self) -> impl Iterator<Item = String> {
        self.problem.told().into_iter().chain(self.unsent.told())
    }
}

/// Serves and sends metrics where they are wanted, for as long as there is a daemon.
pub(crate) fn serve(core: &Core) {
    let Some(metrics) = core.metrics.clone() else { return };
    if let Some(listen) = metrics.listen.clone() {
        serve_at(listen, core.clone(), Arc::clone(&metrics));
    }
    if let Some(export) = metrics.export.clone() {
        send_to(export, core.clone(), metrics);
    }
}

#[cfg(feature = "opentelemetry")]
fn send_to(export: Export, core: Core, metrics: Arc<Metrics>) {
    tokio::spawn(async move { otlp::send(&core, &metrics, &export).await });
}

/// This build cannot, and says so.
#[cfg(not(feature = "opentelemetry"))]
fn send_to(Export { endpoint, .. }: Export, _: Core, metrics: Arc<Metrics>) {
    metrics.unsent.set(format!(
        "cannot send metrics to {endpoint}: this auraed-core was built without the Cargo feature opentelemetry; upgrade to \
         one that has it, or leave [opentelemetry] out"
    ));
}

fn serve_at(listen: MetricsListen, core: Core, metrics: Arc<Metrics>) {
    tokio::spawn(async move {
        loop {
            let why = match bind(&listen).await {
                Ok(listener) => {
                    metrics.problem.clear();
                    tracing::info!(%listen, "metrics are served");
                    accept(&listener, &core, &metrics).await
                }
                Err(why) => why,
            };
            metrics.problem.set(format!(
                "cannot serve metrics at {listen}: {why}; free it, or choose another as [metrics] listen and send SIGHUP to auraed"
            ));
            sleep(RETRY).await;
        }
    });
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

async fn bind(listen: &MetricsListen) -> io::Result<Listener> {
    match listen {
        MetricsListen::Tcp(address) => Ok(Listener::Tcp(TcpListener::bind(address).await?)),
        MetricsListen::Unix(path) => {
            clear(path).await?;
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            Ok(Listener::Unix(listener))
        }
    }
}

/// Removes the socket of a daemon before us, at which nobody listens any more.
async fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(why) => Err(why),
        Ok(at) if !at.file_type().is_socket() => {
            Err(io::Error::other("there is a file that is not a socket"))
        }
        Ok(_) if UnixStream::connect(path).await.is_ok() => {
            Err(io::Error::other("somebody answers there"))
        }
        Ok(_) => fs::remove_file(path),
    }
}

/// Answers whoever connects, until that fails: why.
async fn accept(listener: &Listener, core: &Core, metrics: &Arc<Metrics>) -> io::Error {
    let places = Arc::new(Semaphore::new(ANSWERED));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return io::Error::other("there are no places");
        };
        let taken = match listener {
            Listener::Tcp(listener) => {
                let taken = listener.accept().await;
                taken.map(|(stream, _)| answer(stream, core, metrics, place))
            }
            Listener::Unix(listener) => {
                let taken = listener.accept().await;
                taken.map(|(stream, _)| answer(stream, core, metrics, place))
            }
        };
        if let Err(why) = taken {
            return why;
        }
    }
}

/// Answers one of them, who has a place until then.
fn answer<S>(stream: S, core: &Core, metrics: &Arc<Metrics>, place: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (core, metrics) = (core.clone(), Arc::clone(metrics));
    let page = async move || exposition::page(&measure::measure(&core, &metrics).await);
    tokio::spawn(async move {
        http::answer(stream, page).await;
        drop(place);
    });
}
