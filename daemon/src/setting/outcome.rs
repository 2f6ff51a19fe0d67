//! How a unit's program fared, as its commands on stop are told: systemd.exec(5), `$SERVICE_RESULT`,
//! `$EXIT_CODE` and `$EXIT_STATUS`.

use nix::sys::signal::Signal;
use units::Cause;

/// The first signal number that programs may choose a meaning for.
const FIRST_REAL_TIME: i32 = 34;

/// What the commands on stop are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// In systemd's words: `success`, `exit-code`, `signal`, `core-dump`, `timeout`, `oom-kill` and so on.
    pub(crate) result: String,
    /// How the main process ended; `None` while it lives, and where there was none.
    pub(crate) cause: Option<Cause>,
}

impl Outcome {
    /// The variables. Where a process did not end as its parent sees it, there is no code and no status.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let ended = match &self.cause {
            Some(Cause::Exited(status)) => Some(("exited", status.to_string())),
            Some(Cause::Signalled { signal, core_dumped: false }) => {
                Some(("killed", name(*signal)))
            }
            Some(Cause::Signalled { signal, core_dumped: true }) => Some(("dumped", name(*signal))),
            // Its start ended with an exit code of systemd's for the step that failed, if by any.
            Some(Cause::Failed(failure)) if (200..=255).contains(&failure.stage) => {
                Some(("exited", failure.stage.to_string()))
            }
            Some(Cause::Failed(_) | Cause::Lost(_)) | None => None,
        };
        let mut variables = vec![("SERVICE_RESULT", self.result.clone())];
        if let Some((code, status)) = ended {
            variables.push(("EXIT_CODE", code.to_owned()));
            variables.push(("EXIT_STATUS", status));
        }
        variables
    }
}

/// A signal's name without `SIG`.
fn name(signal: i32) -> String {
    if let Ok(known) = Signal::try_from(signal) {
        return known.as_str().trim_start_matches("SIG").to_owned();
    }
    match signal.checked_sub(FIRST_REAL_TIME) {
        Some(0) => "RTMIN".to_owned(),
        Some(above @ 1..) => format!("RTMIN+{above}"),
        Some(_) | None => signal.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use units::StartFailure;

    use super::*;

    fn told(cause: Option<Cause>) -> String {
        let outcome = Outcome { result: "x".to_owned(), cause };
        let variables =
            outcome.variables().into_iter().map(|(name, value)| format!("{name}={value}"));
        variables.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ends_are_told_in_systemds_words() {
        let killed = |signal, core_dumped| Some(Cause::Signalled { signal, core_dumped });
        let failed =
            |stage| Some(Cause::Failed(StartFailure { stage, errno: 2, message: String::new() }));
        for (cause, words) in [
            (None, "SERVICE_RESULT=x"),
            (Some(Cause::Lost(String::new())), "SERVICE_RESULT=x"),
            (Some(Cause::Exited(3)), "SERVICE_RESULT=x EXIT_CODE=exited EXIT_STATUS=3"),
            (killed(15, false), "SERVICE_RESULT=x EXIT_CODE=killed EXIT_STATUS=TERM"),
            (killed(6, true), "SERVICE_RESULT=x EXIT_CODE=dumped EXIT_STATUS=ABRT"),
            (killed(36, false), "SERVICE_RESULT=x EXIT_CODE=killed EXIT_STATUS=RTMIN+2"),
            (killed(32, false), "SERVICE_RESULT=x EXIT_CODE=killed EXIT_STATUS=32"),
            (failed(203), "SERVICE_RESULT=x EXIT_CODE=exited EXIT_STATUS=203"),
            (failed(301), "SERVICE_RESULT=x"),
        ] {
            assert_eq!(told(cause), words);
        }
    }
}
