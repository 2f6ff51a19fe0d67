//! One end of a channel between keeper and daemon: a `SOCK_SEQPACKET` socket that moves messages and
//! descriptors.
#![expect(unsafe_code, reason = "descriptors that the kernel has just given us become owned here")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::socket::{
        AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
    },
};

use crate::protocol::{MAX_DESCRIPTORS, MAX_MESSAGE};

/// One end.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
    /// Where messages arrive; made with the first.
    buffer: Vec<u8>,
}

/// What came out of a channel.
#[derive(Debug)]
pub struct Packet {
    /// The message's bytes.
    pub bytes: Vec<u8>,
    /// The descriptors that came with it, close-on-exec.
    pub descriptors: Vec<OwnedFd>,
    /// Whether descriptors were lost because this process could not take them all (recvmsg(2), MSG_CTRUNC).
    pub truncated: bool,
}

/// Whether to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Wait until it can be done.
    Wait,
    /// Answer [`io::ErrorKind::WouldBlock`] where it would have to wait.
    Now,
}

impl Channel {
    /// Two connected ends, close-on-exec.
    ///
    /// # Errors
    /// Those of socketpair(2).
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self::from(one), Self::from(other)))
    }

    /// The end that this process inherited as that descriptor.
    ///
    /// # Errors
    /// `EBADF` where nothing was inherited.
    pub fn inherited(descriptor: RawFd) -> io::Result<Self> {
        // SAFETY: fcntl on a number that is not open answers EBADF and touches nothing.
        let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
        fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        // SAFETY: it is open, and by the protocol it was inherited for us alone; main calls this once for
        // each number before anything else opens descriptors.
        Ok(Self::from(unsafe { OwnedFd::from_raw_fd(descriptor) }))
    }

    /// Another handle of the same end.
    ///
    /// # Errors
    /// Those of fcntl(2), F_DUPFD_CLOEXEC.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::from(self.socket.try_clone()?))
    }

    /// The descriptor, to be inherited by another process.
    #[must_use]
    pub fn into_descriptor(self) -> OwnedFd {
        self.socket
    }

    /// Sends one message.
    ///
    /// # Errors
    /// `EPIPE` where the other end is gone; [`io::ErrorKind::WouldBlock`] by `patience`; `EMSGSIZE`, and
    /// any other error of sendmsg(2).
    pub fn send(
        &self,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
        patience: Patience,
    ) -> io::Result<()> {
        if bytes.len() > MAX_MESSAGE || descriptors.len() > MAX_DESCRIPTORS {
            return Err(Errno::EMSGSIZE.into());
        }
        let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let control = [ControlMessage::ScmRights(&numbers)];
        let control = if numbers.is_empty() { &[][..] } else { &control[..] };
        let flags = MsgFlags::MSG_NOSIGNAL | patience.flags();
        let parts = [io::IoSlice::new(bytes)];
        sendmsg::<()>(self.socket.as_raw_fd(), &parts, control, flags, None)?;
        Ok(())
    }

    /// Receives one message; `None` where the other end is gone.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] by `patience`; `EMSGSIZE` for a message that is too long; any other
    /// error of recvmsg(2).
    pub fn receive(&mut self, patience: Patience) -> io::Result<Option<Packet>> {
        self.buffer.resize(MAX_MESSAGE, 0);
        let mut room = nix::cmsg_space!([RawFd; MAX_DESCRIPTORS]);
        let (length, flags, descriptors) = receive_raw(
            self.socket.as_fd(),
            &mut self.buffer,
            &mut room,
            MsgFlags::MSG_CMSG_CLOEXEC | patience.flags(),
        )?;
        let truncated = flags.contains(MsgFlags::MSG_CTRUNC);
        let too_long = flags.contains(MsgFlags::MSG_TRUNC);
        if too_long {
            return Err(Errno::EMSGSIZE.into());
        }
        // No message of the protocol is empty, so this is the end (recvmsg(2): "the return value will be 0").
        if length == 0 {
            return Ok(None);
        }
        let bytes = self.buffer.get(..length).unwrap_or_default().to_vec();
        Ok(Some(Packet { bytes, descriptors, truncated }))
    }
}

/// recvmsg(2): how many bytes came, its flags, and the descriptors, also where some of them were lost: those that did
/// arrive are open here, and nix would tell of none of them.
fn receive_raw(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    room: &mut [u8],
    flags: MsgFlags,
) -> io::Result<(usize, MsgFlags, Vec<OwnedFd>)> {
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: plain data, of which all zero is a valid value.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = room.as_mut_ptr().cast();
    header.msg_controllen = room.len();
    let length = loop {
        // SAFETY: the header points to live, exclusively borrowed buffers of the lengths that it names.
        match Errno::result(unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, flags.bits()) })
        {
            // A peer that died with unread messages of ours leaves this error once, before the messages
            // that it had sent; they still count.
            Err(Errno::EINTR | Errno::ECONNRESET) => header.msg_controllen = room.len(),
            other => break other?,
        }
    };
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has filled the header; these walk within the length that it names.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !message.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR answer null, or a whole header.
        let (level, kind, size) =
            unsafe { ((*message).cmsg_level, (*message).cmsg_type, (*message).cmsg_len) };
        if (level, kind) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
            // SAFETY: arithmetic on a constant.
            let begin = usize::try_from(unsafe { libc::CMSG_LEN(0) }).unwrap_or(size);
            for index in 0..size.saturating_sub(begin) / size_of::<RawFd>() {
                // SAFETY: the kernel has put whole numbers of descriptors there, which it has just installed for us
                // and nobody else knows; they may lie unaligned.
                descriptors.push(unsafe {
                    let at = libc::CMSG_DATA(message).cast::<RawFd>().add(index);
                    OwnedFd::from_raw_fd(at.read_unaligned())
                });
            }
        }
        // SAFETY: as above.
        message = unsafe { libc::CMSG_NXTHDR(&raw const header, message) };
    }
    Ok((
        usize::try_from(length).unwrap_or(0),
        MsgFlags::from_bits_retain(header.msg_flags),
        descriptors,
    ))
}

impl Patience {
    fn flags(self) -> MsgFlags {
        match self {
            Self::Wait => MsgFlags::empty(),
            Self::Now => MsgFlags::MSG_DONTWAIT,
        }
    }
}

impl From<OwnedFd> for Channel {
    fn from(socket: OwnedFd) -> Self {
        Self { socket, buffer: Vec::new() }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
