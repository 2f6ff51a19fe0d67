//! Doors for the clients of other systems: each off unless its table is there.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use nix::{sys::socket::UnixAddr, unistd::geteuid};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use units::{is_signal, signal_number};

/// What a process gets where nobody says otherwise, as in drunc: SIGQUIT, and half a second later SIGKILL.
const USUAL_SIGNALS: [&str; 2] = ["QUIT", "KILL"];
const USUAL_TIMEOUT: Duration = Duration::from_millis(500);
/// How often it is looked whether programs that listen answer, where nobody says.
const USUAL_PING: Duration = Duration::from_secs(10);
/// Signals of one kill.
const MOST_SIGNALS: usize = 8;
/// The signal that nothing survives.
const SIGKILL: i32 = 9;

/// The door for drunc's clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DruncDoor {
    /// Where it listens: at an address that only this machine reaches.
    pub(crate) listen: SocketAddr,
    /// Whom it serves.
    pub(crate) uids: Vec<u32>,
    /// What a kill sends, one after the other; the last is SIGKILL.
    pub(crate) kill_signals: Vec<i32>,
    /// How long each of them has.
    pub(crate) kill_timeout: Duration,
    /// Whom its processes run as where their user is none of `users`; none is whom the daemon runs as.
    #[serde(default)]
    pub(crate) run_as: Option<u32>,
    /// Whom a name in a request stands for.
    pub(crate) users: BTreeMap<String, u32>,
}

/// The door for dRPC's clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DrpcDoor {
    /// Its socket.
    pub(crate) socket: PathBuf,
    /// Whom it serves.
    pub(crate) uids: Vec<u32>,
    /// How often it is looked whether programs that listen answer.
    pub(crate) ping: Duration,
}

/// All doors, as the file has them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Doors {
    pub(super) drunc: Option<Drunc>,
    pub(super) drpc: Option<Drpc>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Drpc {
    #[serde(deserialize_with = "socket")]
    socket: PathBuf,
    uids: Option<Vec<u32>>,
    #[serde(default, deserialize_with = "ping")]
    ping_interval: Option<Duration>,
}

impl From<Drpc> for DrpcDoor {
    fn from(file: Drpc) -> Self {
        let uids = file.uids.unwrap_or_else(|| vec![0, geteuid().as_raw()]);
        Self { socket: file.socket, uids, ping: file.ping_interval.unwrap_or(USUAL_PING) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Drunc {
    #[serde(deserialize_with = "local")]
    listen: SocketAddr,
    uids: Option<Vec<u32>>,
    #[serde(default, deserialize_with = "signals")]
    kill_signals: Option<Vec<i32>>,
    #[serde(default, deserialize_with = "grace")]
    kill_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "runner")]
    run_as: Option<u32>,
    #[serde(default, deserialize_with = "runners")]
    users: BTreeMap<String, u32>,
}

impl From<Drunc> for DruncDoor {
    fn from(file: Drunc) -> Self {
        let usual = || USUAL_SIGNALS.into_iter().filter_map(signal_number).collect();
        Self {
            listen: file.listen,
            uids: file.uids.unwrap_or_else(|| vec![0, geteuid().as_raw()]),
            kill_signals: file.kill_signals.unwrap_or_else(usual),
            kill_timeout: file.kill_timeout.unwrap_or(USUAL_TIMEOUT),
            run_as: file.run_as,
            users: file.users,
        }
    }
}

/// A place for a socket.
fn socket<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(from)?;
    if !path.is_absolute() {
        return Err(D::Error::custom(format!(
            "{path:?} is no absolute path; write one such as \"/run/aurae/drpc.sock\""
        )));
    }
    let long = |why| {
        D::Error::custom(format!("{path:?} cannot be a socket's: {why}; 107 bytes are allowed"))
    };
    UnixAddr::new(&path).map_err(long)?;
    Ok(path)
}

/// A pause between two looks, long enough not to be all that a program does.
fn ping<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let span = super::file::duration(from)?;
    let day = Duration::from_secs(24 * 3600);
    if span.is_some_and(|span| !(Duration::from_millis(100)..=day).contains(&span)) {
        return Err(D::Error::custom("write a time from 100ms to a day, such as \"10s\""));
    }
    Ok(span)
}

/// An address that only this machine reaches: the protocol has no security, and of others the kernel knows no user.
fn local<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(from)?;
    let wanted = "write an address of this machine alone, with a port, such as \"127.0.0.1:10054\"";
    let address: SocketAddr =
        text.parse().map_err(|why| D::Error::custom(format!("{text:?}: {why}; {wanted}")))?;
    if !address.ip().is_loopback() || address.port() == 0 {
        return Err(D::Error::custom(format!(
            "others than this machine would reach {text:?}, or nobody: {wanted}"
        )));
    }
    Ok(address)
}

/// A user as whom something can run: only root's daemon can run anything as somebody else.
fn runner<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    let uid = u32::deserialize(from)?;
    can_be::<D>(uid).map(|()| Some(uid))
}

fn runners<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, u32>, D::Error> {
    let users = BTreeMap::<String, u32>::deserialize(from)?;
    users.values().try_for_each(|&uid| can_be::<D>(uid))?;
    Ok(users)
}

fn can_be<'de, D: Deserializer<'de>>(uid: u32) -> Result<(), D::Error> {
    let own = geteuid();
    if own.is_root() || uid == own.as_raw() {
        return Ok(());
    }
    Err(D::Error::custom(format!(
        "nothing can run as the user {uid} here: this daemon is the user {own}'s, and only root's can"
    )))
}

fn signals<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<i32>>, D::Error> {
    let words = Vec::<String>::deserialize(from)?;
    let number = |word: &String| {
        let number = signal_number(word).filter(|&number| is_signal(number));
        number.ok_or_else(|| {
            D::Error::custom(format!("{word:?} is no signal; write one such as \"QUIT\""))
        })
    };
    let numbers: Vec<i32> = words.iter().map(number).collect::<Result<_, _>>()?;
    if numbers.len() > MOST_SIGNALS {
        let count = numbers.len();
        return Err(D::Error::custom(format!(
            "there are {count} signals; at most {MOST_SIGNALS} are allowed"
        )));
    }
    let kills = numbers.iter().position(|&number| number == SIGKILL);
    if kills != numbers.len().checked_sub(1) {
        return Err(D::Error::custom(
            "the last signal has to be KILL, and no other: a kill that can be ignored is none",
        ));
    }
    Ok(Some(numbers))
}

fn grace<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let span = super::file::duration(from)?;
    if span.is_some_and(|span| span > Duration::from_secs(3600)) {
        return Err(D::Error::custom("it is longer than an hour, and a client waits for it"));
    }
    Ok(span)
}
