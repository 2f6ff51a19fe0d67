//! Quantities as people write them, on the command line and in files of units: times, sizes, shares of a
//! processor, masks, signals.
//!
//! The forms are systemd's (systemd.time(7), systemd.syntax(7)). Invariants: what is written here is read back as
//! it was; reading is total; nothing is rounded in silence but a fraction of a byte.

mod moment;
mod signal;
mod time;

use thiserror::Error;

pub use self::{
    moment::Moment,
    signal::{exit_word, signal_name, signal_number},
    time::{bound_text, parse_bound, parse_time, time_text},
};

/// The most characters of a wrong text that are repeated.
const LONGEST: usize = 64;

/// The units of sizes, each 1024 times the one before.
const SIZES: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];

/// The largest mask of permissions.
const LARGEST_MASK: u32 = 0o777;

/// A text that is not the quantity that it should be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{text:?} is no {what}; write {example}")]
pub struct QuantityError {
    /// The text, at most 64 characters of it.
    text: String,
    what: &'static str,
    example: &'static str,
}

impl QuantityError {
    fn new(text: &str, what: &'static str, example: &'static str) -> Self {
        Self { text: text.chars().take(LONGEST).collect(), what, example }
    }
}

/// Bytes: `512M`, `1.5G`, a bare number; K, M, G, T, P and E are powers of 1024. What is left of a byte by a
/// fraction is dropped.
///
/// # Errors
/// The text is none.
pub fn parse_size(text: &str) -> Result<u64, QuantityError> {
    let size = || {
        let text = text.trim();
        let number = text.trim_end_matches(|last: char| SIZES.contains(&last) || last == 'B');
        let unit = match text.get(number.len()..)? {
            "" | "B" => 1,
            suffix => factor(suffix)?,
        };
        u64::try_from(Number::read(number.trim_end())?.times(unit)?).ok()
    };
    let wrong = || QuantityError::new(text, "size", "\"512M\" or a number of bytes");
    size().ok_or_else(wrong)
}

/// Bytes as [`parse_size`] reads them, exactly, in the largest unit that has no fraction.
#[must_use]
pub fn size_text(bytes: u64) -> String {
    let fits = |unit: &char| factor(&unit.to_string()).filter(|size| u128::from(bytes) % size == 0);
    let largest = SIZES.iter().rev().find_map(|unit| Some((unit, fits(unit)?)));
    match largest.filter(|_| bytes > 0) {
        Some((unit, size)) => format!("{}{unit}", u128::from(bytes) / size),
        None => bytes.to_string(),
    }
}

/// A share of processors: `150%` is one and a half.
///
/// # Errors
/// The text is none.
pub fn parse_percent(text: &str) -> Result<u32, QuantityError> {
    let share = text.trim().strip_suffix('%').filter(|digits| is_digits(digits));
    let wrong = || QuantityError::new(text, "share of processors", "\"150%\"");
    share.and_then(|digits| digits.parse().ok()).ok_or_else(wrong)
}

/// A share as [`parse_percent`] reads it.
#[must_use]
pub fn percent_text(percent: u32) -> String {
    format!("{percent}%")
}

/// A file mode creation mask, in octal digits: `0022`.
///
/// # Errors
/// The text is none.
pub fn parse_mask(text: &str) -> Result<u32, QuantityError> {
    let mask = Some(text).filter(|digits| is_digits(digits));
    let mask = mask.and_then(|digits| u32::from_str_radix(digits, 8).ok());
    let wrong = || QuantityError::new(text, "mask of permissions", "octal digits, \"0022\"");
    mask.filter(|mask| *mask <= LARGEST_MASK).ok_or_else(wrong)
}

/// A mask as [`parse_mask`] reads it.
#[must_use]
pub fn mask_text(mask: u32) -> String {
    format!("{mask:04o}")
}

/// What a suffix of a size multiplies by.
fn factor(suffix: &str) -> Option<u128> {
    let unit = suffix.strip_suffix('B').unwrap_or(suffix);
    let power = SIZES.iter().position(|known| unit.chars().eq([*known]))?;
    let power = u32::try_from(power).ok()?.checked_add(1)?;
    1024_u128.checked_pow(power)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number that may have a fraction, without a sign.
struct Number {
    whole: u128,
    fraction: u128,
    /// Ten to the power of the fraction's digits.
    scale: u128,
}

impl Number {
    /// More digits mean nothing to anybody, and would not fit.
    const DIGITS: usize = 20;

    fn read(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if !is_digits(whole) || !is_digits(fraction) {
            return None;
        }
        if whole.len() > Self::DIGITS || fraction.len() > Self::DIGITS / 2 {
            return None;
        }
        let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        Some(Self { whole: whole.parse().ok()?, fraction: fraction.parse().ok()?, scale })
    }

    fn times(&self, unit: u128) -> Option<u128> {
        let part = self.fraction.checked_mul(unit)?.checked_div(self.scale)?;
        self.whole.checked_mul(unit)?.checked_add(part)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, wanted) in [
            ("0", 0),
            ("4096", 4096),
            ("4096B", 4096),
            ("512M", 512 << 20),
            ("512 M", 512 << 20),
            ("512MB", 512 << 20),
            ("1K", 1024),
            ("1.5G", 3 << 29),
            ("0.3K", 307),
            ("15E", 15 << 60),
        ] {
            assert_eq!(parse_size(text).unwrap(), wanted, "{text}");
        }
        for text in
            ["", "M", "-1", "1,5G", "1.G", ".5G", "16E", "5k", "5MM", "1e9", "infinity", "1 2"]
        {
            let error = parse_size(text).unwrap_err().to_string();
            assert!(error.ends_with("is no size; write \"512M\" or a number of bytes"), "{error}");
        }
        assert_eq!((size_text(512 << 20), size_text(1500)), ("512M".into(), "1500".into()));
    }

    #[test]
    fn shares_and_masks_have_one_form() {
        assert_eq!(parse_percent("150%").unwrap(), 150);
        for text in ["150", "%", "1.5%", "-1%", "99999999999%", "+1%"] {
            assert!(parse_percent(text).is_err(), "{text}");
        }
        assert_eq!((parse_mask("0027").unwrap(), mask_text(0o27)), (0o27, "0027".into()));
        for text in ["", "8", "1000", "0o22", "-1", "+1"] {
            assert!(parse_mask(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(bytes in any::<u64>(), shift in 0..64_u32, percent in any::<u32>()) {
            let round = (bytes >> shift) << shift;
            prop_assert_eq!(parse_size(&size_text(bytes)).unwrap(), bytes);
            prop_assert_eq!(parse_size(&size_text(round)).unwrap(), round);
            prop_assert_eq!(parse_percent(&percent_text(percent)).unwrap(), percent);
            let mask = percent & LARGEST_MASK;
            prop_assert_eq!(parse_mask(&mask_text(mask)).unwrap(), mask);
        }

        #[test]
        fn no_text_panics(text in any::<String>(), near in "[0-9.KMGTPEBi% -]{0,30}") {
            for text in [text, near] {
                parse_size(&text).ok();
                parse_percent(&text).ok();
                parse_mask(&text).ok();
            }
        }
    }
}
