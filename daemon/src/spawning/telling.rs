//! A spawner thread's words to the keeper, which takes them when it is awake: nothing that is said here is answered, and
//! what a program's end needs of it is read then. So a start and a removal wake nobody.

use std::{cell::Cell, io, os::fd::BorrowedFd};

use keeper::{
    channel::{Channel, Patience},
    protocol::ToKeeper,
};

/// So much may wait to be read: less than there is room for, so that we never wait for the keeper but when it is behind.
/// And an ordinary user may not have more descriptors under way than open (unix(7), ETOOMANYREFS).
const MOST_UNREAD: usize = 32;

/// The way to the keeper.
pub(crate) struct Keeper {
    /// What is read when it suits.
    channel: Channel,
    /// What wakes it.
    control: Channel,
    /// How much it was told since.
    unread: Cell<usize>,
}

impl Keeper {
    /// By these channels.
    pub(crate) fn new(channel: &Channel, control: &Channel) -> io::Result<Self> {
        Ok(Self {
            channel: channel.try_clone()?,
            control: control.try_clone()?,
            unread: Cell::new(0),
        })
    }

    /// Another way, by the same channels.
    pub(crate) fn another(&self) -> io::Result<Self> {
        Self::new(&self.channel, &self.control)
    }

    /// Says this. That the keeper is gone is found out by the supervisor.
    pub(crate) fn tell(&self, message: &ToKeeper) {
        drop(self.send(message, &[]));
    }

    /// Says this, with descriptors.
    pub(crate) fn send(
        &self,
        message: &ToKeeper,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let bytes = message.encode();
        self.unread.set(self.unread.get() + 1);
        match self.channel.send(&bytes, descriptors, Patience::Now) {
            // More threads than usual share a channel: they fill it sooner.
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                self.wake();
                self.channel.send(&bytes, descriptors, Patience::Wait)?;
            }
            sent => sent?,
        }
        if self.unread.get() >= MOST_UNREAD {
            self.wake();
        }
        Ok(())
    }

    /// Whether it may not have heard everything.
    pub(crate) fn has_unread(&self) -> bool {
        self.unread.get() > 0
    }

    /// Has it hear what it was told.
    pub(crate) fn wake(&self) {
        if self.unread.take() > 0 {
            drop(self.control.send(&ToKeeper::Queued.encode(), &[], Patience::Wait));
        }
    }
}
