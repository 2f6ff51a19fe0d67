//! The daemon itself: it is replaced, and nothing but it ends.

use std::time::Duration;

use api::daemon::{
    CancelPowerRequest, CancelPowerResponse, DescribeRequest, DescribeResponse, Leaving,
    LogLevelRequest, LogLevelResponse, PowerRequest, PowerResponse, RestartRequest, UpgradeRequest,
    daemon_client::DaemonClient,
};
use tonic::{Response, Status, Streaming, transport::Channel};

use crate::{Client, ClientError, Obstacle, QUICK_ANSWER};

/// How long the next daemon may take to serve before it is given up: a new one that hangs has 30 s, if nobody says
/// otherwise, and then the one before has to begin again.
pub const NEXT_DAEMON: Duration = Duration::from_secs(120);

/// How long is waited between two looks whether another daemon serves. A look waits by itself for whoever accepts it, so
/// that few are in vain.
const LOOK: Duration = Duration::from_millis(20);

impl Client {
    /// Has the daemon replaced by another of the same program, and returns when that serves. Every run goes on.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn restart_daemon(&self) -> Result<DescribeResponse, ClientError> {
        let attempt = "restarting the daemon";
        let answer = self.daemon().restart(self.request(RestartRequest {})).await;
        let leaving = self.leaving(attempt, answer).await?;
        self.follow(attempt, &leaving).await
    }

    /// Has the daemon replaced by one of that program, or of what is where its own was found, and returns when that is
    /// found healthy. With `keep_keeper` the keeper stays what it is.
    ///
    /// # Errors
    /// [`ClientError::GivenUp`] where it was not healthy and the daemon before is back; otherwise as [`ClientError`] says.
    pub async fn upgrade_daemon(
        &self,
        binary: &str,
        keep_keeper: bool,
    ) -> Result<DescribeResponse, ClientError> {
        let attempt = match binary {
            "" => "upgrading the daemon".to_owned(),
            binary => format!("upgrading the daemon to {binary}"),
        };
        let request = self.request(UpgradeRequest { binary: binary.to_owned(), keep_keeper });
        let answer = self.daemon().upgrade(request).await;
        let leaving = self.leaving(&attempt, answer).await?;
        let next = self.follow(&attempt, &leaving).await?;
        if next.upgrades == leaving.upgrades && !next.given_up.is_empty() {
            return Err(ClientError::GivenUp { attempt, why: next.given_up });
        }
        Ok(next)
    }

    /// Asks which daemon serves.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn describe_daemon(&self) -> Result<DescribeResponse, ClientError> {
        let mut daemon = self.daemon();
        let request = self.request(DescribeRequest {});
        self.within(QUICK_ANSWER, "asking which daemon serves", daemon.describe(request)).await
    }

    /// Has the daemon print by another filter until it is replaced; an empty one only asks for the present one.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn log_level(&self, filter: &str) -> Result<LogLevelResponse, ClientError> {
        let mut daemon = self.daemon();
        let attempt = match filter {
            "" => "asking what the daemon prints".to_owned(),
            filter => format!("setting the log level {filter:?}"),
        };
        let request = self.request(LogLevelRequest { filter: filter.to_owned() });
        self.within(QUICK_ANSWER, &attempt, daemon.log_level(request)).await
    }

    /// Ends the machine, or the container, of which auraed is the first process: now, or later.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn power(&self, wanted: PowerRequest) -> Result<PowerResponse, ClientError> {
        let mut daemon = self.daemon();
        let request = self.request(wanted);
        self.within(QUICK_ANSWER, "ending the machine", daemon.power(request)).await
    }

    /// Takes back what [`Client::power`] has planned for later.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn cancel_power(&self) -> Result<CancelPowerResponse, ClientError> {
        let mut daemon = self.daemon();
        let attempt = "cancelling the end of the machine";
        let request = self.request(CancelPowerRequest {});
        self.within(QUICK_ANSWER, attempt, daemon.cancel_power(request)).await
    }

    fn daemon(&self) -> DaemonClient<Channel> {
        DaemonClient::new(self.channel())
    }

    /// The daemon's word that it leaves. With the stream we let it go.
    async fn leaving(
        &self,
        attempt: &str,
        answer: Result<Response<Streaming<Leaving>>, Status>,
    ) -> Result<Leaving, ClientError> {
        let mut stream = self.answer(attempt, answer)?;
        let message = stream.message().await;
        let message = message.map_err(|why| ClientError::call(self.endpoint(), attempt, &why))?;
        message.ok_or_else(|| ClientError::Empty { attempt: attempt.to_owned() })
    }

    /// Waits for a daemon that came after that one and is on trial no more.
    async fn follow(
        &self,
        attempt: &str,
        leaving: &Leaving,
    ) -> Result<DescribeResponse, ClientError> {
        let looks = async {
            loop {
                if let Some(next) = self.look(leaving).await? {
                    return Ok(next);
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let silent = || ClientError::Silent { attempt: attempt.to_owned(), bound: NEXT_DAEMON };
        tokio::time::timeout(NEXT_DAEMON, looks).await.unwrap_or_else(|_| Err(silent()))
    }

    /// The daemon that came after that one, if it serves already and is on trial no more. A connection breaks with the
    /// daemon, and one that waits for the next goes to that. There is a socket all the time: where there is none, or
    /// nobody has it open, the keeper is gone, and no daemon comes.
    async fn look(&self, leaving: &Leaving) -> Result<Option<DescribeResponse>, ClientError> {
        let connected = match Self::connect(self.endpoint().clone()).await {
            Err(
                gone @ ClientError::Connect {
                    obstacle: Obstacle::Missing | Obstacle::Refused, ..
                },
            ) => {
                return Err(gone);
            }
            connected => connected,
        };
        let Ok(next) = connected else { return Ok(None) };
        let described = next.describe_daemon().await.ok();
        Ok(described.filter(|next| next.daemon_starts > leaving.daemon_starts && !next.on_trial))
    }
}
