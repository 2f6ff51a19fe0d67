//! Who is at the other end of a TCP connection on this machine, as the kernel knows it.
//!
//! The kernel is asked for the one socket that has our two addresses the other way round (sock_diag(7), an exact question,
//! not a list). Invariants: nobody is believed who cannot be found, and nobody is taken for root by mistake. A socket that its
//! process has closed is owned by nobody any more, and for such a one the kernel says uid 0: so it counts only while it is
//! ESTABLISHED and has an inode, which the kernel gives it while somebody has it open. It must be the very socket that was
//! asked about, too: where there is none the kernel answers with a listener of that port.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd,
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
        socket,
    },
};

/// Type and flags of messages (sock_diag.h, netlink.h).
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const TCP: u8 = 6;
/// The states of TCP (tcp_states.h).
const ESTABLISHED: u8 = 1;
/// A header, and what the kernel answers about a socket.
const HEADER: usize = 16;
const QUESTION: usize = 72;
const ANSWER: usize = HEADER + 72;

/// Why somebody is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unidentified {
    /// The kernel could not be asked, or knows no such socket.
    #[error(
        "cannot ask the kernel whose the connection from {peer} is (sock_diag(7)): {why}; the kernel needs INET_DIAG, and \
         the client has to be on this machine and stay connected"
    )]
    Kernel {
        /// The address.
        peer: SocketAddr,
        /// Why.
        why: io::Error,
    },
    /// It answered something else.
    #[error(
        "the connection from {0} is not open any more, so that nobody can say whose it was; connect again"
    )]
    Gone(SocketAddr),
}

/// The user who has the other end of the connection between these two open.
pub(super) fn uid_of(peer: SocketAddr, local: SocketAddr) -> Result<u32, Unidentified> {
    let failed = |why: Errno| Unidentified::Kernel { peer, why: why.into() };
    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )
    .map_err(failed)?;
    let to = NetlinkAddr::new(0, 0);
    sendto(kernel.as_raw_fd(), &question(peer, local), &to, MsgFlags::empty()).map_err(failed)?;
    // The kernel answers before sendto(2) returns.
    let mut answer = [0; 1024];
    let count = recv(kernel.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT).map_err(failed)?;
    read(answer.get(..count).unwrap_or_default(), peer, local)
}

/// An address as the kernel has it.
fn bytes_of(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V6(address) => address.octets(),
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
    }
}

/// Asks for the socket that is connected from `peer` to `local` (struct inet_diag_req_v2).
fn question(peer: SocketAddr, local: SocketAddr) -> Vec<u8> {
    let family = if peer.is_ipv4() { libc_inet(4) } else { libc_inet(6) };
    let mut bytes = Vec::with_capacity(QUESTION);
    bytes.extend(u32::try_from(QUESTION).unwrap_or(0).to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    // A number that means nothing, and the kernel's own.
    bytes.extend([0; 8]);
    bytes.extend([family, TCP, 0, 0]);
    // Whatever its state: that is looked at in the answer.
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(peer.port().to_be_bytes());
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(bytes_of(peer.ip()));
    bytes.extend(bytes_of(local.ip()));
    // At any interface, with any cookie.
    bytes.extend([0; 4]);
    bytes.extend([0xff; 8]);
    bytes
}

/// AF_INET and AF_INET6 as Linux numbers them.
const fn libc_inet(version: u8) -> u8 {
    if version == 4 { 2 } else { 10 }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// What the kernel answered (struct inet_diag_msg).
fn read(answer: &[u8], peer: SocketAddr, local: SocketAddr) -> Result<u32, Unidentified> {
    let gone = || Unidentified::Gone(peer);
    let kind = array(answer, 4).map(u16::from_ne_bytes).ok_or_else(gone)?;
    if kind == NLMSG_ERROR {
        let errno = array(answer, HEADER).map(i32::from_ne_bytes).ok_or_else(gone)?;
        let why = io::Error::from_raw_os_error(errno.saturating_neg());
        return Err(Unidentified::Kernel { peer, why });
    }
    if kind != SOCK_DIAG_BY_FAMILY || answer.len() < ANSWER {
        return Err(gone());
    }
    let [family, state] = array(answer, HEADER).ok_or_else(gone)?;
    let port = |at| array(answer, at).map(u16::from_be_bytes);
    let address = |at| array(answer, at).map(|bytes| address_of(family, bytes));
    let is_it = port(HEADER + 4) == Some(peer.port())
        && port(HEADER + 6) == Some(local.port())
        && address(HEADER + 8) == Some(Some(peer.ip()))
        && address(HEADER + 24) == Some(Some(local.ip()));
    let uid = array(answer, HEADER + 64).map(u32::from_ne_bytes).ok_or_else(gone)?;
    let inode = array(answer, HEADER + 68).map(u32::from_ne_bytes).ok_or_else(gone)?;
    if is_it && state == ESTABLISHED && inode != 0 { Ok(uid) } else { Err(gone()) }
}

/// An address in the kernel's words. A client's socket may be an IPv6 one that speaks IPv4: its addresses are mapped then.
fn address_of(family: u8, bytes: [u8; 16]) -> Option<IpAddr> {
    if family == libc_inet(4) {
        let [a, b, c, d, ..] = bytes;
        return Some(IpAddr::from([a, b, c, d]));
    }
    let address = Ipv6Addr::from(bytes);
    let plain = address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4);
    (family == libc_inet(6)).then_some(plain)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use nix::unistd::geteuid;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn pair(address: &str) -> (TcpListener, TcpStream, TcpStream) {
        let listener = TcpListener::bind(address).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (served, _) = listener.accept().unwrap();
        (listener, client, served)
    }

    fn ask(served: &TcpStream) -> Result<u32, Unidentified> {
        uid_of(served.peer_addr().unwrap(), served.local_addr().unwrap())
    }

    #[test]
    fn we_are_found() {
        for address in ["127.0.0.1:0", "127.0.0.7:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            drop(listener);
            let (_listener, client, served) = pair(address);
            assert_eq!(ask(&served).unwrap(), geteuid().as_raw());
            drop(client);
            // Closed, it is nobody's: never root's.
            assert!(ask(&served).is_err());
        }
    }

    /// An IPv6 socket that speaks IPv4 is found as what it speaks.
    #[test]
    fn a_mapped_address_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let Ok(_client) = TcpStream::connect(("::ffff:127.0.0.1", port)) else { return };
        let (served, _) = listener.accept().unwrap();
        assert_eq!(ask(&served).unwrap(), geteuid().as_raw());
    }

    /// A listener of the same port is not the socket that was asked about.
    #[test]
    fn a_listener_is_nobody() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        assert!(uid_of(at, "127.0.0.1:9".parse().unwrap()).is_err());
    }

    proptest! {
        #[test]
        fn no_answer_hurts(mut answer in vec(any::<u8>(), 0..120), kind in prop_oneof![Just(20_u16), Just(2), any::<u16>()]) {
            if let Some(at) = answer.get_mut(4..6) {
                at.copy_from_slice(&kind.to_ne_bytes());
            }
            let (peer, local) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
            prop_assert!(read(&answer, peer, local).is_err());
        }

        /// The kernel's words about the very socket, with one thing or another not as it must be.
        #[test]
        fn only_the_open_socket_counts(uid in any::<u32>(), state in 0_u8..13, inode in 0_u32..2, mapped in any::<bool>(), port in 1_u16..4) {
            let (peer, local): (SocketAddr, SocketAddr) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
            let mut answer = vec![0; HEADER];
            answer[4..6].copy_from_slice(&20_u16.to_ne_bytes());
            answer.extend([if mapped { 10 } else { 2 }, state, 0, 0]);
            answer.extend(port.to_be_bytes());
            answer.extend(2_u16.to_be_bytes());
            let there = if mapped { "::ffff:127.0.0.1".parse().unwrap() } else { peer.ip() };
            answer.extend(bytes_of(there));
            answer.extend(bytes_of(there));
            answer.extend([0; 24]);
            answer.extend(uid.to_ne_bytes());
            answer.extend(inode.to_ne_bytes());
            let found = read(&answer, peer, local).ok();
            prop_assert_eq!(found, (state == 1 && inode == 1 && port == 1).then_some(uid));
        }
    }
}
