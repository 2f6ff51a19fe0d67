//! The table `[logs]`: how much of the logs is kept, and for how long.

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use logs::{Bounds, LogName, Retention};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use units::Name;

/// What the file says of logs. Where it says nothing, the store has defaults that depend on the filesystem.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Logs {
    /// Of all logs but the audit log together.
    max_total: Option<Size>,
    /// Of the filesystem, for others.
    keep_free: Option<Size>,
    /// Of each log.
    max_size: Option<Size>,
    /// Of each log.
    max_age: Option<Age>,
    /// How much later what was written is on the disk at the latest.
    sync_interval: Option<Age>,
    daemon: Own,
    audit: Own,
    commands: Own,
    units: BTreeMap<UnitName, Own>,
}

/// A unit's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct UnitName(Name);

impl Serialize for UnitName {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for UnitName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map(Self).map_err(D::Error::custom)
    }
}

/// What one log may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Own {
    max_size: Option<Size>,
    max_age: Option<Age>,
}

/// Bytes, such as "64MiB"; "none" is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
struct Size(u64);

/// A span of time, such as "30days"; "none" is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
struct Age(u64);

/// Both are handed on as numbers, and written as words.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Words(String),
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Written::deserialize(from) {
            Ok(Written::Number(bytes)) => Ok(Self(bytes)),
            Ok(Written::Words(words)) => {
                let wrong = || format!("{words:?} is not a size such as \"64MiB\" or \"none\"");
                parse_size(&words).map(Self).ok_or_else(|| D::Error::custom(wrong()))
            }
            Err(_) => {
                Err(D::Error::custom("a size is written as \"64MiB\", in bytes, or \"none\""))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Written::deserialize(from) {
            Ok(Written::Number(milliseconds)) => Ok(Self(milliseconds)),
            Ok(Written::Words(words)) if words == "none" => Ok(Self(u64::MAX)),
            Ok(Written::Words(words)) => {
                let wrong = |why: &dyn std::fmt::Display| {
                    let what = "is not a duration such as \"30days\" or \"none\"";
                    D::Error::custom(format!("{words:?} {what}: {why}"))
                };
                let span = humantime::parse_duration(&words).map_err(|why| wrong(&why))?;
                if span.is_zero() {
                    return Err(wrong(&"nothing would be kept"));
                }
                Ok(Self(u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1)))
            }
            Err(_) => Err(D::Error::custom("a duration is written as \"30days\", or \"none\"")),
        }
    }
}

impl Age {
    fn span(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

fn parse_size(words: &str) -> Option<u64> {
    if words == "none" {
        return Some(u64::MAX);
    }
    let end = words.find(|c: char| !c.is_ascii_digit()).unwrap_or(words.len());
    let (number, unit) = words.split_at_checked(end)?;
    let shift = match unit.trim_start() {
        "" | "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        "T" | "TiB" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

impl Logs {
    /// What is kept of the logs below this folder.
    ///
    /// # Errors
    /// If the filesystem does not say how large it is.
    pub(crate) fn retention(&self, root: &Path) -> io::Result<Retention> {
        let mut retention = Retention::for_filesystem(root)?;
        if let Some(Size(total)) = self.max_total {
            retention.bound_all(total);
        }
        if let Some(Size(free)) = self.keep_free {
            // "none" is nothing that is kept free.
            retention.keep_free = (free != u64::MAX).then_some(free);
        }
        retention.each.bytes = self.max_size.map(|size| size.0).or(retention.each.bytes);
        retention.each.age = self.max_age.map(Age::span);
        if let Some(interval) = self.sync_interval {
            retention.sync_interval = interval.span();
        }
        let named = [
            (LogName::Daemon, self.daemon),
            (LogName::Audit, self.audit),
            (LogName::Commands, self.commands),
        ];
        let units = self.units.iter().map(|(name, own)| (LogName::Unit(name.0.clone()), *own));
        retention.of =
            named.into_iter().chain(units).map(|(log, own)| (log, own.bounds())).collect();
        Ok(retention)
    }
}

impl Own {
    fn bounds(self) -> Bounds {
        Bounds { bytes: self.max_size.map(|size| size.0), age: self.max_age.map(Age::span) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Logs, String> {
        toml::from_str(text).map_err(|why| why.to_string())
    }

    #[test]
    fn everything_can_be_said_and_handed_on() {
        let text = "max_total = '1GiB'\nkeep_free = 'none'\nmax_size = '64 M'\nmax_age = '30days'\n\
                    sync_interval = '1s'\n[audit]\nmax_age = 'none'\n[units.web]\nmax_size = 4096\n";
        let logs = parse(text).unwrap();
        let handed_on = serde_json::to_string(&logs).unwrap();
        assert_eq!(serde_json::from_str::<Logs>(&handed_on).unwrap(), logs);
        let retention = logs.retention(Path::new("/")).unwrap();
        assert_eq!((retention.total, retention.keep_free), (Some(1 << 30), None));
        let web = retention.bounds(&LogName::Unit("web".parse().unwrap()));
        let month = Duration::from_secs(30 * 86400);
        assert_eq!(web, Bounds { bytes: Some(4096), age: Some(month) });
        assert_eq!(retention.bounds(&LogName::Daemon).bytes, Some(64 << 20));
        assert!(retention.bounds(&LogName::Audit).age.unwrap() > month * 1000);
        assert_eq!(retention.sync_interval, Duration::from_secs(1));
    }

    #[test]
    fn nothing_said_is_a_part_of_the_filesystem() {
        let retention = Logs::default().retention(Path::new("/")).unwrap();
        let (total, each) = (retention.total.unwrap(), retention.each);
        assert!(total <= 4 << 30 && each == Bounds { bytes: Some(total / 4), age: None });
        assert!(retention.keep_free.unwrap() <= 4 << 30);
        assert_eq!(retention.sync_interval, Duration::from_secs(300));
    }

    #[test]
    fn bad_values_say_what_would_be_right() {
        for (text, word) in [
            ("max_total = '5 apples'", "64MiB"),
            ("max_total = -1", "64MiB"),
            ("max_size = '99999999999T'", "64MiB"),
            ("max_age = 'soon'", "30days"),
            ("max_age = '0s'", "nothing"),
            ("[units.'a/b']\nmax_size = 1", "'/'"),
            ("[web]\nmax_size = 1", "unknown field"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(word), "{text}: {said}");
        }
    }

    proptest! {
        #[test]
        fn no_size_hurts(words in "\\PC*|[0-9]{0,25}( ?[KMGT](iB)?)?") {
            let size = parse_size(&words);
            prop_assert!(size.is_none() || words == "none" || words.starts_with(|c: char| c.is_ascii_digit()));
        }

        #[test]
        fn sizes_are_what_they_say(number in 0..1_u64 << 23) {
            for (unit, factor) in [("", 1), ("KiB", 1 << 10), ("M", 1 << 20), (" GiB", 1 << 30), ("T", 1_u64 << 40)] {
                prop_assert_eq!(parse_size(&format!("{number}{unit}")), Some(number * factor));
            }
        }
    }
}
