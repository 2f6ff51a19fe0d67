//! The connections that are open: no more than there is room for, so that nobody locks others out; and the keeper is told
//! when none is, since nobody waits for anything then.
//!
//! Invariants: of all places a part is root's and the daemon's own user's alone, and no other user has more than half of
//! them. Who finds no place is let in for a moment and told so, call by call, by [`Peer::is_admitted`]; where even these
//! places are taken the connection is closed at once.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use nix::unistd::geteuid;
use tokio::{
    net::{UnixStream, unix::UCred},
    sync::Notify,
};
use tonic::{
    Status,
    transport::server::{Connected, UdsConnectInfo},
};

use crate::{clock, doors::until::Until};

/// How many may be told at a time that there is no place, and how long each has for the call that is answered so.
const TOLD: usize = 16;
const TELLING: Duration = Duration::from_secs(2);

/// Those that are open.
#[derive(Clone, Debug)]
pub(crate) struct Connections(Arc<Count>);

#[derive(Debug)]
struct Count {
    /// How many there may be in all.
    most: usize,
    taken: Mutex<Taken>,
    open: AtomicUsize,
    /// When the last one was closed: nanoseconds of CLOCK_MONOTONIC.
    closed_at: AtomicU64,
    closed: Notify,
}

/// The places that are taken.
#[derive(Debug, Default)]
struct Taken {
    by_user: HashMap<u32, usize>,
    /// All of these together.
    all: usize,
    /// Those that are only told that there is none.
    told: usize,
}

/// What a connection has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// A place, as this user.
    Of(u32),
    /// None: it is told so.
    None,
}

impl Taken {
    /// Takes a place; none where it is to be closed at once.
    fn take(&mut self, user: u32, most: usize) -> Option<Place> {
        let own = self.by_user.get(&user).copied().unwrap_or(0);
        let privileged = user == 0 || user == geteuid().as_raw();
        let room = match privileged {
            true => self.all < most,
            false => self.all < most - most / 8 && own < most / 2,
        };
        if room {
            self.all += 1;
            self.by_user.insert(user, own + 1);
            return Some(Place::Of(user));
        }
        (self.told < TOLD).then(|| {
            self.told += 1;
            Place::None
        })
    }

    fn leave(&mut self, place: Place) {
        match place {
            Place::None => self.told = self.told.saturating_sub(1),
            Place::Of(user) => {
                self.all = self.all.saturating_sub(1);
                let own = self.by_user.get(&user).copied().unwrap_or(0);
                match own {
                    0 | 1 => self.by_user.remove(&user),
                    more => self.by_user.insert(user, more - 1),
                };
            }
        }
    }
}

impl Connections {
    /// None yet, and so many at most.
    pub(crate) fn at_most(most: usize) -> Self {
        Self(Arc::new(Count {
            most,
            taken: Mutex::default(),
            open: AtomicUsize::default(),
            closed_at: AtomicU64::default(),
            closed: Notify::default(),
        }))
    }

    /// One more, until it is dropped; or why it is closed at once.
    pub(super) fn open(&self, stream: UnixStream) -> Result<Connection, Full> {
        let user = user(&stream);
        let place = self.taken().take(user, self.0.most).ok_or(Full { user })?;
        self.0.open.fetch_add(1, Ordering::Relaxed);
        let telling = (place == Place::None).then_some(TELLING);
        Ok(Until::new(stream, telling, Held { place, of: self.clone() }))
    }

    /// Waits until none is open any more that was; when the last one was closed, in nanoseconds of CLOCK_MONOTONIC.
    pub(crate) async fn all_closed(&self) -> u64 {
        self.0.closed.notified().await;
        self.0.closed_at.load(Ordering::Relaxed)
    }

    fn taken(&self) -> std::sync::MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, place: Place) {
        self.taken().leave(place);
        if self.0.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            let now = u64::try_from(clock::now().monotonic.as_nanos()).unwrap_or(u64::MAX);
            self.0.closed_at.store(now, Ordering::Relaxed);
            self.0.closed.notify_one();
        }
    }
}

/// There is no place, and too many have been told so at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// Who has connected.
    pub(super) user: u32,
}

/// One of them.
pub(super) type Connection = Until<UnixStream, Held>;

/// What one of them holds as long as it lasts.
pub(super) struct Held {
    place: Place,
    of: Connections,
}

impl Connection {
    /// Whether it has a place, and is not only told that there is none.
    pub(super) fn is_admitted(&self) -> bool {
        self.held.place != Place::None
    }

    /// Whose it is.
    pub(super) fn user(&self) -> u32 {
        user(&self.stream)
    }
}

/// Whose a connection is. Who cannot be asked has gone already.
fn user(stream: &UnixStream) -> u32 {
    stream.peer_cred().as_ref().map_or(u32::MAX, UCred::uid)
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.close(self.place);
    }
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// As the kernel knows it.
    pub(super) credentials: Option<UCred>,
    /// How many connections there may be, where there was no place for this one.
    refused: Option<usize>,
}

impl Peer {
    /// Whether it has a place; a call without one is answered with this error.
    pub(super) fn is_admitted(&self) -> Result<(), Status> {
        let Some(most) = self.refused else { return Ok(()) };
        let user = self.credentials.as_ref().map_or(u32::MAX, UCred::uid);
        Err(Status::resource_exhausted(format!(
            "the daemon has no place for another connection of the user {user}: of {most} in all an eighth is root's, and \
             of one other user at most half; close some, or raise [api] connections"
        )))
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        let UdsConnectInfo { peer_cred, .. } = self.stream.connect_info();
        let refused = (!self.is_admitted()).then_some(self.held.of.0.most);
        Peer { credentials: peer_cred, refused }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        /// Users come and go in any order: nobody has more than his share, and what is given back is there again.
        #[test]
        fn places_are_shared(steps in vec((0_usize..4, any::<bool>()), 0..400), most in 16_usize..64) {
            // Nobody here runs the tests as the last three.
            let users = [0, 4_000_001, 4_000_002, 4_000_003];
            let mut taken = Taken::default();
            let mut held: Vec<Vec<Place>> = vec![Vec::new(); users.len()];
            for (who, comes) in steps {
                if comes {
                    held[who].extend(taken.take(users[who], most));
                } else if let Some(place) = held[who].pop() {
                    taken.leave(place);
                }
                let count = |who: usize| held[who].iter().filter(|&&it| it != Place::None).count();
                let others: usize = (1..users.len()).map(count).sum();
                prop_assert!((1..users.len()).all(|who| count(who) <= most / 2));
                prop_assert!(others <= most - most / 8 && others + count(0) <= most);
                prop_assert_eq!(taken.all, others + count(0));
            }
            held.into_iter().flatten().for_each(|place| taken.leave(place));
            prop_assert_eq!((taken.all, taken.told, taken.by_user.len()), (0, 0, 0));
        }
    }
}
