//! Signals and ends of programs, by name.

use nix::sys::signal::Signal;

use super::{QuantityError, is_digits};

/// The first real-time signal that glibc leaves to programs.
const FIRST_REAL_TIME: i32 = 34;
/// The largest number of a signal, SIGRTMAX.
const LARGEST: i32 = 64;

/// The number of a signal that is written `SIGTERM`, `TERM`, `15`, `RTMIN+3` or `RTMAX-1`, in any case.
///
/// # Errors
/// The text is none.
pub fn signal_number(text: &str) -> Result<i32, QuantityError> {
    let example = "a name, \"SIGTERM\" or \"TERM\", or a number from 1 to 64";
    number(text.trim()).ok_or_else(|| QuantityError::new(text, "signal", example))
}

/// The name of a signal as [`signal_number`] reads it; of one that has none, its number.
#[must_use]
pub fn signal_name(number: i32) -> String {
    if let Ok(known) = Signal::try_from(number) {
        return known.as_str().to_owned();
    }
    match number.checked_sub(FIRST_REAL_TIME) {
        Some(0) => "SIGRTMIN".to_owned(),
        Some(more) if more > 0 && number <= LARGEST => format!("SIGRTMIN+{more}"),
        Some(_) | None => number.to_string(),
    }
}

/// Sees that this is the end of a program, as the wire lists them: an exit status, `0` to `255`, or a signal's
/// name.
///
/// # Errors
/// The text is none.
pub fn exit_word(text: &str) -> Result<String, QuantityError> {
    let is_status = is_digits(text) && text.parse::<u8>().is_ok();
    let is_signal = !is_digits(text) && number(text).is_some();
    if is_status || is_signal {
        return Ok(text.to_owned());
    }
    let example = "a status from 0 to 255, or a signal's name, \"SIGUSR1\"";
    Err(QuantityError::new(text, "end of a program", example))
}

fn number(text: &str) -> Option<i32> {
    if is_digits(text) {
        return text.parse().ok().filter(|number| (1..=LARGEST).contains(number));
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let number = if let Some(more) = name.strip_prefix("RTMIN") {
        FIRST_REAL_TIME.checked_add(offset(more, '+')?)?
    } else if let Some(less) = name.strip_prefix("RTMAX") {
        LARGEST.checked_sub(offset(less, '-')?)?
    } else {
        let named = format!("SIG{name}").parse::<Signal>().ok()?;
        // Those with a name of their own stand before the real-time ones.
        return (1..FIRST_REAL_TIME).find(|number| Signal::try_from(*number) == Ok(named));
    };
    (FIRST_REAL_TIME..=LARGEST).contains(&number).then_some(number)
}

/// What stands after RTMIN or RTMAX: nothing, or a sign and digits.
fn offset(text: &str, sign: char) -> Option<i32> {
    if text.is_empty() {
        return Some(0);
    }
    text.strip_prefix(sign).filter(|digits| is_digits(digits))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_signal_has_many_spellings_and_one_name() {
        for text in ["SIGTERM", "TERM", "term", "15", " SIGTERM "] {
            assert_eq!(signal_number(text).unwrap(), 15, "{text}");
        }
        for (text, wanted) in [("RTMIN", 34), ("SIGRTMIN+3", 37), ("RTMAX", 64), ("RTMAX-1", 63)] {
            assert_eq!(signal_number(text).unwrap(), wanted, "{text}");
        }
        for text in
            ["", "0", "65", "-1", "+9", "SIG", "SIGSIGTERM", "RTMIN-1", "RTMIN+99", "RTMAX-64"]
        {
            let error = signal_number(text).unwrap_err().to_string();
            assert!(error.contains("is no signal; write a name"), "{error}");
        }
        assert_eq!((signal_name(9), signal_name(35)), ("SIGKILL".into(), "SIGRTMIN+1".into()));
        assert_eq!((signal_name(0), signal_name(99)), ("0".into(), "99".into()));
    }

    #[test]
    fn an_end_is_a_status_or_the_name_of_a_signal() {
        for text in ["0", "255", "007", "SIGUSR1", "usr1"] {
            assert_eq!(exit_word(text).unwrap(), text);
        }
        for text in ["", "256", "-1", "x", "1 2"] {
            assert!(exit_word(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_signal_has_a_name_that_is_read_back(number in 1..=LARGEST) {
            prop_assert_eq!(signal_number(&signal_name(number)).unwrap(), number);
        }

        #[test]
        fn no_text_and_no_number_panics(
            text in any::<String>(), near in "(SIG|RTMIN|RTMAX|TERM|[0-9+-]){0,9}", number in any::<i32>()
        ) {
            for text in [text, near] {
                signal_number(&text).ok();
                exit_word(&text).ok();
            }
            prop_assert!(!signal_name(number).is_empty());
        }
    }
}
