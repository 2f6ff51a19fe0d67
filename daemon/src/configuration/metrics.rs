//! Where metrics are told.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr};

use serde::{Deserialize, Serialize};

/// A listener for scrapes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum MetricsListen {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket in the filesystem.
    Unix(PathBuf),
}

impl FromStr for MetricsListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "write an address with a port, such as \"127.0.0.1:9464\", or \"unix:\" and an absolute path";
        match text.strip_prefix("unix:").map(PathBuf::from) {
            Some(path) if path.is_absolute() => Ok(Self::Unix(path)),
            Some(_) => Err(format!("{text:?} has no absolute path; {wanted}")),
            None => text.parse().map(Self::Tcp).map_err(|why| format!("{text:?}: {why}; {wanted}")),
        }
    }
}

impl fmt::Display for MetricsListen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn listeners_are_read() {
        for text in ["127.0.0.1:9464", "[::1]:1", "unix:/run/m.sock"] {
            assert_eq!(text.parse::<MetricsListen>().unwrap().to_string(), text);
        }
        for text in ["9464", "localhost:9464", "unix:m.sock", "unix:", "/run/m.sock", ""] {
            let said = text.parse::<MetricsListen>().unwrap_err();
            assert!(said.contains("127.0.0.1:9464"), "{said}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_alike(text in ".{0,30}|unix:/[a-z/]{0,9}") {
            if let Ok(listen) = text.parse::<MetricsListen>() {
                prop_assert_eq!(listen.to_string().parse(), Ok(listen));
            }
        }
    }
}
