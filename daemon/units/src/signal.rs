//! The names of signals and their numbers, as x86, ARM and RISC-V have them (signal(7)).

/// SIGKILL's number.
pub(crate) const SIGKILL: i32 = 9;
/// SIGTERM's number.
pub const SIGTERM: i32 = 15;
/// The largest signal number: SIGRTMAX.
const LARGEST: i32 = 64;
/// The first real-time signal that glibc leaves to programs.
const SIGRTMIN: i32 = 34;

/// Every signal with a name of its own; where two share a number, the first is the one that is printed.
const NAMES: [(&str, i32); 35] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("UNUSED", 31),
];

/// Whether a signal of this number can be sent.
#[must_use]
pub fn is_signal(number: i32) -> bool {
    (1..=LARGEST).contains(&number)
}

/// The number of a signal that is named `SIGTERM`, `TERM`, `15`, `RTMIN+3` or `SIGRTMAX-1`, in any case.
#[must_use]
pub fn signal_number(text: &str) -> Option<i32> {
    let text = text.to_ascii_uppercase();
    let name = text.strip_prefix("SIG").unwrap_or(&text);
    let number = if let Some(more) = name.strip_prefix("RTMIN") {
        SIGRTMIN.checked_add(offset(more, '+')?)?
    } else if let Some(less) = name.strip_prefix("RTMAX") {
        LARGEST.checked_sub(offset(less, '-')?).filter(|number| *number >= SIGRTMIN)?
    } else if name.len() == text.len() && is_digits(name) {
        name.parse().ok()?
    } else {
        NAMES.iter().find(|(known, _)| *known == name)?.1
    };
    is_signal(number).then_some(number)
}

/// The name of a signal, without `SIG`; of one that has none, its number.
#[must_use]
pub fn signal_name(number: i32) -> String {
    let named = NAMES.iter().find(|(_, known)| *known == number);
    match (named, number.checked_sub(SIGRTMIN)) {
        (Some((name, _)), _) => (*name).to_owned(),
        (None, Some(0)) => "RTMIN".to_owned(),
        (None, Some(more)) if more > 0 && is_signal(number) => format!("RTMIN+{more}"),
        (None, Some(_) | None) => number.to_string(),
    }
}

/// What stands after RTMIN or RTMAX: nothing, or a sign and digits.
fn offset(text: &str, sign: char) -> Option<i32> {
    if text.is_empty() {
        return Some(0);
    }
    let digits = text.strip_prefix(sign).filter(|digits| is_digits(digits))?;
    digits.parse().ok()
}

/// Whether a number stands here, without a sign.
fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
