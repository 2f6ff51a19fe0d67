//! What Ctrl-C and SIGTERM mean while a run is watched.

use api::runtime::StopRequest;
use client::Client;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
};
use tonic::Code;
use uuid::Uuid;

use crate::{
    exit_status::{self, EXEC_FAILED},
    failure::Failure,
    render,
};

/// The two signals by which people and programs end a command.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on these signals no longer end aer itself.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::Signals);
        let interrupt = listen(SignalKind::interrupt())?;
        let terminate = listen(SignalKind::terminate())?;
        Ok(Self { interrupt, terminate })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) -> i32 {
        let kind = tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        };
        kind.as_raw_value()
    }

    /// Hands signals on: the first stops the run with that signal, the second kills it. Returns at the third,
    /// with the status of a program that it ended: whoever asks three times does not want to wait for a
    /// daemon that does not answer.
    pub(crate) async fn relay(&mut self, client: &Client, run_id: Uuid) -> u8 {
        // Beside each other, so that an order that is not answered does not hold up the next one.
        let mut orders = JoinSet::new();
        let signal = self.next().await;
        orders.spawn(order(client.clone(), stop(run_id, signal)));
        self.next().await;
        let kill = StopRequest { kill: true, ..stop(run_id, 0) };
        orders.spawn(order(client.clone(), kill));
        exit_status::of_signal(self.next().await).unwrap_or(EXEC_FAILED)
    }
}

/// An order to stop a run; signal 0 leaves it to the daemon which one.
pub(crate) fn stop(run_id: Uuid, signal: i32) -> StopRequest {
    StopRequest { run_id: run_id.to_string(), signal, ..StopRequest::default() }
}

async fn order(client: Client, what: StopRequest) {
    if let Err(error) = client.stop(what).await
        // It ended in this moment: just what was wanted, and its exit is on the way.
        && error.code() != Some(Code::NotFound)
    {
        render::failure(&Failure::from(error));
    }
}
