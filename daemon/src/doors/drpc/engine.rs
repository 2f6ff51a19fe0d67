//! As much of DAOS's module 3 as a process manager can answer honestly: a child says that it is ready, and that something has
//! happened.
//!
//! Invariant: who says so is not believed but found out: the kernel names the process, and its cgroup the run.

use api::drpc::{
    envelope::Status,
    framing::Framing,
    method,
    srv::{ClusterEventReq, ClusterEventResp, NotifyReadyReq, RasEvent, ras_event::ExtendedInfo},
};
use nix::{
    errno::Errno,
    sys::socket::{UnixAddr, getsockopt, sockopt::PeerPidfd},
};
use prost::Message;
use std::{
    fs,
    os::fd::{AsFd, AsRawFd},
};
use units::{Event, Found, RunId, Target, kept::Listener};

use super::{answering::decoded, session::Caller};
use crate::{doors::Core, notify, supervisor};

/// Letters of an event in our log.
const LONGEST_EVENT: usize = 4096;
/// The severities of DAOS's events (ras.h); what is neither is a notice.
const ERROR: u32 = 1;
const WARNING: u32 = 2;

/// Answers a call of this module.
pub(super) async fn answer(
    caller: &Caller<'_>,
    method: i32,
    body: &[u8],
) -> Result<Vec<u8>, Status> {
    match method {
        method::NOTIFY_READY => notify_ready(caller, &decoded(body)?).await.map(|()| Vec::new()),
        method::CLUSTER_EVENT => {
            let ClusterEventReq { sequence, event } = decoded(body)?;
            told(caller, &event.unwrap_or_default()).await;
            Ok(ClusterEventResp { sequence, status: 0 }.encode_to_vec())
        }
        _ => Err(Status::UnknownMethod),
    }
}

/// The run that calls, where it is one of ours that lives.
async fn run_of(caller: &Caller<'_>) -> Option<Found> {
    let pid = caller.peer.pid?;
    let run = run_of_peer(caller.core, caller.stream, pid)?;
    let origin = caller.peer.origin(String::new());
    let found = caller.core.find(Target::Run(run), origin).await.ok()??;
    found.ended.is_none().then_some(found)
}

/// The run that the process at the other end belongs to. Its number may be another's by now: so it is looked whether it still
/// has it, after all else, where the kernel can tell (since 6.5).
pub(super) fn run_of_peer(core: &Core, stream: &impl AsFd, pid: i32) -> Option<RunId> {
    if pid <= 0 {
        return None;
    }
    let process = match getsockopt(stream, PeerPidfd) {
        Ok(process) => Some(process),
        Err(Errno::ENOPROTOOPT) => None,
        Err(_) => return None,
    };
    let run = match &core.cgroups {
        Some(cgroups) => cgroups.run_of_process(pid),
        None => notify::claimed_run(pid),
    }?;
    let is_it = process.is_none_or(|process| {
        let known = fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd()));
        let number = known.ok().and_then(|text| {
            text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<i32>().ok())
        });
        number == Some(pid)
    });
    is_it.then_some(run)
}

/// An engine serves: that is its unit's readiness, where it is one that says so.
async fn notify_ready(caller: &Caller<'_>, said: &NotifyReadyReq) -> Result<(), Status> {
    let NotifyReadyReq { uri, instance_idx, drpc_listener_sock, .. } = said;
    let who = caller.peer.identity();
    let Some(found) = run_of(caller).await else {
        tracing::warn!(
            %who,
            "NotifyReady from a process that belongs to no unit that runs; it was refused"
        );
        return Err(Status::Failure);
    };
    tracing::info!(name = %found.name, %who, instance = instance_idx, uri = %shown(uri), "serves, as it says by dRPC");
    let listener = (!drpc_listener_sock.is_empty()).then(|| Listener {
        socket: drpc_listener_sock.clone(),
        // DAOS gives an engine its rank by other means, of which we hear nothing; engines answer to any.
        rank: *instance_idx,
        chunked: caller.framing == Framing::Chunked,
    });
    let listener = listener.filter(|it| {
        let can_be = is_place(&it.socket);
        if !can_be {
            tracing::warn!(name = %found.name, socket = %shown(&it.socket), "cannot be where it listens: an absolute path of 107 bytes at most is wanted; it will not be called");
        }
        can_be
    });
    let serves = Event::Serves { run: found.run, listener };
    caller.core.inbox.send(supervisor::Message::Event(serves));
    Ok(())
}

/// Whether a socket can be there, and a line of the log name it.
fn is_place(path: &str) -> bool {
    path.starts_with('/') && !path.contains(char::is_control) && UnixAddr::new(path).is_ok()
}

/// An event, as a line of our log.
async fn told(caller: &Caller<'_>, event: &RasEvent) {
    let found = run_of(caller).await;
    let from = found.map_or_else(|| caller.peer.identity(), |found| found.name.to_string());
    let line = line(event);
    match event.severity {
        ERROR => tracing::error!(%from, "dRPC event: {line}"),
        WARNING => tracing::warn!(%from, "dRPC event: {line}"),
        _ => tracing::info!(%from, "dRPC event: {line}"),
    }
}

/// What is said of it, in one line that commands no terminal.
fn line(event: &RasEvent) -> String {
    let RasEvent { id, msg, timestamp, hostname, rank, incarnation, .. } = event;
    let mut line = format!("{msg} (id {id}, rank {rank}, incarnation {incarnation}");
    let words = [
        ("at", timestamp),
        ("host", hostname),
        ("hardware", &event.hw_id),
        ("job", &event.job_id),
        ("pool", &event.pool_uuid),
        ("container", &event.cont_uuid),
        ("object", &event.obj_id),
        ("operation", &event.ctl_op),
    ];
    for (what, value) in words.into_iter().filter(|(_, value)| !value.is_empty()) {
        line.push_str(&format!(", {what} {value}"));
    }
    line.push(')');
    match &event.extended_info {
        None => {}
        Some(ExtendedInfo::StrInfo(text)) => line.push_str(&format!(": {text}")),
        Some(ExtendedInfo::EngineStateInfo(state)) => {
            let how = if state.errored { "failed" } else { "changed" };
            line.push_str(&format!(": instance {} {how}: {}", state.instance, state.error));
        }
        Some(ExtendedInfo::PoolSvcInfo(pool)) => {
            line.push_str(&format!(": pool service {:?}, version {}", pool.svc_reps, pool.version));
        }
    }
    shown(&line)
}

fn shown(text: &str) -> String {
    let kept = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(LONGEST_EVENT).map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let info = Some(ExtendedInfo::StrInfo("\u{1b}[2Jgone\nmore".to_owned()));
        let event = RasEvent {
            id: 7,
            msg: "engine died".to_owned(),
            rank: 3,
            hw_id: "nvme0".to_owned(),
            extended_info: info,
            ..RasEvent::default()
        };
        let wanted = "engine died (id 7, rank 3, incarnation 0, hardware nvme0):  [2Jgone more";
        assert_eq!(line(&event), wanted);
        let event = RasEvent { msg: "x".repeat(100_000), ..RasEvent::default() };
        assert_eq!(line(&event).len(), LONGEST_EVENT);
    }
}
