//! What we are: a service among others, the first process of a machine, or that of a container.

use std::fs;

use super::calls;

/// The variable that says it where nobody wants it guessed; the kernel hands on what its command line says.
const VARIABLE: &str = "AURAE_ROLE";
/// The number of the initial pid namespace (PROC_PID_INIT_INO, linux/proc_ns.h).
const INITIAL_PIDS: &str = "pid:[4026531836]";

/// The role.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// One process among others, below another init.
    #[default]
    Service,
    /// PID 1 of a machine: our end is the kernel's panic.
    Machine,
    /// PID 1 of a container: our end is the container's.
    Container,
}

impl Role {
    /// Ours. Documented in docs/pid1.md, in this order.
    pub(crate) fn ours() -> Self {
        if std::process::id() != 1 {
            return Self::Service;
        }
        match std::env::var(VARIABLE).as_deref() {
            Ok("machine") => return Self::Machine,
            Ok("container") => return Self::Container,
            Ok(_) | Err(_) => {}
        }
        let told = std::env::var_os("container").is_some_and(|kind| !kind.is_empty());
        match fs::read_link("/proc/self/ns/pid") {
            Ok(pids) if pids.as_os_str() == INITIAL_PIDS => Self::Machine,
            Ok(_) => Self::Container,
            // Before /proc is mounted nothing is known of namespaces, and only a kernel starts us so early. The files that
            // makers of containers leave say nothing: a machine's root may have been one.
            Err(_) if told || !calls::may_administer() => Self::Container,
            Err(_) => Self::Machine,
        }
    }

    /// How the daemon is told of it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Machine => "machine",
            Self::Container => "container",
        }
    }
}

/// Whether we are in the initial pid namespace, so that what we do to the kernel is done to a machine of our own.
pub(crate) fn is_of_the_kernel() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|pids| pids.as_os_str() == INITIAL_PIDS)
}
