//! Ends, causes and amounts in words, never as a bare number.

use api::runtime::{ChangeCause, ExitRecord, Origin, UnitChange, UnitState, exit_record::Cause};
use client::quantity::signal_name;

use super::{json::word, table::moment};

/// How a run ended.
pub(super) fn ended(record: &ExitRecord) -> String {
    let mut words = match &record.cause {
        Some(Cause::Code(0)) => "exited with success".to_owned(),
        Some(Cause::Code(code)) => format!("exited with status {code}"),
        Some(Cause::Signal(number)) => format!("ended by {}", signal(*number)),
        Some(Cause::Failure(failure)) => format!("never ran: {}", failure.message),
        Some(Cause::Lost(sentence)) => format!("lost: {sentence}"),
        None => "ended, and nobody knows how".to_owned(),
    };
    if record.core_dumped {
        words.push_str(", core dumped");
    }
    if record.out_of_memory == Some(true) {
        words.push_str(", for want of memory");
    }
    if let Some(by) = &record.stopped_by {
        words.push_str(", by order of ");
        words.push_str(&origin(by));
    }
    words
}

/// A signal by its name.
pub(super) fn signal(number: i32) -> String {
    let name = signal_name(number);
    if name.starts_with("SIG") { name } else { format!("signal {name}") }
}

/// Who it was, through which door, and why.
pub(super) fn origin(Origin { door, identity, reason }: &Origin) -> String {
    let who = if identity.is_empty() { "somebody" } else { identity };
    let through = if door.is_empty() { String::new() } else { format!(" through {door}") };
    let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    format!("{who}{through}{why}")
}

/// A state, as the wire has it.
pub(super) fn state(number: i32) -> String {
    word("UNIT_STATE_", number, |number| {
        UnitState::try_from(number).ok().map(|state| state.as_str_name())
    })
}

/// What made a unit's state change.
pub(super) fn why(change: &UnitChange) -> String {
    let ordered = change.cause() == ChangeCause::Order || change.message.is_empty();
    match (&change.origin, &change.exit) {
        (Some(by), _) if ordered => format!("by order of {}", origin(by)),
        (Some(by), _) => format!("{} (by order of {})", change.message, origin(by)),
        (None, _) if !change.message.is_empty() => change.message.clone(),
        (None, Some(record)) => ended(record),
        (None, None) => word("CHANGE_CAUSE_", change.cause, |number| {
            ChangeCause::try_from(number).ok().map(|cause| cause.as_str_name())
        }),
    }
}

/// A moment, or that it is not known.
pub(super) fn at(nanoseconds: i64) -> String {
    moment(nanoseconds).unwrap_or_else(|| "an unknown time".to_owned())
}

/// Bytes, with one digit behind the point.
pub(super) fn amount(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    let mut size = u128::from(bytes).saturating_mul(10);
    let mut unit = "B";
    for larger in UNITS {
        if size < 10_240 {
            break;
        }
        size /= 1024;
        unit = larger;
    }
    if unit == "B" { format!("{bytes}B") } else { format!("{}.{}{unit}", size / 10, size % 10) }
}

/// A time of processors or clocks, in two units at most.
pub(super) fn span(nanoseconds: u64) -> String {
    let milliseconds = nanoseconds / 1_000_000;
    let seconds = milliseconds / 1000;
    let minutes = seconds / 60;
    let (hours, days) = (minutes / 60, minutes / 1440);
    match (days, hours, minutes, seconds) {
        (0, 0, 0, 0) => format!("{milliseconds}ms"),
        (0, 0, 0, _) => format!("{seconds}.{}s", milliseconds % 1000 / 100),
        (0, 0, _, _) => format!("{minutes}min {}s", seconds % 60),
        (0, _, _, _) => format!("{hours}h {}min", minutes % 60),
        (_, _, _, _) => format!("{days}d {}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use api::runtime::StartFailure;
    use proptest::prelude::*;

    use super::*;

    fn by(reason: &str) -> Origin {
        Origin { door: "grpc".into(), identity: "uid:7".into(), reason: reason.into() }
    }

    #[test]
    fn an_end_is_told_in_words() {
        let record = |cause| ExitRecord { cause: Some(cause), ..ExitRecord::default() };
        let failure = StartFailure { message: "executing \"x\": no".into(), ..Default::default() };
        for (cause, wanted) in [
            (Cause::Code(0), "exited with success"),
            (Cause::Code(3), "exited with status 3"),
            (Cause::Signal(15), "ended by SIGTERM"),
            (Cause::Signal(99), "ended by signal 99"),
            (Cause::Failure(failure), "never ran: executing \"x\": no"),
            (Cause::Lost("the daemon died".into()), "lost: the daemon died"),
        ] {
            assert_eq!(ended(&record(cause)), wanted);
        }
        let all = ExitRecord {
            core_dumped: true,
            out_of_memory: Some(true),
            stopped_by: Some(by("ticket")),
            ..record(Cause::Signal(9))
        };
        let wanted = "ended by SIGKILL, core dumped, for want of memory, \
                      by order of uid:7 through grpc (ticket)";
        assert_eq!(ended(&all), wanted);
        assert_eq!(ended(&ExitRecord::default()), "ended, and nobody knows how");
    }

    #[test]
    fn a_change_says_who_or_what_made_it() {
        let change = |cause: ChangeCause, message: &str, origin| UnitChange {
            cause: cause.into(),
            message: message.into(),
            origin,
            ..UnitChange::default()
        };
        let order = change(ChangeCause::Order, "order of uid:7", Some(by("")));
        assert_eq!(why(&order), "by order of uid:7 through grpc");
        let policy = change(ChangeCause::Policy, "start limit", Some(by("x")));
        assert_eq!(why(&policy), "start limit (by order of uid:7 through grpc (x))");
        assert_eq!(why(&change(ChangeCause::Policy, "restart 3", None)), "restart 3");
        assert_eq!(why(&change(ChangeCause::Readiness, "", None)), "readiness");
        let exit = Some(ExitRecord { cause: Some(Cause::Code(3)), ..ExitRecord::default() });
        let exited = UnitChange { exit, ..change(ChangeCause::Exit, "", None) };
        assert_eq!(why(&exited), "exited with status 3");
    }

    #[test]
    fn amounts_and_spans_are_short() {
        for (bytes, wanted) in
            [(0, "0B"), (1023, "1023B"), (1024, "1.0K"), (1_572_864, "1.5M"), (u64::MAX, "15.9E")]
        {
            assert_eq!(amount(bytes), wanted);
        }
        for (seconds, wanted) in
            [(0, "0ms"), (7, "7.0s"), (61, "1min 1s"), (3_700, "1h 1min"), (90_000, "1d 1h")]
        {
            assert_eq!(span(seconds * 1_000_000_000), wanted);
        }
        assert_eq!(span(1_550_000_000), "1.5s");
    }

    proptest! {
        #[test]
        fn every_number_has_words(number in any::<u64>(), code in any::<i32>()) {
            prop_assert!(amount(number).len() < 9 && !span(number).is_empty());
            prop_assert!(!signal(code).is_empty() && !state(code).is_empty());
        }
    }
}
