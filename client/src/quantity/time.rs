//! Spans of time, as systemd.time(7) writes them. The wire has them in milliseconds.

use super::{Number, QuantityError};

/// What people call the units, and how many microseconds they have.
const UNITS: [(&[&str], u128); 7] = [
    (&["usec", "us", "µs"], 1),
    (&["msec", "ms"], 1_000),
    (&["seconds", "second", "sec", "s"], 1_000_000),
    (&["minutes", "minute", "min", "m"], 60_000_000),
    (&["hours", "hour", "hr", "h"], 3_600_000_000),
    (&["days", "day", "d"], 86_400_000_000),
    (&["weeks", "week", "w"], 604_800_000_000),
];

/// In which they are written, in milliseconds.
const WRITTEN: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

/// What stands for no bound.
const INFINITY: &str = "infinity";

/// Milliseconds of a span: `5s`, `1min 30s`, `1.5h`; a bare number is seconds. The wire has nothing shorter than
/// a millisecond, so a rest is refused.
///
/// # Errors
/// The text is none.
pub fn parse_time(text: &str) -> Result<u64, QuantityError> {
    let example = "\"5s\", \"1min 30s\", \"100ms\" or a number of seconds";
    span(text).ok_or_else(|| QuantityError::new(text, "time", example))
}

/// A span as [`parse_time`] reads it.
#[must_use]
pub fn time_text(milliseconds: u64) -> String {
    let mut rest = milliseconds;
    let mut parts = Vec::new();
    for (unit, length) in WRITTEN {
        let count = rest / length;
        rest %= length;
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// Milliseconds of a bound, which the wire has as 0 where there is none: as [`parse_time`], or `infinity`. No time
/// at all is refused: systemd and others do not agree on what it would mean.
///
/// # Errors
/// The text is none.
pub fn parse_bound(text: &str) -> Result<u64, QuantityError> {
    if text.trim() == INFINITY {
        return Ok(0);
    }
    let example = "\"5s\", \"1min 30s\", a number of seconds, or \"infinity\"";
    let bound = span(text).filter(|milliseconds| *milliseconds > 0);
    bound.ok_or_else(|| QuantityError::new(text, "bound", example))
}

/// A bound as [`parse_bound`] reads it.
#[must_use]
pub fn bound_text(milliseconds: u64) -> String {
    if milliseconds == 0 { INFINITY.to_owned() } else { time_text(milliseconds) }
}

fn span(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if let Some(seconds) = Number::read(rest) {
        return milliseconds(seconds.times(1_000_000)?);
    }
    let mut total = 0_u128;
    while !rest.is_empty() {
        let (number, after) = split(rest, |next| next.is_ascii_digit() || next == '.');
        let (unit, after) = split(after.trim_start(), char::is_alphabetic);
        let length = UNITS.iter().find(|(names, _)| names.contains(&unit))?.1;
        total = total.checked_add(Number::read(number)?.times(length)?)?;
        rest = after.trim_start();
    }
    Some(total).filter(|_| !text.trim().is_empty()).and_then(milliseconds)
}

fn milliseconds(microseconds: u128) -> Option<u64> {
    if microseconds.is_multiple_of(1000) { u64::try_from(microseconds / 1000).ok() } else { None }
}

/// The beginning whose characters all are such, and the rest.
fn split(text: &str, such: fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|next| !such(next)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_as_systemd_reads_them() {
        for (text, wanted) in [
            ("0", 0),
            ("5", 5_000),
            ("1.5", 1_500),
            ("5s", 5_000),
            ("5 s", 5_000),
            ("1min 30s", 90_000),
            ("1min30s", 90_000),
            (" 2h ", 7_200_000),
            ("1.5h", 5_400_000),
            ("100ms", 100),
            ("500000us", 500),
            ("500000µs", 500),
            ("2 hours 1 minute", 7_260_000),
            ("1w 1d", 691_200_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_time(text).unwrap(), wanted, "{text}");
        }
        for text in [
            "", " ", "s", "5x", "-5s", "1 30", "1min 30", "1us", "0.0005s", "1e3", "infinity",
            "5,5s",
        ] {
            let error = parse_time(text).unwrap_err().to_string();
            assert!(error.contains("is no time; write \"5s\", \"1min 30s\""), "{error}");
        }
        assert!(parse_time(&"9".repeat(40)).is_err());
    }

    #[test]
    fn times_are_written_for_people() {
        for (milliseconds, wanted) in [
            (0, "0s"),
            (100, "100ms"),
            (90_000, "1min 30s"),
            (90_061_001, "1d 1h 1min 1s 1ms"),
            (604_800_000, "7d"),
        ] {
            assert_eq!(time_text(milliseconds), wanted);
        }
    }

    #[test]
    fn no_bound_is_infinity_and_no_time_is_refused() {
        assert_eq!((parse_bound("infinity").unwrap(), bound_text(0)), (0, "infinity".into()));
        assert_eq!(parse_bound("1.5").unwrap(), 1_500);
        let error = parse_bound("0").unwrap_err().to_string();
        assert!(error.ends_with("or \"infinity\""), "{error}");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(milliseconds in any::<u64>(), shift in 0..64_u32) {
            for milliseconds in [milliseconds, milliseconds >> shift] {
                prop_assert_eq!(parse_time(&time_text(milliseconds)).unwrap(), milliseconds);
                prop_assert_eq!(parse_bound(&bound_text(milliseconds)).unwrap(), milliseconds);
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>(), near in "[0-9. smhdinuµ]{0,30}") {
            for text in [text, near] {
                parse_time(&text).ok();
                parse_bound(&text).ok();
            }
        }
    }
}
