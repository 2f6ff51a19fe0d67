//! Bringing units up, also where the connection breaks on the way.
//!
//! An order that may have been carried out is not given again blindly: what the unit shows afterwards says whether it
//! has begun. Where that cannot be told, a service is started once more at worst, and a restart made once more.

use std::time::SystemTime;

use api::runtime::{
    Executable, RestartRequest, RestartResponse, StartRequest, StartResponse, UnitResult,
    UnitState, UnitView, restart_request, start_request,
};
use tonic::Code;

use crate::{Client, ClientError, Refusal, client::named, reconnect::Breaks};

/// An order to bring a unit up.
struct Order {
    attempt: String,
    /// The unit's name; empty where the daemon is to make one up.
    name: String,
    what: start_request::What,
}

/// What has become of an order whose answer was lost.
enum Outcome {
    /// Nothing: it is to be given again.
    Untouched,
    /// It has begun: its end is to be waited for.
    Begun,
    /// It is over.
    Over(Result<StartResponse, ClientError>),
}

impl Client {
    /// Starts a unit by its name, and returns when it is up.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn start(&self, name: &str) -> Result<StartResponse, ClientError> {
        let attempt = format!("starting {}", named(name));
        let what = start_request::What::Name(name.to_owned());
        self.bring_up(Order { attempt, name: name.to_owned(), what }, false).await
    }

    /// Starts this, whether it is registered or not, and returns when it is up. Where it has no name of its own, it is
    /// not tried again when the connection breaks.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn start_this(&self, executable: Executable) -> Result<StartResponse, ClientError> {
        let attempt = format!("starting {}", called(&executable));
        let name = name_of(&executable);
        let what = start_request::What::Executable(executable);
        self.bring_up(Order { attempt, name, what }, false).await
    }

    /// Stops a unit if it is up, starts it, and returns when it is up again.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn restart(&self, name: &str) -> Result<RestartResponse, ClientError> {
        let attempt = format!("restarting {}", named(name));
        let what = start_request::What::Name(name.to_owned());
        let up = self.bring_up(Order { attempt, name: name.to_owned(), what }, true).await?;
        Ok(restarted(up))
    }

    /// Stops a unit if it is up, starts this in its place, and returns when that is up.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub async fn restart_as(&self, executable: Executable) -> Result<RestartResponse, ClientError> {
        let attempt = format!("restarting {}", called(&executable));
        let name = name_of(&executable);
        let what = start_request::What::Executable(executable);
        Ok(restarted(self.bring_up(Order { attempt, name, what }, true).await?))
    }

    /// `anew` where what is up is to be stopped first.
    async fn bring_up(&self, order: Order, mut anew: bool) -> Result<StartResponse, ClientError> {
        let begun = now();
        let mut breaks = Breaks::none();
        loop {
            breaks.asked();
            let answer = if anew {
                self.order_restart(&order).await
            } else {
                self.order_start(&order).await
            };
            match answer {
                Err(failure) if !order.name.is_empty() && breaks.may_go_on() => {
                    self.reunite(failure).await?;
                }
                answer @ (Ok(_) | Err(_)) => return answer,
            }
            match self.outcome(&order, begun).await? {
                Outcome::Untouched => {}
                Outcome::Begun => anew = false,
                Outcome::Over(answer) => return answer,
            }
        }
    }

    async fn order_start(&self, order: &Order) -> Result<StartResponse, ClientError> {
        let what = Some(order.what.clone());
        let answer = self.runtime().start(self.request(StartRequest { what })).await;
        self.answer(&order.attempt, answer)
    }

    async fn order_restart(&self, order: &Order) -> Result<StartResponse, ClientError> {
        let what = Some(match order.what.clone() {
            start_request::What::Name(name) => restart_request::What::Name(name),
            start_request::What::Executable(it) => restart_request::What::Executable(it),
        });
        let answer = self.runtime().restart(self.request(RestartRequest { what })).await;
        let RestartResponse { meta, run_id, pid } = self.answer(&order.attempt, answer)?;
        Ok(StartResponse { meta, run_id, pid, was_up: false })
    }

    async fn outcome(&self, order: &Order, begun: i64) -> Result<Outcome, ClientError> {
        match self.persist(async || self.inspect(&order.name).await).await {
            Ok(answer) => Ok(outcome(order, begun, answer.unit.unwrap_or_default())),
            Err(unknown) if unknown.code() == Some(Code::NotFound) => Ok(Outcome::Untouched),
            Err(failure) => Err(failure),
        }
    }
}

/// What the unit shows of an order that was given at that moment.
fn outcome(order: &Order, begun: i64, unit: UnitView) -> Outcome {
    let refused = |code, message| {
        let refusal = Refusal { code, message };
        Outcome::Over(Err(ClientError::Refused { attempt: order.attempt.clone(), refusal }))
    };
    // A run of it has ended since: the one that was to make way, or the one that was to be.
    let ended = unit.last_exit.as_ref().filter(|exit| exit.ended_at >= begun);
    match (unit.state(), ended) {
        (UnitState::Stopping, _) if !unit.wanted_up => {
            let message = "the connection broke, and it has been ordered to stop since".to_owned();
            refused(Code::Aborted, message)
        }
        (UnitState::Inactive | UnitState::Failed, Some(exit)) => {
            if unit.result() == UnitResult::Success {
                let run_id = exit.run_id.clone();
                return Outcome::Over(Ok(StartResponse {
                    meta: unit.meta,
                    run_id,
                    ..StartResponse::default()
                }));
            }
            refused(Code::FailedPrecondition, unit.failure)
        }
        (UnitState::Stopping | UnitState::Waiting, _) | (_, Some(_)) => Outcome::Begun,
        (
            UnitState::Unknown
            | UnitState::Inactive
            | UnitState::Before
            | UnitState::Starting
            | UnitState::After
            | UnitState::Running
            | UnitState::Reloading
            | UnitState::Exited
            | UnitState::Failed,
            None,
        ) => Outcome::Untouched,
    }
}

fn restarted(up: StartResponse) -> RestartResponse {
    let StartResponse { meta, run_id, pid, was_up: _ } = up;
    RestartResponse { meta, run_id, pid }
}

/// The moment, as exit records have it: the daemon is on this machine, as a rule.
#[expect(clippy::disallowed_methods, reason = "compared with the times of the daemon's records")]
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn name_of(executable: &Executable) -> String {
    executable.meta.as_ref().map(|meta| meta.name.clone()).unwrap_or_default()
}

/// The name of what is started or, where the daemon is to make one up, its program.
fn called(executable: &Executable) -> &str {
    let name = executable.meta.as_ref().map(|meta| meta.name.as_str());
    let first = executable.argv.first().map(String::as_str);
    let program = first.or_else(|| executable.command.split_whitespace().next());
    name.filter(|name| !name.is_empty()).or(program).unwrap_or("a command")
}

#[cfg(test)]
mod tests {
    use api::{meta::AuraeMeta, runtime::ExitRecord};

    use super::*;

    #[test]
    fn what_is_started_is_called_by_its_name_or_its_program() {
        let defined = |name: &str, command: &str, argv: &[&str]| Executable {
            meta: Some(AuraeMeta { name: name.into(), ..AuraeMeta::default() }),
            command: command.into(),
            argv: argv.iter().map(ToString::to_string).collect(),
            ..Executable::default()
        };
        assert_eq!(called(&defined("web", "nginx -g x", &[])), "web");
        assert_eq!(called(&defined("", "nginx -g x", &[])), "nginx");
        assert_eq!(called(&defined("", "", &["nginx", "-g"])), "nginx");
        assert_eq!(called(&Executable::default()), "a command");
    }

    fn order() -> Order {
        let what = start_request::What::Name("web".into());
        Order { attempt: "starting web".into(), name: "web".into(), what }
    }

    fn unit(state: UnitState, ended_at: Option<i64>) -> UnitView {
        let last_exit = ended_at.map(|ended_at| ExitRecord {
            ended_at,
            run_id: "r".into(),
            ..ExitRecord::default()
        });
        let result = UnitResult::Success.into();
        UnitView { state: state.into(), wanted_up: true, last_exit, result, ..UnitView::default() }
    }

    #[test]
    fn what_has_begun_is_joined_and_what_has_not_is_ordered_again() {
        use UnitState::{Exited, Failed, Inactive, Running, Starting, Stopping, Waiting};
        for state in [Inactive, Failed, Starting, Running, Exited] {
            for before in [None, Some(9)] {
                let outcome = outcome(&order(), 10, unit(state, before));
                assert!(matches!(outcome, Outcome::Untouched), "{state:?}");
            }
        }
        for (state, ended_at) in
            [(Running, Some(10)), (Starting, Some(11)), (Stopping, None), (Waiting, Some(11))]
        {
            let outcome = outcome(&order(), 10, unit(state, ended_at));
            assert!(matches!(outcome, Outcome::Begun), "{state:?}");
        }
    }

    #[test]
    fn what_is_over_is_not_begun_again() {
        let done = outcome(&order(), 10, unit(UnitState::Inactive, Some(10)));
        let Outcome::Over(Ok(up)) = done else { panic!("a oneshot that has succeeded") };
        assert_eq!(up.run_id, "r");
        let view = unit(UnitState::Failed, Some(10));
        let view = UnitView { result: UnitResult::ExitCode.into(), failure: "why".into(), ..view };
        let Outcome::Over(Err(error)) = outcome(&order(), 10, view) else { panic!("it failed") };
        assert_eq!(error.code(), Some(Code::FailedPrecondition));
        let view = UnitView { wanted_up: false, ..unit(UnitState::Stopping, None) };
        let Outcome::Over(Err(error)) = outcome(&order(), 10, view) else { panic!("stopped") };
        assert_eq!(error.code(), Some(Code::Aborted));
    }
}
