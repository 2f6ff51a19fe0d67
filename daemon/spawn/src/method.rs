//! The ways of making a child, and whose child it becomes.

use std::fmt;
use std::str::FromStr;

/// How processes are made, best first: each way is the fallback of the one above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// clone3(2) with `CLONE_INTO_CGROUP` (Linux 5.7): the child is born in its cgroup, without the
    /// global lock that a write to `cgroup.procs` takes.
    Clone3IntoCgroup,
    /// clone3(2) with `CLONE_CLEAR_SIGHAND` (Linux 5.5): the child joins its cgroup by writing to
    /// `cgroup.procs`.
    Clone3,
    /// clone(2) with `CLONE_PIDFD` (Linux 5.2): for kernels and sandboxes without clone3, and for
    /// architectures other than x86_64.
    Clone,
}

impl Method {
    /// Every method, best first.
    pub const ALL: [Self; 3] = [Self::Clone3IntoCgroup, Self::Clone3, Self::Clone];

    /// The name by which people choose it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clone3IntoCgroup => "clone3-into-cgroup",
            Self::Clone3 => "clone3",
            Self::Clone => "clone",
        }
    }

    /// Whether this program was built with it: the call of clone3 is written for x86_64 only.
    pub(crate) fn is_built_in(self) -> bool {
        match self {
            Self::Clone3IntoCgroup | Self::Clone3 => cfg!(target_arch = "x86_64"),
            Self::Clone => true,
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|method| method.name() == text)
            .ok_or_else(|| UnknownMethod(text.to_owned()))
    }
}

/// A name that belongs to no [`Method`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no way of making processes: clone3-into-cgroup, clone3 or clone")]
pub struct UnknownMethod(pub String);

/// Whose child the new process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Parentage {
    /// Our parent's (`CLONE_PARENT`, clone(2)): it alone can reap it. Impossible for the init of a
    /// PID namespace (EINVAL).
    Sibling,
    /// Ours: for the self-test and for tests.
    Child,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for method in Method::ALL {
            assert_eq!(method.to_string().parse(), Ok(method));
        }
        assert_eq!("fork".parse::<Method>(), Err(UnknownMethod("fork".to_owned())));
    }
}
