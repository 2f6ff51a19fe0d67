//! Executing: with the answer at the end, or what a run does as it does it.

pub use api::runtime::run_frame::Frame;
use api::runtime::{Executable, ExecutableStatus, RunFrame};
use tonic::{Code, Streaming};
use uuid::Uuid;

use crate::{Client, ClientError};

/// A run that is watched. Dropping it before its end stops the run.
#[derive(Debug)]
pub struct RunStream {
    client: Client,
    attempt: String,
    /// What was asked for, with a run id that names it for ever.
    executable: Executable,
    /// None while the connection is broken.
    frames: Option<Streaming<RunFrame>>,
    /// The cursor of the last frame that had one.
    cursor: String,
    /// The run has been seen: it is not to be executed again, whatever a daemon knows.
    seen: bool,
}

impl Client {
    /// Executes a command, waits until it has ended, and gives its output and how it ended. A command that
    /// could not be started is an answer, not an error.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn exec(&self, executable: Executable) -> Result<ExecutableStatus, ClientError> {
        let attempt = running(&executable);
        let executable = identified(executable);
        let first = self.runtime().exec(self.request(executable.clone())).await;
        let failure = match self.answer(&attempt, first) {
            Err(failure) => failure,
            answered @ Ok(_) => return answered,
        };
        self.reunite(failure).await?;
        self.persist(async || {
            let answer = self.runtime().exec(self.request(reclaiming(&executable, ""))).await;
            match self.answer(&attempt, answer) {
                // A daemon that knows of no such run has executed nothing.
                Err(unknown) if unknown.code() == Some(Code::NotFound) => {
                    let again = self.runtime().exec(self.request(executable.clone())).await;
                    self.answer(&attempt, again)
                }
                answer => answer,
            }
        })
        .await
    }

    /// Executes a command and gives what it does as it does it. The run is stopped where the stream is
    /// dropped before its end.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn run(&self, executable: Executable) -> Result<RunStream, ClientError> {
        let attempt = running(&executable);
        let executable = identified(executable);
        let (client, cursor) = (self.clone(), String::new());
        let mut stream =
            RunStream { client, attempt, executable, frames: None, cursor, seen: false };
        let answer = self.runtime().run(self.request(stream.executable.clone())).await;
        match self.answer(&stream.attempt, answer) {
            Ok(frames) => stream.frames = Some(frames),
            Err(failure) => {
                self.reunite(failure).await?;
                stream.reclaim().await?;
            }
        }
        Ok(stream)
    }
}

impl RunStream {
    /// The next thing that the run did, each once. [`Frame::Exit`] is the last: nothing comes after it.
    ///
    /// # Errors
    /// As [`ClientError`] says; the end of the stream before the exit is one.
    pub async fn next(&mut self) -> Result<Frame, ClientError> {
        loop {
            let Some(frames) = &mut self.frames else {
                self.reclaim().await?;
                continue;
            };
            let message = frames.message().await.map_err(|status| {
                ClientError::call(self.client.endpoint(), &self.attempt, &status)
            });
            match message {
                Ok(Some(RunFrame { frame, cursor })) => {
                    if !cursor.is_empty() {
                        self.cursor = cursor;
                    }
                    match frame {
                        // Told again by whoever goes on with it.
                        Some(Frame::Started(_)) if std::mem::replace(&mut self.seen, true) => {}
                        Some(frame) => return Ok(frame),
                        // A newer daemon may tell of things that this client does not know.
                        None => {}
                    }
                }
                Ok(None) => return Err(ClientError::NoExit { attempt: self.attempt.clone() }),
                Err(failure) => {
                    self.client.reunite(failure).await?;
                    self.frames = None;
                }
            }
        }
    }

    /// Goes on with the run where it stood.
    async fn reclaim(&mut self) -> Result<(), ClientError> {
        let client = self.client.clone();
        let frames = client.persist(async || {
            let request = client.request(reclaiming(&self.executable, &self.cursor));
            let answer = client.answer(&self.attempt, client.runtime().run(request).await);
            match answer {
                // A daemon that knows of no such run has executed nothing.
                Err(unknown) if unknown.code() == Some(Code::NotFound) && !self.seen => {
                    let request = client.request(self.executable.clone());
                    client.answer(&self.attempt, client.runtime().run(request).await)
                }
                answer => answer,
            }
        });
        self.frames = Some(frames.await?);
        Ok(())
    }
}

/// The same, with a run id by which it can be found again.
fn identified(mut executable: Executable) -> Executable {
    if executable.run_id.is_empty() {
        executable.run_id = Uuid::new_v4().to_string();
    }
    executable
}

/// A request for what that one began; never executes anything.
fn reclaiming(executable: &Executable, cursor: &str) -> Executable {
    let (run_id, resume) = (executable.run_id.clone(), Some(cursor.to_owned()));
    Executable { run_id, resume, ..Executable::default() }
}

/// Names what is run by its program: a whole command line would bury the rest of the message.
fn running(executable: &Executable) -> String {
    let words = executable.argv.first().map(String::as_str);
    let program = words.or_else(|| executable.command.split_whitespace().next());
    format!("running {}", program.unwrap_or("a command"))
}
