//! The gRPC door: the API itself.

mod asked;
mod batches;
mod connection;
mod daemon;
mod exec;
mod follow;
mod incoming;
mod observe;
mod origin;
mod output;
mod power;
mod record;
mod refused;
mod resume;
mod run;
mod runtime;
mod schedule;
mod sources;
mod status;
mod unit;
mod usage;
mod watching;

use std::{future::Future, io, os::unix::net::UnixListener, time::Duration};

use api::{
    daemon::daemon_server::DaemonServer, observe::observe_server::ObserveServer,
    runtime::runtime_server::RuntimeServer,
    schedule::schedule_executable_server::ScheduleExecutableServer,
    schedule::schedule_server::ScheduleServer,
};
use tokio::sync::watch;
use tonic::{
    Request, Status,
    service::InterceptorLayer,
    transport::{Error, Server},
};
use tonic_health::{ServingStatus, server::HealthReporter};

pub(crate) use connection::Connections;

use super::{Core, metrics::Timing};
use crate::scheduling::Health;

/// The largest request: an argv of 2 MiB fits, with room for its framing.
const LARGEST_REQUEST: usize = 4 << 20;
/// How often a silent connection is asked whether somebody is still there; one that does not answer within
/// the same time is closed, and its calls with it.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// What may be under way to a client that does not read: of one stream, of one connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
/// Calls of one connection at a time; more wait.
const STREAMS: u32 = 1024;

/// Serves until `closed` says so, and then until the last answer is out.
pub(crate) fn serve(
    listener: UnixListener,
    core: Core,
    closed: watch::Receiver<bool>,
    open: Connections,
) -> io::Result<impl Future<Output = Result<(), Error>> + Send> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let connections = incoming::Incoming::new(listener, open);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(api::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(io::Error::other)?;
    let (reporter, health) = tonic_health::server::health_reporter();
    let (keeper, schedule) = (core.keeper.watch(), core.schedule.health());
    let timing = Timing(core.metrics.clone());
    let reading = ScheduleServer::new(schedule::Schedule::new(core.clone()));
    let changing = ScheduleExecutableServer::new(schedule::Schedule::new(core.clone()))
        .max_decoding_message_size(LARGEST_REQUEST);
    let succession = DaemonServer::new(daemon::Daemon::new(core.clone()));
    let runtime = RuntimeServer::new(runtime::Runtime::new(core.clone(), closed.clone()))
        .max_decoding_message_size(LARGEST_REQUEST);
    let observe = ObserveServer::new(observe::Observe::new(core, closed.clone()))
        .max_decoding_message_size(LARGEST_REQUEST);
    let mut until = closed;
    Ok(async move {
        tell_health(reporter, keeper, schedule).await;
        Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(STREAMS)
            .layer(timing)
            .layer(InterceptorLayer::new(admitted))
            .add_service(runtime)
            .add_service(observe)
            .add_service(reading)
            .add_service(changing)
            .add_service(succession)
            .add_service(health)
            .add_service(reflection)
            .serve_with_incoming_shutdown(connections, async move {
                // An error means that the daemon ends without a word: then so do we.
                drop(until.wait_for(|closed| *closed).await);
            })
            .await
    })
}

/// Whether the connection of a call has a place.
fn admitted(request: Request<()>) -> Result<Request<()>, Status> {
    match request.extensions().get::<connection::Peer>() {
        Some(peer) => peer.is_admitted().map(|()| request),
        None => Ok(request),
    }
}

/// Tells grpc.health.v1 what is served, and from then on what changes.
async fn tell_health(
    reporter: HealthReporter,
    mut keeper: watch::Receiver<bool>,
    mut schedule: watch::Receiver<Health>,
) {
    reporter.set_serving::<RuntimeServer<runtime::Runtime>>().await;
    reporter.set_serving::<ObserveServer<observe::Observe>>().await;
    reporter.set_serving::<DaemonServer<daemon::Daemon>>().await;
    let of_keeper = reporter.clone();
    tokio::spawn(async move {
        // What is left without it can be read and stopped; nothing can be started, and nobody can follow us.
        if keeper.wait_for(|lost| *lost).await.is_ok() {
            of_keeper.set_not_serving::<RuntimeServer<runtime::Runtime>>().await;
            of_keeper.set_not_serving::<DaemonServer<daemon::Daemon>>().await;
        }
    });
    tokio::spawn(async move {
        loop {
            let status = match *schedule.borrow_and_update() {
                Health::Open => ServingStatus::Serving,
                Health::Opening | Health::Unusable => ServingStatus::NotServing,
            };
            reporter.set_service_status("schedule.Schedule", status).await;
            reporter.set_service_status("schedule.ScheduleExecutable", status).await;
            if schedule.changed().await.is_err() {
                return;
            }
        }
    });
}
