//! `daemon.Daemon`: replacing the daemon, by another of the same program or of a new one.

use std::{path::PathBuf, sync::Arc, time::Duration};

use api::{
    daemon::{
        CancelPowerRequest, CancelPowerResponse, DescribeRequest, DescribeResponse, Leaving,
        LogLevelRequest, LogLevelResponse, PowerRequest, PowerResponse, RestartRequest,
        UpgradeRequest, daemon_server,
    },
    meta::AuraeMeta,
};
use keeper::protocol::{CORE, KEEPER};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use units::Origin;

use super::{
    follow::blocking,
    origin, power,
    status::{invalid, staying},
};
use crate::{
    audit::Attempt,
    daemon_log,
    doors::Core,
    succession::{
        Departure,
        candidate::{Candidate, Refused},
    },
};

/// How long we stay for a caller who does not go when he has our answer.
const LAST_WORD: Duration = Duration::from_secs(1);

/// The most of a filter that is told, in characters.
const LONGEST_SHOWN: usize = 1024;

/// The service.
pub(super) struct Daemon {
    core: Core,
}

type Answer = Response<ReceiverStream<Result<Leaving, Status>>>;

impl Daemon {
    /// Over this core.
    pub(super) fn new(core: Core) -> Self {
        Self { core }
    }

    /// Answers, and leaves when the caller has the answer.
    fn leave(&self, departure: Departure, version: String) -> Result<Answer, Status> {
        let succession = Arc::clone(&self.core.succession);
        succession.decide().map_err(staying)?;
        let starts = self.core.identity.starts;
        let upgrades = succession.upgrades().tried;
        let core = departure.programs.iter().any(|(name, _)| *name == CORE);
        let message = match core {
            true => format!("daemon {starts} leaves, and one of version {version} takes over"),
            false => format!("daemon {starts} leaves, and another takes over"),
        };
        let answer = Leaving {
            meta: Some(AuraeMeta { name: self.core.identity.node.clone(), message }),
            daemon_pid: std::process::id().try_into().unwrap_or(0),
            daemon_starts: starts,
            upgrades: upgrades.saturating_add(u32::from(core)),
            version,
        };
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            sender.send(Ok(answer)).await.ok();
            // Whoever has it goes; then the connection may break.
            tokio::time::timeout(LAST_WORD, sender.closed()).await.ok();
            succession.leave(departure);
            // The stream stays open until it breaks: to end it would be an answer, too.
            sender.closed().await;
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    /// Looks at another program, and leaves for it.
    async fn follow_up(&self, request: UpgradeRequest, by: String) -> Result<Answer, Status> {
        self.core.succession.may_leave().map_err(staying)?;
        let UpgradeRequest { binary, keep_keeper } = request;
        let path = if binary.is_empty() { our_own_path()? } else { PathBuf::from(binary) };
        let programs = blocking(move || programs(path, keep_keeper)).await?;
        let programs = programs.map_err(|why| invalid("binary", why))?;
        let version = programs.first().map(|(_, core)| core.checked.version.clone());
        self.leave(Departure { by, programs }, version.unwrap_or_default())
    }
}

#[tonic::async_trait]
impl daemon_server::Daemon for Daemon {
    type RestartStream = ReceiverStream<Result<Leaving, Status>>;

    async fn restart(&self, request: Request<RestartRequest>) -> Result<Answer, Status> {
        let origin = origin::of(&request)?;
        let mut outcome = self.core.audit.begin(Attempt::all("restart-daemon"), &origin);
        let by = by(&origin);
        let answer = self.leave(Departure { by, programs: Vec::new() }, String::new());
        outcome.tell(answer.as_ref());
        answer
    }

    type UpgradeStream = ReceiverStream<Result<Leaving, Status>>;

    async fn upgrade(&self, request: Request<UpgradeRequest>) -> Result<Answer, Status> {
        let origin = origin::of(&request)?;
        let attempt = Attempt::all("upgrade").with(request.get_ref().binary.clone());
        let mut outcome = self.core.audit.begin(attempt, &origin);
        let answer = self.follow_up(request.into_inner(), by(&origin)).await;
        outcome.tell(answer.as_ref());
        answer
    }

    async fn describe(
        &self,
        _: Request<DescribeRequest>,
    ) -> Result<Response<DescribeResponse>, Status> {
        let (who, succession) = (&self.core.identity, &self.core.succession);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let on_trial = succession.on_trial();
        let trial = if on_trial { ", on trial" } else { "" };
        let message = format!("auraed {version}, daemon {}{trial}", who.starts);
        Ok(Response::new(DescribeResponse {
            meta: Some(AuraeMeta { name: who.node.clone(), message }),
            version,
            daemon_pid: std::process::id().try_into().unwrap_or(0),
            keeper_pid: who.keeper,
            daemon_starts: who.starts,
            on_trial,
            upgrades: succession.upgrades().tried,
            given_up: succession.upgrades().given_up.clone(),
            power: power::planned(&self.core),
        }))
    }

    async fn power(
        &self,
        request: Request<PowerRequest>,
    ) -> Result<Response<PowerResponse>, Status> {
        let origin = origin::of(&request)?;
        let attempt = Attempt::all("power").with(power::described(request.get_ref()));
        let mut outcome = self.core.audit.begin(attempt, &origin);
        let (core, wanted) = (self.core.clone(), request.into_inner());
        // It writes a file.
        let answer = blocking(move || power::order(&core, wanted, &origin)).await?;
        outcome.tell(answer.as_ref());
        answer.map(Response::new)
    }

    async fn cancel_power(
        &self,
        request: Request<CancelPowerRequest>,
    ) -> Result<Response<CancelPowerResponse>, Status> {
        let origin = origin::of(&request)?;
        let mut outcome = self.core.audit.begin(Attempt::all("cancel-power"), &origin);
        let core = self.core.clone();
        let answer = blocking(move || power::cancel(&core)).await?;
        outcome.tell(answer.as_ref());
        answer.map(Response::new)
    }

    async fn log_level(
        &self,
        request: Request<LogLevelRequest>,
    ) -> Result<Response<LogLevelResponse>, Status> {
        let origin = origin::of(&request)?;
        let wanted = request.into_inner().filter;
        let wanted = wanted.trim();
        let name = self.core.identity.node.clone();
        if wanted.is_empty() {
            let filter = daemon_log::filter();
            let message = format!("the daemon prints what passes {filter}");
            let meta = Some(AuraeMeta { name, message });
            return Ok(Response::new(LogLevelResponse { meta, filter, before: String::new() }));
        }
        // Whoever makes the daemon silent is told of himself.
        let shown: String = wanted.chars().take(LONGEST_SHOWN).collect();
        let mut outcome = self.core.audit.begin(Attempt::all("log-level").with(shown), &origin);
        let before = daemon_log::change_filter(wanted).map_err(|why| invalid("filter", why));
        outcome.tell(before.as_ref());
        let (before, by) = (before?, by(&origin));
        tracing::info!("prints what passes {wanted} from now on, before {before}: ordered by {by}");
        let filter = wanted.to_owned();
        let message = format!("the daemon prints what passes {filter}, until it is replaced");
        Ok(Response::new(LogLevelResponse {
            meta: Some(AuraeMeta { name, message }),
            filter,
            before,
        }))
    }
}

/// Who wants it and why, for the next daemon to tell.
fn by(origin: &Origin) -> String {
    origin.to_string()
}

/// The new daemon, and the new keeper where there is one beside it.
fn programs(path: PathBuf, keep_keeper: bool) -> Result<Vec<(&'static str, Candidate)>, Refused> {
    let core = Candidate::open(&path)?;
    let beside = path.with_file_name("auraed");
    let keeper = match !keep_keeper && beside.exists() {
        true => Some(Candidate::open(&beside)?),
        false => None,
    };
    core.judge(keeper.as_ref())?;
    if let Some(keeper) = &keeper {
        keeper.judge_keeper()?;
    }
    Ok(std::iter::once((CORE, core)).chain(keeper.map(|keeper| (KEEPER, keeper))).collect())
}

/// Where our own program was found: what is there today may be its next version.
fn our_own_path() -> Result<PathBuf, Status> {
    let link = std::fs::read_link("/proc/self/exe").map_err(|why| {
        Status::internal(format!(
            "cannot find our own program by /proc/self/exe: {why}; give its path"
        ))
    })?;
    // One that was replaced by another file has this behind its name (proc(5)).
    let text = link.to_string_lossy().into_owned();
    Ok(text.strip_suffix(" (deleted)").map_or(link, PathBuf::from))
}
