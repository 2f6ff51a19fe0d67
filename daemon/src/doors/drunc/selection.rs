//! Which processes a request means. The rules differ by generation: of the first all that is said must hold, and of the
//! later ones any of it.

use regex::{Regex, RegexBuilder};

use super::{fault::Fault, process::Process};

/// Bytes that a compiled pattern may take, and patterns of one request: what a request costs is bounded by this.
const PATTERN_SIZE: usize = 256 << 10;
const LONGEST_PATTERN: usize = 4096;
const PATTERNS: usize = 256;

/// What was asked for, ready to be held against processes.
#[derive(Debug)]
pub(super) enum Selection {
    /// All of these patterns are found; there is none where nothing was said.
    All {
        /// In the uuid.
        uuid: Option<Regex>,
        /// In the user.
        user: Option<Regex>,
        /// In the session.
        session: Option<Regex>,
        /// In the name.
        name: Option<Regex>,
    },
    /// Any of this holds.
    Any {
        /// Its uuid is one of these.
        uuids: Vec<String>,
        /// One of these is found in its name.
        names: Vec<Regex>,
        /// Its user is this, be it empty.
        user: String,
        /// Its session is this, be it empty.
        session: String,
    },
}

impl Selection {
    /// As the first generation selects.
    pub(super) fn all([uuid, user, session, name]: [Option<&str>; 4]) -> Result<Self, Fault> {
        let pattern = |text: Option<&str>| text.map(compiled).transpose();
        Ok(Self::All {
            uuid: pattern(uuid)?,
            user: pattern(user)?,
            session: pattern(session)?,
            name: pattern(name)?,
        })
    }

    /// As the later ones do.
    pub(super) fn any(
        uuids: Vec<String>,
        names: &[String],
        user: String,
        session: String,
    ) -> Result<Self, Fault> {
        if names.len() > PATTERNS {
            let count = names.len();
            return Err(Fault::Form(format!(
                "names has {count} patterns; at most {PATTERNS} are allowed"
            )));
        }
        let names = names.iter().map(|name| compiled(name)).collect::<Result<_, _>>()?;
        Ok(Self::Any { uuids, names, user, session })
    }

    /// Whether this is one of them.
    pub(super) fn has(&self, process: &Process) -> bool {
        let metadata = process.metadata();
        let its_session = metadata.session.as_deref().unwrap_or_default();
        match self {
            Self::All { uuid, user, session, name } => {
                let found = |pattern: &Option<Regex>, text: &str| {
                    pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
                };
                found(uuid, &process.uuid)
                    && found(user, &metadata.user)
                    && found(session, its_session)
                    && found(name, &metadata.name)
            }
            Self::Any { uuids, names, user, session } => {
                uuids.contains(&process.uuid)
                    || names.iter().any(|name| name.is_match(&metadata.name))
                    || session == its_session
                    || *user == metadata.user
            }
        }
    }

    /// The one that is meant.
    pub(super) fn one_of(&self, processes: Vec<Process>) -> Result<Process, Fault> {
        let mut meant = processes.into_iter().filter(|process| self.has(process));
        let first = meant.next().ok_or(Fault::NoProcess)?;
        meant.next().map_or(Ok(first), |_| Err(Fault::Several))
    }
}

fn compiled(pattern: &str) -> Result<Regex, Fault> {
    if pattern.len() > LONGEST_PATTERN {
        let length = pattern.len();
        return Err(Fault::Form(format!(
            "a pattern is {length} bytes long; at most {LONGEST_PATTERN} are allowed"
        )));
    }
    let built =
        RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).dfa_size_limit(PATTERN_SIZE).build();
    built.map_err(|why| {
        let why = why.to_string();
        let last = why.lines().last().unwrap_or_default();
        Fault::Form(format!(
            "{pattern:?} is no pattern that can be searched for ({last}); look-around and back-references are not known here"
        ))
    })
}
