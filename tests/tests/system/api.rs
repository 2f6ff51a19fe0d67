//! The wire as a whole: reflection, health, status, and what comes later.

use tests::{Daemon, Options, Run, argv, eventually, wait::wall_clock};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[]; reflection, health, status, counts, unknown_calls_are_unimplemented]
}

/// Reflection lists every service.
fn reflection() {
    Daemon::with(Options::default(), |daemon| {
        let mut client = ServerReflectionClient::new(daemon.connect());
        let ask = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let answer = daemon.block(async {
            let mut stream = client
                .server_reflection_info(tokio_stream::iter([ask]))
                .await
                .unwrap()
                .into_inner();
            stream.message().await.unwrap().unwrap()
        });
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("{answer:?}");
        };
        let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
        for name in [
            "observe.Observe",
            "runtime.Runtime",
            "schedule.Schedule",
            "schedule.ScheduleExecutable",
            "grpc.health.v1.Health",
        ] {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
    });
}

/// The whole and each service is SERVING; an unknown one is NOT_FOUND.
fn health() {
    Daemon::with(Options::default(), |daemon| {
        let mut client = HealthClient::new(daemon.connect());
        for service in [
            "",
            "observe.Observe",
            "runtime.Runtime",
            "schedule.Schedule",
            "schedule.ScheduleExecutable",
        ] {
            let request = HealthCheckRequest { service: service.to_owned() };
            // The schedule is opened beside the start, which does not wait for it.
            eventually(&format!("{service:?} serves"), || {
                let answer = daemon.block(client.check(request.clone())).unwrap().into_inner();
                answer.status().as_str_name() == "SERVING"
            });
        }
        let request = HealthCheckRequest { service: "no.Such".to_owned() };
        assert_eq!(daemon.block(client.check(request)).unwrap_err().code(), Code::NotFound);
    });
}

/// Status says who is answering, in a line and in fields.
fn status() {
    let before = wall_clock();
    Daemon::with(Options::default(), |daemon| {
        let status = daemon.status();
        let meta = status.meta.unwrap();
        assert_eq!(meta.name, "test-node");
        assert!(meta.message.contains(&status.version), "{}", meta.message);
        assert_eq!(meta.message.lines().count(), 1, "{}", meta.message);
        assert!(status.healthy && status.problems.is_empty(), "{:?}", status.problems);
        assert!(tests::procfs::alive(status.daemon_pid) && status.daemon_pid != status.keeper_pid);
        assert!((before..=wall_clock()).contains(&status.started_at));
    });
}

/// Status counts runs: those alive, and all.
fn counts() {
    Daemon::with(Options::default(), |daemon| {
        assert_eq!((daemon.status().runs_live, daemon.status().runs_total), (0, 0));
        daemon.answer(argv(&["/bin/true"]));
        let two: Vec<Run<'_>> = (0..2).map(|_| daemon.run(daemon.probe(&["pause"]))).collect();
        assert_eq!((daemon.status().runs_live, daemon.status().runs_total), (2, 3));
        drop(two);
        eventually("dropped runs are not live", || daemon.status().runs_live == 0);
    });
}

/// A method or service that does not exist is UNIMPLEMENTED, as gRPC has it.
fn unknown_calls_are_unimplemented() {
    Daemon::with(Options::default(), |daemon| {
        let mut client = HealthClient::with_origin(
            daemon.connect(),
            "http://unix/prefix".parse().expect("a URI"),
        );
        let request = HealthCheckRequest::default();
        let status = daemon.block(client.check(request)).unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{status}");
    });
}
