//! Moments as people write them: how long ago, a time of today, a date. Without an offset they are in UTC, as all times that
//! we print.

use std::{str::FromStr, time::UNIX_EPOCH};

use super::{QuantityError, parse_time};

const DAY: u64 = 86_400_000;

/// A moment, which may be relative to the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So many milliseconds ago.
    Ago(u64),
    /// So many milliseconds after the beginning of today.
    Today(u64),
    /// So many milliseconds after the beginning of yesterday.
    Yesterday(u64),
    /// So many nanoseconds after 1970 began.
    At(u64),
}

impl Moment {
    /// In nanoseconds since 1970, where it is now so many.
    #[must_use]
    pub fn at(self, now: u64) -> u64 {
        let nanoseconds = |milliseconds: u64| milliseconds.saturating_mul(1_000_000);
        let today = now.saturating_sub(now % nanoseconds(DAY));
        match self {
            Self::Ago(span) => now.saturating_sub(nanoseconds(span)),
            Self::Today(time) => today.saturating_add(nanoseconds(time)),
            Self::Yesterday(time) => {
                today.saturating_sub(nanoseconds(DAY)).saturating_add(nanoseconds(time))
            }
            Self::At(time) => time,
        }
    }
}

impl FromStr for Moment {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let example = "\"5m\", \"-1h\", \"2 hours ago\", \"14:05\", \"today\", \"yesterday 08:00\" or \
                       \"2026-11-22 14:05\"";
        moment(text.trim()).ok_or_else(|| QuantityError::new(text, "time", example))
    }
}

fn moment(text: &str) -> Option<Moment> {
    match text {
        "now" => return Some(Moment::Ago(0)),
        "today" => return Some(Moment::Today(0)),
        "yesterday" => return Some(Moment::Yesterday(0)),
        _ => {}
    }
    let span = text.strip_suffix("ago").or_else(|| text.strip_prefix('-')).unwrap_or(text);
    if let Ok(span) = parse_time(span) {
        return Some(Moment::Ago(span));
    }
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000).map(Moment::At);
    }
    if let Some(time) = text.strip_prefix("yesterday ").and_then(clock) {
        return Some(Moment::Yesterday(time));
    }
    clock(text.strip_prefix("today ").unwrap_or(text)).map(Moment::Today).or_else(|| date(text))
}

/// `HH:MM` or `HH:MM:SS`, in milliseconds.
fn clock(text: &str) -> Option<u64> {
    let mut parts = text.split(':');
    let mut part = |below: u64| -> Option<u64> {
        let text = parts.next()?;
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number < below)
    };
    let (hours, minutes) = (part(24)?, part(60)?);
    let seconds = match text.len() {
        5 => 0,
        _ => part(60)?,
    };
    parts.next().is_none().then_some(())?;
    Some(((hours * 60 + minutes) * 60 + seconds) * 1000)
}

/// RFC 3339, or the date alone.
fn date(text: &str) -> Option<Moment> {
    let day = text.len() == 10;
    let whole = match text.len() {
        _ if day => format!("{text}T00:00:00Z"),
        // Without seconds, as `journalctl` takes it.
        16 => format!("{text}:00Z"),
        _ => text.to_owned(),
    };
    // The place of an offset: behind the seconds.
    let sign = whole.char_indices().skip(19).find(|(_, sign)| matches!(sign, '+' | '-'));
    let (local, offset) = match sign {
        Some((at, sign)) => {
            let (local, offset) = whole.split_at_checked(at)?;
            let span = clock(offset.get(1..)?).filter(|_| offset.len() == 6)?;
            (local, Some((sign, span.checked_mul(1_000_000)?)))
        }
        None => (whole.as_str(), None),
    };
    let moment = humantime::parse_rfc3339_weak(local).ok()?.duration_since(UNIX_EPOCH).ok()?;
    // What is beyond the year 2554 is as good as that.
    let utc = u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX);
    let at = match offset {
        Some(('+', span)) => utc.checked_sub(span)?,
        Some((_, span)) => utc.saturating_add(span),
        None => utc,
    };
    Some(Moment::At(at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_are_read() {
        const NOON: u64 = 1_795_348_800_000_000_000; // 2026-11-22T12:00:00Z
        for (text, wanted) in [
            ("now", "2026-11-22T12:00:00Z"),
            ("5m", "2026-11-22T11:55:00Z"),
            ("2h ago", "2026-11-22T10:00:00Z"),
            ("-1h 30min", "2026-11-22T10:30:00Z"),
            ("-1h", "2026-11-22T11:00:00Z"),
            ("2 hours ago", "2026-11-22T10:00:00Z"),
            ("1 hour 30 minutes ago", "2026-11-22T10:30:00Z"),
            ("1 day ago", "2026-11-21T12:00:00Z"),
            ("yesterday", "2026-11-21T00:00:00Z"),
            ("2026-11-20 01:02", "2026-11-20T01:02:00Z"),
            ("2026-11-20T01:02", "2026-11-20T01:02:00Z"),
            ("90", "2026-11-22T11:58:30Z"),
            ("today", "2026-11-22T00:00:00Z"),
            ("yesterday 08:05", "2026-11-21T08:05:00Z"),
            ("14:05", "2026-11-22T14:05:00Z"),
            ("14:05:09", "2026-11-22T14:05:09Z"),
            ("2026-11-20", "2026-11-20T00:00:00Z"),
            ("2026-11-20 01:02:03", "2026-11-20T01:02:03Z"),
            ("2026-11-20T01:02:03.5Z", "2026-11-20T01:02:03.5Z"),
            ("2026-11-20T01:02:03+02:00", "2026-11-19T23:02:03Z"),
            ("2026-11-20T01:02:03.25-00:30", "2026-11-20T01:32:03.25Z"),
            ("@1795348800", "2026-11-22T12:00:00Z"),
        ] {
            let at = humantime::parse_rfc3339(wanted).unwrap().duration_since(UNIX_EPOCH).unwrap();
            let read = text.parse::<Moment>().unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(u128::from(read.at(NOON)), at.as_nanos(), "{text}");
        }
        for text in
            ["", "ago", "24:00", "14:5", "x", "2026-13-01", "2026-11-20T01:02:03+2:00", "@-1"]
        {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), near in "[-+0-9:TZ. @agohmy]{0,30}", now in any::<u64>()) {
            for text in [text, near] {
                if let Ok(moment) = text.parse::<Moment>() {
                    let _any: u64 = moment.at(now);
                }
            }
        }
    }
}
