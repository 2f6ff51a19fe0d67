//! The exit status of `aer exec`: the program's own, and the shells' conventions for the rest.

use std::io;

use api::runtime::{ExecutableStatus, ExitRecord, StartFailure, StartStage, exit_record::Cause};

use crate::failure::Failure;

/// aer or the daemon failed.
pub(crate) const EXEC_FAILED: u8 = 125;
/// The program is there and could not be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// There is no such program.
pub(crate) const NOT_FOUND: u8 = 127;
/// The reader of the output went away: what the signal for it, SIGPIPE, would have given.
pub(crate) const NO_READER: u8 = 141;

/// The status of a run that has ended.
pub(crate) fn of_record(record: &ExitRecord) -> Result<u8, Failure> {
    match &record.cause {
        Some(Cause::Code(code)) => u8::try_from(*code).map_err(|_| strange("code", *code)),
        Some(Cause::Signal(signal)) => of_signal(*signal).ok_or_else(|| strange("signal", *signal)),
        Some(Cause::Failure(failure)) => Err(not_started(failure)),
        Some(Cause::Lost(sentence)) => {
            Err(Failure::Lost { run_id: record.run_id.clone(), sentence: sentence.clone() })
        }
        None => Err(Failure::Strange("an exit record without a cause".to_owned())),
    }
}

/// The status of an answer of Exec. A daemon that knows nothing of exit records fills `exit_code` alone.
pub(crate) fn of_answer(answer: &ExecutableStatus) -> Result<u8, Failure> {
    if let Some(record) = &answer.exit {
        return of_record(record);
    }
    answer.exit_code.parse().map_err(|_| Failure::NotStarted {
        sentence: answer.meta.as_ref().map(|meta| meta.message.clone()).unwrap_or_default(),
        status: EXEC_FAILED,
    })
}

/// 128 + signal.
pub(crate) fn of_signal(signal: i32) -> Option<u8> {
    let signal = u8::try_from(signal).ok()?;
    128_u8.checked_add(signal)
}

fn not_started(failure: &StartFailure) -> Failure {
    let cause = io::Error::from_raw_os_error(failure.error_number);
    // Also where an interpreter is missing: the kernel does not tell the two apart.
    let missing = matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    let status = match (failure.stage() == StartStage::Exec, missing) {
        (true, true) => NOT_FOUND,
        (true, false) => NOT_EXECUTABLE,
        (false, _) => EXEC_FAILED,
    };
    let sentence = if failure.message.is_empty() {
        format!("starting the program: {cause}")
    } else {
        failure.message.clone()
    };
    Failure::NotStarted { sentence, status }
}

fn strange(what: &str, number: i32) -> Failure {
    Failure::Strange(format!("an exit record with the {what} {number}"))
}

#[cfg(test)]
mod tests {
    use api::meta::AuraeMeta;
    use nix::errno::Errno;
    use proptest::prelude::*;

    use super::*;

    fn status(cause: Option<Cause>) -> u8 {
        let record = ExitRecord { cause, ..ExitRecord::default() };
        of_record(&record).unwrap_or_else(|failure| failure.status(EXEC_FAILED))
    }

    fn failure(stage: StartStage, errno: Errno) -> u8 {
        let failure = StartFailure {
            stage: stage.into(),
            error_number: errno as i32,
            message: String::new(),
        };
        status(Some(Cause::Failure(failure)))
    }

    #[test]
    fn a_program_that_exits_gives_its_own_status() {
        for code in 0..=255 {
            assert_eq!(i32::from(status(Some(Cause::Code(code)))), code);
        }
    }

    #[test]
    fn a_signal_gives_128_more() {
        assert_eq!(status(Some(Cause::Signal(9))), 137);
        assert_eq!(status(Some(Cause::Signal(64))), 192);
    }

    #[test]
    fn a_start_that_failed_gives_what_shells_give() {
        assert_eq!(failure(StartStage::Exec, Errno::ENOENT), 127);
        assert_eq!(failure(StartStage::Exec, Errno::ENOTDIR), 127);
        for errno in [Errno::EACCES, Errno::ENOEXEC, Errno::EISDIR, Errno::ETXTBSY, Errno::E2BIG] {
            assert_eq!(failure(StartStage::Exec, errno), 126, "{errno}");
        }
        assert_eq!(failure(StartStage::Cgroup, Errno::ENOENT), 125);
        assert_eq!(failure(StartStage::Deadline, Errno::ENOENT), 125);
    }

    #[test]
    fn what_was_lost_or_makes_no_sense_is_a_failure() {
        for cause in [
            None,
            Some(Cause::Lost("the daemon was restarted".into())),
            Some(Cause::Code(256)),
            Some(Cause::Code(-1)),
            Some(Cause::Signal(200)),
            Some(Cause::Signal(-1)),
        ] {
            assert_eq!(status(cause.clone()), 125, "{cause:?}");
        }
    }

    #[test]
    fn an_answer_without_a_record_is_read_by_its_exit_code() {
        let answer = |exit_code: &str| ExecutableStatus {
            exit_code: exit_code.into(),
            meta: Some(AuraeMeta { message: "no such file".into(), ..AuraeMeta::default() }),
            ..ExecutableStatus::default()
        };
        assert_eq!(of_answer(&answer("7")).unwrap(), 7);
        assert_eq!(of_answer(&answer("137")).unwrap(), 137);
        assert_eq!(of_answer(&answer("")).unwrap_err().to_string(), "no such file");
    }

    proptest! {
        #[test]
        fn no_record_panics(code in any::<i32>(), stage in any::<i32>(), text in ".{0,20}") {
            status(Some(Cause::Code(code)));
            status(Some(Cause::Signal(code)));
            let failure = StartFailure { stage, error_number: code, message: text };
            status(Some(Cause::Failure(failure)));
        }
    }
}
