//! The wire's enumerations as words: `RESTART_WHEN_ON_FAILURE` is `on-failure`, on the command line and in files of
//! units.

use api::runtime::{KillMode, Readiness, RestartWhen, UnitKind};

/// An enumeration of the wire that people write.
pub trait Word: Copy + Into<i32> + TryFrom<i32> {
    /// What the names of all its values begin with.
    const PREFIX: &'static str;
    /// What it is, for people.
    const WHAT: &'static str;

    /// The value's name in the .proto file.
    fn name(self) -> &'static str;

    /// Its word.
    #[must_use]
    fn word(self) -> String {
        let name = self.name();
        name.strip_prefix(Self::PREFIX).unwrap_or(name).to_ascii_lowercase().replace('_', "-")
    }

    /// All values; the wire numbers them from 0 without a hole.
    #[must_use]
    fn all() -> Vec<Self> {
        (0..).map_while(|number| Self::try_from(number).ok()).collect()
    }

    /// The value of a word.
    ///
    /// # Errors
    /// A sentence that says which words there are.
    fn of_word(text: &str) -> Result<Self, String> {
        let known = Self::all().into_iter().find(|value| value.word() == text);
        known.ok_or_else(|| {
            let words: Vec<String> = Self::all().into_iter().map(Self::word).collect();
            let text: String = text.chars().take(64).collect();
            format!("{text:?} is no {}; write one of {}", Self::WHAT, words.join(", "))
        })
    }
}

impl Word for UnitKind {
    const PREFIX: &'static str = "UNIT_KIND_";
    const WHAT: &'static str = "kind of unit";

    fn name(self) -> &'static str {
        self.as_str_name()
    }
}

impl Word for Readiness {
    const PREFIX: &'static str = "READINESS_";
    const WHAT: &'static str = "readiness";

    fn name(self) -> &'static str {
        self.as_str_name()
    }
}

impl Word for RestartWhen {
    const PREFIX: &'static str = "RESTART_WHEN_";
    const WHAT: &'static str = "restart policy";

    fn name(self) -> &'static str {
        self.as_str_name()
    }
}

impl Word for KillMode {
    const PREFIX: &'static str = "KILL_MODE_";
    const WHAT: &'static str = "kill mode";

    fn name(self) -> &'static str {
        self.as_str_name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<W: Word>() -> Vec<String> {
        let all = W::all();
        assert!(all.iter().all(|value| {
            let number: i32 = W::of_word(&value.word()).unwrap_or(*value).into();
            number == (*value).into()
        }));
        all.into_iter().map(W::word).collect()
    }

    #[test]
    fn every_value_has_a_word_that_is_read_back() {
        assert_eq!(words::<UnitKind>(), ["service", "oneshot"]);
        assert_eq!(words::<Readiness>(), ["executed", "notify", "drpc"]);
        let when = ["no", "always", "on-success", "on-failure", "on-abnormal", "on-abort"];
        assert_eq!(words::<RestartWhen>(), when);
        assert_eq!(words::<KillMode>(), ["control-group", "mixed", "process", "none"]);
    }

    #[test]
    fn a_strange_word_is_told_with_those_that_there_are() {
        let wanted =
            "\"mixd\" is no kill mode; write one of control-group, mixed, process, none".to_owned();
        assert_eq!(KillMode::of_word("mixd"), Err(wanted));
    }
}
