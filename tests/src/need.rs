//! What a test needs of the machine. A test that cannot run is reported with the reason, never passed.

use std::{env, path::Path, sync::OnceLock};

use nix::unistd::Uid;

use crate::{cgroup::Cage, cradle, drpc, drunc, mount};

/// Something that a machine may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To be root.
    Root,
    /// A cgroup v2 hierarchy in which we may make cgroups.
    Cgroup,
    /// To be root, with setpriv(1), so that the daemon can be an ordinary user's.
    OtherUser,
    /// To be root, and allowed to mount.
    Mounts,
    /// To be root, and allowed to make namespaces, in which a program is PID 1.
    Namespaces,
    /// nginx, from Debian's package nginx-light or another one of it.
    Nginx,
    /// A daemon that makes faults on request: a debug build, as this one has to be.
    Faults,
    /// redis-server with redis-cli, from Debian's package redis-server.
    Redis,
    /// Python with grpcio and protobuf: `AURAE_TEST_PYTHON`, or what .ci/run makes.
    Python,
    /// Any Python.
    BarePython,
}

impl Need {
    /// Why this machine does not have it; none where it does.
    #[must_use]
    pub fn missing(self) -> Option<&'static str> {
        static CGROUP: OnceLock<bool> = OnceLock::new();
        static MOUNTS: OnceLock<bool> = OnceLock::new();
        static NAMESPACES: OnceLock<bool> = OnceLock::new();
        let root = Uid::effective().is_root();
        match self {
            Self::Root => (!root).then_some("skipped: needs root"),
            Self::Cgroup => (!*CGROUP.get_or_init(|| Cage::make().is_some()))
                .then_some("skipped: needs a writable cgroup v2"),
            Self::OtherUser if !root => Some("skipped: needs root, to become another user"),
            Self::OtherUser => {
                (!Path::new("/usr/bin/setpriv").exists()).then_some("skipped: needs setpriv")
            }
            Self::Nginx => {
                (!Path::new("/usr/sbin/nginx").exists()).then_some("skipped: needs nginx-light")
            }
            Self::Redis => {
                let there = |path| Path::new(path).exists();
                (!there("/usr/bin/redis-server") || !there("/usr/bin/redis-cli"))
                    .then_some("skipped: needs redis-server")
            }
            Self::Python => (!drunc::is_there()).then_some(
                "skipped: needs Python with grpcio and protobuf (AURAE_TEST_PYTHON, or .ci/run)",
            ),
            Self::BarePython => drpc::python().is_none().then_some("skipped: needs Python"),
            Self::Faults => (!cfg!(debug_assertions))
                .then_some("skipped: needs a debug build, which makes faults"),
            Self::Namespaces => (!root || !*NAMESPACES.get_or_init(cradle::allowed))
                .then_some("skipped: needs root, and to be allowed to make namespaces"),
            Self::Mounts => (!root || !*MOUNTS.get_or_init(mount::allowed))
                .then_some("skipped: needs root, and to be allowed to mount"),
        }
    }

    /// Whether a lack is a failure: on CI, which is root, no test may skip for want of privileges.
    #[must_use]
    pub fn must_be_met() -> bool {
        env::var("CI").is_ok_and(|ci| ci == "true") && Uid::effective().is_root()
    }
}
