//! What is to be executed: a command that somebody gave, or one of a unit; with its words and what its process finds
//! around it.

use std::{fs::File, path::Path, sync::Arc};

use nix::errno::Errno;
use spawn::Stage;
use units::{
    CommandSpec, Execution, Name, Readiness, ResourceLimits, Role, RunId, StartFailure, Told,
    UnitSpec,
};

use super::failure::{failure, unset};
use crate::{
    environment::Environment,
    setting::{self, Account, Circumstances, Inputs, Variables},
};

/// What to execute.
pub(crate) enum Work {
    /// This, as it stands.
    Execution(Box<Execution>),
    /// A command of a unit.
    Command(Box<UnitCommand>),
}

/// A command of a unit.
pub(crate) struct UnitCommand {
    /// The run.
    pub(crate) run: RunId,
    /// The unit.
    pub(crate) spec: Arc<UnitSpec>,
    /// Which of its commands.
    pub(crate) role: Role,
    /// What it is told of its program.
    pub(crate) told: Told,
}

impl Work {
    /// The run.
    pub(crate) fn run(&self) -> RunId {
        match self {
            Self::Execution(execution) => execution.run,
            Self::Command(command) => command.run,
        }
    }

    /// The name it runs under, and whether that was made up.
    pub(crate) fn name(&self) -> (&Name, bool) {
        match self {
            Self::Execution(execution) => (&execution.name, execution.anonymous),
            Self::Command(command) => (&command.spec.name, false),
        }
    }

    /// What its process finds around it.
    fn setting(&self) -> &units::Setting {
        match self {
            Self::Execution(execution) => &execution.setting,
            Self::Command(command) => &command.spec.setting,
        }
    }

    /// What it may use at most.
    pub(crate) fn limits(&self) -> &ResourceLimits {
        &self.setting().limits
    }

    /// What its process is told. `notify_socket` is where programs say that they are ready.
    fn circumstances<'a>(&'a self, notify_socket: &'a Path) -> Circumstances<'a> {
        match self {
            Self::Execution(execution) => Circumstances::of(execution.run, &execution.comment),
            Self::Command(command) => {
                let UnitCommand { run, spec, role, told } = &**command;
                let awaited = *role == Role::Main && spec.readiness == Readiness::Notify;
                Circumstances {
                    told: *told,
                    notify_socket: awaited.then_some(notify_socket),
                    ..Circumstances::of(*run, &spec.comment)
                }
            }
        }
    }

    /// Its words, and what its process finds around it. Reads files.
    pub(super) fn equipped(
        self,
        environment: &Environment,
        notify_socket: &Path,
        null: &File,
    ) -> Result<(Execution, Inputs), StartFailure> {
        let circumstances = self.circumstances(notify_socket);
        let user = self.setting().user.as_deref();
        let account = user.map(Account::of).transpose().map_err(unset)?.flatten();
        let environment = account.as_ref().map_or(environment, Account::environment);
        let variables =
            setting::variables(self.setting(), environment, &circumstances).map_err(unset)?;
        let with = (account.as_ref(), null);
        let inputs = setting::inputs(self.setting(), &variables, with).map_err(unset)?;
        let execution = match self {
            Self::Execution(execution) => *execution,
            Self::Command(command) => {
                execution_of(command.run, &command.spec, command.role, &variables)?
            }
        };
        Ok((execution, inputs))
    }
}

/// A unit's command, with its variables replaced.
fn execution_of(
    run: RunId,
    spec: &UnitSpec,
    role: Role,
    variables: &Variables,
) -> Result<Execution, StartFailure> {
    let refused = |why: String| failure(Stage::Exec, Errno::EINVAL, &why);
    let (program, argv) = match spec.command(role) {
        None => return Err(refused(format!("{} has no such command", spec.name))),
        Some(CommandSpec::Argv(argv)) => {
            (argv.words().first().cloned().unwrap_or_default(), argv.clone())
        }
        Some(CommandSpec::Line(line)) => {
            let expanded = variables.expand(line).map_err(|why| {
                refused(format!("cannot start it: with its variables replaced, {why}"))
            })?;
            (expanded.program, expanded.argv)
        }
    };
    let (name, comment) = (spec.name.clone(), spec.comment.clone());
    let setting = Arc::clone(&spec.setting);
    Ok(Execution { run, name, anonymous: false, program, argv, comment, setting })
}
