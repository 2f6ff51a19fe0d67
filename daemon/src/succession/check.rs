//! What a program says of itself when it is executed as `auraed-core check`, or `auraed check`: a line for each fact, a key
//! and a value. Keys are only added, so that every release can read what another prints.

use std::{collections::BTreeMap, fmt};

use keeper::protocol::{CORE, KEEPER, SUCCESSION, VERSION};

/// What it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Its name.
    pub(crate) program: String,
    /// Its release.
    pub(crate) version: String,
    /// The version of the keeper's protocol, and the newest format of each thing on disk or handed on that it knows; it
    /// knows all before that.
    pub(crate) formats: BTreeMap<String, u64>,
}

/// The key of the protocol between keeper and daemon.
const PROTOCOL: &str = "protocol";
/// The key of what one keeper hands to the next.
const STATE: &str = "succession";

/// Why a program cannot take over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// It is something else.
    #[error("it is not {wanted}: asked to check itself, it printed {printed:?}")]
    Stranger {
        /// What it should be.
        wanted: &'static str,
        /// The beginning of what it said.
        printed: String,
    },
    /// It and the keeper would not understand each other.
    #[error(
        "it is {version} and speaks version {theirs} of the keeper's protocol, and the keeper that it would have speaks \
         version {ours}: give the two programs of one release, in one folder"
    )]
    Protocol {
        /// Its release.
        version: String,
        /// Its protocol.
        theirs: u64,
        /// The keeper's.
        ours: u64,
    },
    /// It could not read what is there.
    #[error(
        "it is {version} and knows the format {theirs} of the {what} at most, and the format {ours} is there already"
    )]
    Format {
        /// Its release.
        version: String,
        /// Of what.
        what: String,
        /// The newest that it knows.
        theirs: u64,
        /// What is there.
        ours: u64,
    },
}

impl Checked {
    /// What this program says.
    pub(crate) fn ours() -> Self {
        let formats = [
            (PROTOCOL, u64::from(VERSION)),
            ("schedule", schedule::newest_format()),
            ("log", u64::from(logs::FORMAT)),
            ("run-file", u64::from(crate::runfile::VERSION)),
            ("ledger", u64::from(crate::ledger::VERSION)),
        ];
        Self {
            program: "auraed-core".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            formats: formats.map(|(key, value)| (key.to_owned(), value)).into(),
        }
    }

    /// Reads what a program has printed.
    pub(crate) fn parse(text: &str) -> Self {
        let mut checked = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            match (key, value.parse()) {
                ("program", _) => value.clone_into(&mut checked.program),
                ("version", _) => value.clone_into(&mut checked.version),
                (key, Ok(number)) => checked.formats.extend([(key.to_owned(), number)]),
                // Something that a later release says of itself.
                (_, Err(_)) => {}
            }
        }
        checked
    }

    fn format(&self, what: &str) -> u64 {
        self.formats.get(what).copied().unwrap_or(0)
    }

    /// Whether it can take over from this daemon, with this keeper or that new one.
    pub(crate) fn judge(&self, keeper: Option<&Self>, printed: &str) -> Result<(), Unfit> {
        self.is(CORE, printed)?;
        let ours = Self::ours();
        let (theirs, wanted) = (self.format(PROTOCOL), keeper.unwrap_or(&ours).format(PROTOCOL));
        let version = self.version.clone();
        if theirs != wanted {
            return Err(Unfit::Protocol { version, theirs, ours: wanted });
        }
        let stored = ours.formats.iter().filter(|(what, _)| *what != PROTOCOL);
        match stored
            .map(|(what, ours)| (what, self.format(what), *ours))
            .find(|(_, theirs, ours)| theirs < ours)
        {
            Some((what, theirs, ours)) => {
                Err(Unfit::Format { version, what: what.clone(), theirs, ours })
            }
            None => Ok(()),
        }
    }

    /// Whether it can take over from the keeper.
    pub(crate) fn judge_keeper(&self, printed: &str) -> Result<(), Unfit> {
        self.is(KEEPER, printed)?;
        let (theirs, ours) = (self.format(STATE), u64::from(SUCCESSION));
        if theirs < ours {
            let (version, what) = (self.version.clone(), "keeper's state".to_owned());
            return Err(Unfit::Format { version, what, theirs, ours });
        }
        Ok(())
    }

    fn is(&self, name: &str, printed: &str) -> Result<(), Unfit> {
        let wanted = if name == KEEPER { "auraed" } else { "auraed-core" };
        if self.program == wanted {
            return Ok(());
        }
        let printed = printed.chars().take(80).collect();
        Err(Unfit::Stranger { wanted, printed })
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "program {}\nversion {}", self.program, self.version)?;
        self.formats.iter().try_for_each(|(key, value)| writeln!(f, "{key} {value}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changed(change: impl FnOnce(&mut Checked)) -> Result<(), Unfit> {
        let mut checked = Checked::ours();
        change(&mut checked);
        checked.judge(None, "")
    }

    #[test]
    fn our_own_program_can_take_over() {
        assert_eq!(Checked::parse(&Checked::ours().to_string()), Checked::ours());
        assert_eq!(changed(|_| {}), Ok(()));
    }

    #[test]
    fn a_later_program_can_take_over_and_an_earlier_one_cannot() {
        let set = |key: &'static str, by: i64| {
            changed(move |checked| {
                let format = checked.formats.get_mut(key).unwrap();
                *format = u64::try_from(i64::try_from(*format).unwrap() + by).unwrap();
            })
        };
        assert_eq!(set("schedule", 1), Ok(()));
        assert!(matches!(set("schedule", -1), Err(Unfit::Format { .. })));
        assert!(matches!(set("log", -1), Err(Unfit::Format { .. })));
        assert!(matches!(set("protocol", 1), Err(Unfit::Protocol { .. })));
        assert!(matches!(set("protocol", -1), Err(Unfit::Protocol { .. })));
        assert_eq!(changed(|checked| checked.formats.extend([("new".into(), 7)])), Ok(()));
    }

    #[test]
    fn another_protocol_is_taken_with_a_keeper_that_speaks_it() {
        let mut keeper = Checked { program: "auraed".into(), ..Checked::ours() };
        keeper.formats.insert(PROTOCOL.into(), 9);
        let mut core = Checked::ours();
        core.formats.insert(PROTOCOL.into(), 9);
        assert_eq!(core.judge(Some(&keeper), ""), Ok(()));
        assert!(Checked::ours().judge(Some(&keeper), "").is_err());
    }

    #[test]
    fn a_stranger_is_told_by_what_it_printed() {
        let told = Checked::parse("hello").judge(None, "hello").unwrap_err().to_string();
        assert!(told.contains("hello") && told.contains("auraed-core"), "{told}");
        assert!(Checked::ours().judge_keeper("").is_err());
    }

    proptest! {
        #[test]
        fn no_output_hurts(text in "(program |version |log )?\\PC*(\n[a-z-]{1,9} -?[0-9]{0,12})*") {
            let checked = Checked::parse(&text);
            drop(checked.judge(Some(&checked), &text));
            drop(checked.judge_keeper(&text));
        }
    }
}
