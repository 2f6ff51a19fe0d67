//! What people really run: nginx and redis from Debian's packages as units, while clients use them. And a crowd.

mod crowd;
mod nginx;
mod redis;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU8, Ordering},
};

use tests::procfs;

use crate::Case;

pub(crate) fn cases() -> Vec<Case> {
    [crowd::cases(), nginx::cases(), redis::cases()].into_iter().flatten().collect()
}

/// An address that no other test uses, nor another run of the tests: one of the sixteen million of this machine alone.
fn address(port: u16) -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // Not 127.0.0.0/16, where others listen.
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 1 + (high & 63), low, number)), port)
}

/// A process and all that it has made.
fn family(main: i32) -> Vec<i32> {
    let mut all = procfs::descendants(main);
    all.push(main);
    all
}

/// Whether nothing of these is left.
fn gone(pids: &[i32]) -> bool {
    pids.iter().all(|&pid| procfs::gone(pid))
}
