//! The names of this machine, among those where a process may run.

use std::net::{IpAddr, UdpSocket};

use nix::unistd::gethostname;

/// By which names this machine is meant.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    names: Vec<String>,
}

impl Hosts {
    /// As the kernel and the configuration name it.
    pub(super) fn of_this_machine(node: &str) -> Self {
        let kernel =
            gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
        Self::called(&[&kernel, node])
    }

    fn called(given: &[&str]) -> Self {
        let mut names = vec!["localhost".to_owned(), "localhost.localdomain".to_owned()];
        for name in given.iter().map(|name| name.to_lowercase()).filter(|name| !name.is_empty()) {
            // The name without its domain; an address has none.
            let short = name.split('.').next().filter(|_| name.parse::<IpAddr>().is_err());
            names.extend(short.map(str::to_owned));
            names.push(name);
        }
        Self { names }
    }

    /// Whether this is one of them, or an address that is ours. Nobody is asked: a name that only a name server knows to be
    /// ours is not.
    pub(super) fn mean(&self, host: &str) -> bool {
        let host = host.trim().trim_end_matches('.').to_lowercase();
        match host.parse::<IpAddr>() {
            // An address that is ours is one that can be listened at.
            Ok(address) => {
                address.is_loopback()
                    || (!address.is_unspecified() && UdpSocket::bind((address, 0)).is_ok())
            }
            Err(_) => self.names.contains(&host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_names() {
        let hosts = Hosts::called(&["np04-srv-001.cern.ch", "node-7"]);
        for ours in
            ["localhost", "127.0.0.1", "::1", "np04-srv-001", "NP04-SRV-001.cern.ch", "node-7"]
        {
            assert!(hosts.mean(ours), "{ours}");
        }
        for other in ["", "np04-srv-002", "cern.ch", "0.0.0.0", "192.0.2.1", "localhost:80"] {
            assert!(!hosts.mean(other), "{other}");
        }
    }
}
