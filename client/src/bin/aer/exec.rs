//! `aer exec`: a command, its output as it comes, and its exit status.

use api::{
    meta::AuraeMeta,
    runtime::{Executable, ExecutableStatus},
};
use client::{Client, ClientError, Frame, RunStream};
use uuid::Uuid;

use crate::{
    arguments::{Exec, Format},
    exit_status,
    failure::Failure,
    render::{self, Outputs},
    signals::{self, Signals},
};

pub(crate) async fn run(client: &Client, wanted: Exec, output: Format) -> Result<u8, Failure> {
    // Chosen here, so that the run can be stopped before its first frame has come.
    let run_id = wanted.run_id.unwrap_or_else(Uuid::new_v4);
    let executable = executable(wanted, run_id);
    let ended = match output {
        Format::Table => watch(client, executable, run_id).await,
        Format::Json => answer(client, executable, run_id).await,
    };
    match ended {
        Err(Failure::Client(error @ (ClientError::Broken { .. } | ClientError::NoExit { .. }))) => {
            Err(Failure::OutOfSight { error, run_id })
        }
        Ok(_) | Err(_) => ended,
    }
}

fn executable(wanted: Exec, run_id: Uuid) -> Executable {
    let name = wanted.name.unwrap_or_default();
    wanted.setting.on(Executable {
        meta: Some(AuraeMeta { name, ..AuraeMeta::default() }),
        command: wanted.command.unwrap_or_default(),
        comment: wanted.comment.unwrap_or_default(),
        argv: wanted.argv,
        run_id: run_id.to_string(),
        ..Executable::default()
    })
}

/// Prints what the run prints.
async fn watch(client: &Client, executable: Executable, run_id: Uuid) -> Result<u8, Failure> {
    // Until the daemon has taken the run, a signal ends aer and the end of the call stops the run.
    let mut frames = client.run(executable).await?;
    let mut signals = Signals::listen()?;
    let ended = tokio::select! {
        ended = follow(&mut frames) => ended,
        status = signals.relay(client, run_id) => return Ok(status),
    };
    if let Err(Failure::Output { .. }) = &ended {
        stop_unread(client, run_id, &mut signals).await;
    }
    ended
}

async fn follow(frames: &mut RunStream) -> Result<u8, Failure> {
    let mut outputs = Outputs::new();
    loop {
        match frames.next().await? {
            Frame::Started(_) => {}
            Frame::Stdout(bytes) => outputs.stdout(&bytes).await?,
            Frame::Stderr(bytes) => outputs.stderr(&bytes).await?,
            Frame::Gap(gap) => render::missing(None, (gap.bytes, 0), &gap.message),
            Frame::Exit(record) => return exit_status::of_record(&record),
        }
    }
}

/// Nobody reads the output any more, so nobody wants the run. The end of the call stops it too; the order
/// makes sure that it is on record. Its answer is not needed, and a signal ends the wait for it.
async fn stop_unread(client: &Client, run_id: Uuid, signals: &mut Signals) {
    tokio::select! {
        _ = client.stop(signals::stop(run_id, 0)) => {}
        _ = signals.next() => {}
    }
}

/// Waits for the whole answer, and prints it as JSON.
async fn answer(client: &Client, executable: Executable, run_id: Uuid) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let answer: ExecutableStatus = tokio::select! {
        answer = client.exec(executable) => answer?,
        status = signals.relay(client, run_id) => return Ok(status),
    };
    render::json(&render::Executed::from(&answer))?;
    exit_status::of_answer(&answer)
}
