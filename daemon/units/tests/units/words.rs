//! The names of signals, and sets of exits in words.

use proptest::{prelude::*, test_runner::Config};
use units::{Cause, ExitSet, StartFailure, is_signal, signal_name, signal_number};

use crate::making::by_signal;

#[test]
fn signals_have_numbers_and_names() {
    for (text, number) in [
        ("SIGTERM", Some(15)),
        ("TERM", Some(15)),
        ("sigterm", Some(15)),
        ("15", Some(15)),
        ("HUP", Some(1)),
        ("IOT", Some(6)),
        ("RTMIN", Some(34)),
        ("SIGRTMIN+3", Some(37)),
        ("RTMAX-1", Some(63)),
        ("RTMAX", Some(64)),
        ("64", Some(64)),
        ("0", None),
        ("65", None),
        ("-1", None),
        ("+15", None),
        ("SIG15", None),
        ("RTMIN+31", None),
        ("RTMIN-1", None),
        ("RTMIN+-1", None),
        ("RTMAX-31", None),
        ("RTMAX+1", None),
        ("SIGSIGTERM", None),
        ("99999999999999999999", None),
        ("", None),
        ("SIG", None),
        ("KILLER", None),
    ] {
        assert_eq!(signal_number(text), number, "{text:?}");
    }
    for (number, name) in [(9, "KILL"), (34, "RTMIN"), (64, "RTMIN+30"), (32, "32"), (-1, "-1")] {
        assert_eq!(signal_name(number), name);
    }
    for number in 1..=64 {
        assert!(is_signal(number));
        assert_eq!(signal_number(&signal_name(number)), Some(number));
    }
}

#[test]
fn a_set_of_exits_is_a_list_of_numbers_and_signals() {
    let set: ExitSet = " 1 2\tSIGKILL TERM 137\n".parse().unwrap();
    assert_eq!(set.codes.iter().copied().collect::<Vec<u8>>(), [1, 2, 137]);
    assert_eq!(set.signals.iter().copied().collect::<Vec<i32>>(), [9, 15]);
    assert_eq!("".parse(), Ok(ExitSet::default()));
    for word in ["256", "-1", "SIGNONE", "1,2", "TERM;"] {
        let refused = word.parse::<ExitSet>().unwrap_err().to_string();
        assert!(refused.contains(&format!("{word:?} is neither")), "{refused}");
    }
}

#[test]
fn a_set_of_exits_tells_a_number_from_a_signal() {
    let set: ExitSet = "9 203 TERM".parse().unwrap();
    let failed = |stage| Cause::Failed(StartFailure { stage, errno: 2, message: String::new() });
    for (cause, is_in) in [
        (Cause::Exited(9), true),
        (by_signal(9), false),
        (by_signal(15), true),
        (Cause::Signalled { signal: 15, core_dumped: true }, true),
        (Cause::Exited(15), false),
        (failed(203), true),
        (failed(200), false),
        (failed(302), false),
        (Cause::Lost("9".to_owned()), false),
    ] {
        assert_eq!(set.contains(&cause), is_in, "{cause:?}");
    }
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::default() })]

    #[test]
    fn every_text_is_a_signal_or_is_not(text in "(sig|SIG)?[A-Za-z0-9+-]{0,8}|.{0,12}") {
        prop_assert!(signal_number(&text).is_none_or(is_signal));
    }

    #[test]
    fn every_text_is_a_set_or_is_refused(text in "([0-9A-Z +-]|SIG|TERM){0,20}") {
        let parsed: Result<ExitSet, _> = text.parse();
        if let Ok(set) = parsed {
            prop_assert!(set.codes.len() + set.signals.len() <= text.split_whitespace().count());
        }
    }
}
