//! A client of dRPC, by which DAOS's programs speak, for module 16: what runs on a machine (docs/drpc.md).
//!
//! One session, one call after the other, in the newer framing. It knows nothing of the daemon but that page.

use std::{
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::net,
    },
    path::{Path, PathBuf},
};

use api::drpc::{
    der,
    envelope::{Call, Response, Status},
    framing::{Assembly, Framing, PACKET, Violation},
    method, module,
    process::{DoneResp, Line, ListReq, ListResp, LogsReq, LogsResp, NameReq, SignalReq, Unit},
};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket,
};
use prost::Message;
use tokio::{io::Interest, net::UnixStream};

/// Why a call has no answer, or not the one that was wanted.
#[derive(Debug, thiserror::Error)]
pub enum DrpcError {
    /// Nobody is there.
    #[error(
        "connecting to {} by dRPC: {why}; check the path, and that auraed has it as [doors.drpc] socket", path.display()
    )]
    Connect {
        /// Where.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// The session broke.
    #[error("speaking by dRPC: {0}; check that auraed runs there, and try again")]
    Broken(#[from] io::Error),
    /// The daemon has ended it.
    #[error("the daemon has closed the session; check that it serves you ([doors.drpc] uids)")]
    Closed,
    /// What came is no message.
    #[error("what the daemon sent cannot be read: {0}; use an aer of its release")]
    Violation(#[from] Violation),
    /// The same, inside of it.
    #[error("what the daemon sent cannot be read: {0}; use an aer of its release")]
    Unreadable(#[from] prost::DecodeError),
    /// It answers another call.
    #[error("the daemon answered call {0} where {1} was made; connect again")]
    OutOfTurn(i64, i64),
    /// It was not taken as a call.
    #[error("the daemon does not take the call: {0}; use an aer of its release")]
    NotTaken(&'static str),
    /// It was not done.
    #[error("{message} (DER {code})")]
    Undone {
        /// DAOS's code.
        code: i32,
        /// Why, in the daemon's words.
        message: String,
    },
}

/// A session.
#[derive(Debug)]
pub struct DrpcClient {
    stream: UnixStream,
    assembly: Assembly,
    sequence: i64,
    reason: String,
}

impl DrpcClient {
    /// One with the daemon whose socket this is.
    ///
    /// # Errors
    /// [`DrpcError::Connect`].
    pub fn connect(path: &Path) -> Result<Self, DrpcError> {
        let session = || -> io::Result<UnixStream> {
            let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
            let ours: OwnedFd = socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?;
            connect(ours.as_raw_fd(), &UnixAddr::new(path)?)?;
            // Made to read and write of packets: tokio only watches it.
            UnixStream::from_std(net::UnixStream::from(ours))
        };
        let stream =
            session().map_err(|why| DrpcError::Connect { path: path.to_path_buf(), why })?;
        let assembly = Assembly::of(Framing::Chunked);
        Ok(Self { stream, assembly, sequence: 0, reason: String::new() })
    }

    /// Says with each change why it is made.
    #[must_use]
    pub fn with_reason(self, reason: &str) -> Self {
        Self { reason: reason.to_owned(), ..self }
    }

    /// Brings a unit up.
    ///
    /// # Errors
    /// See [`DrpcError`], as of all calls.
    pub async fn start(&mut self, name: &str) -> Result<DoneResp, DrpcError> {
        self.done(method::START, &self.named(name)).await
    }

    /// Brings a unit down, by a kill with `force`.
    ///
    /// # Errors
    /// See above.
    pub async fn stop(&mut self, name: &str, force: bool) -> Result<DoneResp, DrpcError> {
        let request = NameReq { force, ..self.named(name) };
        self.done(method::STOP, &request).await
    }

    /// Brings a unit down, where it is up, and up again.
    ///
    /// # Errors
    /// See above.
    pub async fn restart(&mut self, name: &str) -> Result<DoneResp, DrpcError> {
        self.done(method::RESTART, &self.named(name)).await
    }

    /// Sends a signal to the main process, or to all.
    ///
    /// # Errors
    /// See above.
    pub async fn signal(
        &mut self,
        name: &str,
        signal: i32,
        all: bool,
    ) -> Result<DoneResp, DrpcError> {
        let (name, reason) = (name.to_owned(), self.reason.clone());
        self.done(method::SIGNAL, &SignalReq { name, signal, all, reason }).await
    }

    /// Has a registered unit start at boot.
    ///
    /// # Errors
    /// See above.
    pub async fn enable(&mut self, name: &str) -> Result<(), DrpcError> {
        self.done(method::ENABLE, &self.named(name)).await.map(drop)
    }

    /// Has a registered unit not start at boot.
    ///
    /// # Errors
    /// See above.
    pub async fn disable(&mut self, name: &str) -> Result<(), DrpcError> {
        self.done(method::DISABLE, &self.named(name)).await.map(drop)
    }

    /// One unit.
    ///
    /// # Errors
    /// See above.
    pub async fn status(&mut self, name: &str) -> Result<Unit, DrpcError> {
        let request = ListReq { name: name.to_owned(), ..ListReq::default() };
        let told: ListResp = self.call(method::STATUS, &request).await?;
        was_done(told.status, &told.message)?;
        Ok(told.units.into_iter().next().unwrap_or_default())
    }

    /// All units, by name.
    ///
    /// # Errors
    /// See above.
    pub async fn list(&mut self) -> Result<Vec<Unit>, DrpcError> {
        let mut units: Vec<Unit> = Vec::new();
        loop {
            let after = units.last().map(|unit| unit.name.clone()).unwrap_or_default();
            let request = ListReq { after, ..ListReq::default() };
            let told: ListResp = self.call(method::LIST, &request).await?;
            was_done(told.status, &told.message)?;
            let more = told.more && !told.units.is_empty();
            units.extend(told.units);
            if !more {
                return Ok(units);
            }
        }
    }

    /// The last lines of a unit; 0 is as many as is usual.
    ///
    /// # Errors
    /// See above.
    pub async fn logs(&mut self, name: &str, lines: u32) -> Result<Vec<Line>, DrpcError> {
        let request = LogsReq { name: name.to_owned(), lines };
        let told: LogsResp = self.call(method::LOGS, &request).await?;
        was_done(told.status, &told.message)?;
        Ok(told.lines)
    }

    fn named(&self, name: &str) -> NameReq {
        NameReq { name: name.to_owned(), reason: self.reason.clone(), force: false }
    }

    async fn done(&mut self, method: i32, request: &impl Message) -> Result<DoneResp, DrpcError> {
        let done: DoneResp = self.call(method, request).await?;
        was_done(done.status, &done.message)?;
        Ok(done)
    }

    /// Makes a call of module 16, and waits for its answer.
    async fn call<A: Message + Default>(
        &mut self,
        method: i32,
        request: &impl Message,
    ) -> Result<A, DrpcError> {
        self.sequence = self.sequence.saturating_add(1);
        let (module, sequence, body) = (module::PROCESS, self.sequence, request.encode_to_vec());
        let call = Call { module, method, sequence, body };
        for packet in Framing::Chunked.packets(&call.encode_to_vec())? {
            self.send(&packet).await?;
        }
        let Response { sequence: answered, status, body } = self.answer().await?;
        let status = Status::try_from(status).unwrap_or(Status::Failure);
        if status == Status::Success && answered != sequence {
            return Err(DrpcError::OutOfTurn(answered, sequence));
        }
        match status {
            Status::Success => Ok(A::decode(body.as_slice())?),
            Status::Submitted
            | Status::Failure
            | Status::UnknownModule
            | Status::UnknownMethod
            | Status::FailedUnmarshalCall
            | Status::FailedUnmarshalPayload
            | Status::FailedMarshal => Err(DrpcError::NotTaken(status.as_str_name())),
        }
    }

    async fn send(&self, packet: &[u8]) -> io::Result<()> {
        let put = || {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            Ok(send(self.stream.as_raw_fd(), packet, flags)?)
        };
        self.stream.async_io(Interest::WRITABLE, put).await.map(drop)
    }

    async fn answer(&mut self) -> Result<Response, DrpcError> {
        let mut packet = vec![0; PACKET];
        loop {
            let socket = self.stream.as_raw_fd();
            let take = || Ok(recv(socket, &mut packet, MsgFlags::MSG_DONTWAIT)?);
            let length = self.stream.async_io(Interest::READABLE, take).await?;
            if length == 0 {
                return Err(DrpcError::Closed);
            }
            let taken = packet.get(..length).unwrap_or_default();
            if let Some(message) = self.assembly.take(taken)? {
                return Ok(Response::decode(message.as_slice())?);
            }
        }
    }
}

fn was_done(code: i32, message: &str) -> Result<(), DrpcError> {
    if code == der::SUCCESS {
        return Ok(());
    }
    Err(DrpcError::Undone { code, message: message.to_owned() })
}
