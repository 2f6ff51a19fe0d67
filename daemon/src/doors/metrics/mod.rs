//! Metrics for Prometheus, at a listener of their own; there is none unless the configuration names one.
//!
//! Invariants: nothing is counted, and nothing wakes, where it is off; where it is on, what is told is put together when
//! somebody asks, from what the core, the kernel and the logs say then. It takes no orders, and no failure of it ends
//! anything: a listener that cannot be had is a problem in Status, and tried again.

mod exposition;
mod http;
mod latency;
mod page;

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

pub(crate) use latency::{Latencies, Timing};

use super::Core;
use crate::configuration::MetricsListen;

/// How many are answered at a time; others wait at the listener.
const ANSWERED: usize = 4;
/// How long it takes until it is tried again what failed.
const RETRY: Duration = Duration::from_secs(5);

/// What is kept for who asks.
#[derive(Debug)]
pub(crate) struct Metrics {
    listen: MetricsListen,
    pub(crate) latencies: Latencies,
    problem: Mutex<Option<String>>,
}

impl Metrics {
    /// To be told at this listener.
    pub(crate) fn at(listen: MetricsListen) -> Arc<Self> {
        let (latencies, problem) = (Latencies::default(), Mutex::default());
        Arc::new(Self { listen, latencies, problem })
    }

    /// Why nobody can ask, where that is so.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_problem(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

/// Serves metrics where they are wanted, for as long as there is a daemon.
pub(crate) fn serve(core: &Core) {
    let Some(metrics) = core.metrics.clone() else { return };
    let core = core.clone();
    tokio::spawn(async move {
        loop {
            let why = match bind(&metrics.listen).await {
                Ok(listener) => {
                    metrics.set_problem(None);
                    tracing::info!(listen = %metrics.listen, "metrics are served");
                    accept(&listener, &core, &metrics).await
                }
                Err(why) => why,
            };
            let problem = format!(
                "cannot serve metrics at {}: {why}; free it, or choose another as [metrics] listen and start auraed again",
                metrics.listen
            );
            if metrics.problem().as_ref() != Some(&problem) {
                tracing::error!("{problem}");
            }
            metrics.set_problem(Some(problem));
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
    let page = async move || page::page(&core, &metrics).await;
    tokio::spawn(async move {
        http::answer(stream, page).await;
        drop(place);
    });
}
