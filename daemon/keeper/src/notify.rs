//! Telling the service manager above us, if there is one (sd_notify(3)).

use std::{
    ffi::OsString,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{ffi::OsStrExt, net::SocketAddr, net::UnixDatagram},
    },
    time::Duration,
};

/// How long we wait for a manager that does not read: its socket takes few messages (sysctl
/// net.unix.max_dgram_qlen, ten as a rule), and what is below us must not wait for what is above.
const PATIENCE: Duration = Duration::from_secs(1);

/// The one to tell.
pub(crate) struct Notify(Option<OsString>);

impl Notify {
    /// From `$NOTIFY_SOCKET`, which no child of ours inherits.
    pub(crate) fn from_environment() -> Self {
        Self(std::env::var_os("NOTIFY_SOCKET"))
    }

    /// Sends assignments, one a line. Nothing here depends on their arrival, so a failure is only said.
    pub(crate) fn tell(&self, state: &str) {
        if let Some(name) = &self.0
            && let Err(why) = send(name, state)
        {
            crate::say(format_args!("cannot tell {} {state}: {why}", name.display()));
        }
    }
}

fn send(name: &OsString, state: &str) -> io::Result<()> {
    let address = match name.as_bytes() {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
        path => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}
