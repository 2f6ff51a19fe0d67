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
    #[serde(deserialize_with = "room")]
    max_total: Option<Size>,
    /// Of the filesystem, for others.
    keep_free: Option<Size>,
    /// Of each log.
    #[serde(deserialize_with = "room")]
    max_size: Option<Size>,
    /// Of each log.
    #[serde(deserialize_with = "age")]
    max_age: Option<Age>,
    /// How much later what was written is on the disk at the latest.
    #[serde(deserialize_with = "interval")]
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
    #[serde(deserialize_with = "room")]
    max_size: Option<Size>,
    #[serde(deserialize_with = "age")]
    max_age: Option<Age>,
}

/// The least that a log can be bounded to: a segment is not closed before it has so much.
const LEAST_ROOM: u64 = 64 << 10;
/// Milliseconds of a second, of a day, and of a hundred years.
const SECOND: u64 = 1000;
const DAY: u64 = 86_400 * SECOND;
const CENTURY: u64 = 36_525 * DAY;
const NEVER: u64 = u64::MAX;

/// What a log, or all, may take. Less than a segment would be nothing.
fn room<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Size>, D::Error> {
    match Option::<Size>::deserialize(from)? {
        Some(Size(bytes)) if bytes < LEAST_ROOM => Err(D::Error::custom(format!(
            "{bytes} bytes are too few to keep a log in: write \"64KiB\" at least, such as \"1GiB\", or \"none\" for no bound"
        ))),
        size => Ok(size),
    }
}

/// How long something is kept.
fn age<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Age>, D::Error> {
    match Option::<Age>::deserialize(from)? {
        Some(Age(span)) if span != NEVER && !(SECOND..=CENTURY).contains(&span) => {
            Err(D::Error::custom(
                "it is shorter than a second or longer than a hundred years: write how long logs are kept, such as \
                 \"30days\", or \"none\" for ever",
            ))
        }
        age => Ok(age),
    }
}

/// How often the disk is told.
fn interval<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Age>, D::Error> {
    match Option::<Age>::deserialize(from)? {
        Some(Age(span)) if !(1..=DAY).contains(&span) => Err(D::Error::custom(
            "it is nothing or longer than a day: write how much later what was written is on the disk at the latest, from \
             \"1ms\" to \"1day\", such as \"5min\"",
        )),
        interval => Ok(interval),
    }
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
                // A part of a millisecond is one; nothing stays nothing, and is refused by whom it means.
                let rounded = u64::from(!span.is_zero());
                Ok(Self(u64::try_from(span.as_millis()).unwrap_or(CENTURY).max(rounded)))
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
                    sync_interval = '1s'\n[audit]\nmax_age = 'none'\n[units.web]\nmax_size = 65536\n";
        let logs = parse(text).unwrap();
        let handed_on = serde_json::to_string(&logs).unwrap();
        assert_eq!(serde_json::from_str::<Logs>(&handed_on).unwrap(), logs);
        let retention = logs.retention(Path::new("/")).unwrap();
        assert_eq!((retention.total, retention.keep_free), (Some(1 << 30), None));
        let web = retention.bounds(&LogName::Unit("web".parse().unwrap()));
        let month = Duration::from_secs(30 * 86400);
        assert_eq!(web, Bounds { bytes: Some(1 << 16), age: Some(month) });
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
            ("max_age = '0s'", "30days"),
            ("max_age = 0", "30days"),
            ("max_age = '200000y'", "a hundred years"),
            ("[audit]\nmax_age = '10ms'", "30days"),
            ("sync_interval = 0", "\"5min\""),
            ("sync_interval = '0s'", "\"5min\""),
            ("sync_interval = '2days'", "\"1day\""),
            ("sync_interval = 'none'", "\"1day\""),
            ("max_total = 0", "\"64KiB\" at least"),
            ("max_total = '0'", "\"64KiB\" at least"),
            ("max_size = '1KiB'", "1024 bytes are too few"),
            ("[daemon]\nmax_size = 0", "\"64KiB\" at least"),
            ("[units.'a/b']\nmax_size = 1", "'/'"),
            ("[web]\nmax_size = 1", "unknown field"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(word), "{text}: {said}");
            let line = format!("at line {}", text.lines().count());
            assert!(
                said.contains(&line) || word == "unknown field" || text.starts_with("[units.'"),
                "{text}: {said}"
            );
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
