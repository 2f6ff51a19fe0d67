//! What is registered, and how that is changed.

use units::{Name, Origin};

/// A registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: Name,
    /// Whether it starts at boot.
    pub enabled: bool,
    /// What it is, byte for byte as it was given.
    pub definition: Vec<u8>,
    /// When it was first registered under this name: nanoseconds since the Unix epoch.
    pub registered_at: i64,
    /// When it was last enabled, replaced or disabled: nanoseconds since the Unix epoch.
    pub changed_at: i64,
    /// Who did that, and why.
    pub changed_by: Origin,
}

/// A change of one registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Registers it and enables it, in place of what has its name.
    Enable {
        /// Its name.
        name: Name,
        /// What it is.
        definition: Vec<u8>,
        /// When: nanoseconds since the Unix epoch.
        at: i64,
        /// Who and why.
        by: Origin,
    },
    /// Registers it, enabled or not, in place of what has its name. Like `Enable` it cannot fail by itself, so a commit
    /// of these alone registers all or none.
    Import {
        /// Its name.
        name: Name,
        /// Whether it starts at boot.
        enabled: bool,
        /// What it is.
        definition: Vec<u8>,
        /// When: nanoseconds since the Unix epoch.
        at: i64,
        /// Who and why.
        by: Origin,
    },
    /// Disables it and keeps everything else of it.
    Disable {
        /// Its name.
        name: Name,
        /// When: nanoseconds since the Unix epoch.
        at: i64,
        /// Who and why.
        by: Origin,
    },
    /// Forgets it.
    Destroy {
        /// Its name.
        name: Name,
        /// When: nanoseconds since the Unix epoch.
        at: i64,
        /// Who and why.
        by: Origin,
    },
}

/// Why one change of a commit was not made. The others are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Nothing is registered under this name.
    #[error("nothing is registered under the name {0}; `aer list` shows what is")]
    Unknown(Name),
    /// Something is registered under this name and cannot be read.
    #[error(
        "what is registered under the name {name} cannot be read ({message}); enable it anew or destroy it"
    )]
    Unreadable {
        /// The name.
        name: Name,
        /// What is wrong with it.
        message: String,
    },
}

/// Something of the store that cannot be read, or not be relied on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The name it is stored under, as far as that can be read; empty where it is the whole store.
    pub name: String,
    /// What is wrong with it, for people.
    pub message: String,
}

impl Damage {
    /// Of the whole store.
    pub(crate) fn of_store(message: String) -> Self {
        Self { name: String::new(), message }
    }

    /// Of what is stored under this key.
    pub(crate) fn of_record(key: &[u8], message: String) -> Self {
        Self { name: String::from_utf8_lossy(key).into_owned(), message }
    }
}
