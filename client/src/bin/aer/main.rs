//! `aer`: the command line of a node. One file per verb; everything that is printed is in `render`.

mod arguments;
mod completions;
mod config;
mod daemon;
mod definition;
mod destroy;
mod disable;
mod drpc;
mod each;
mod edit;
mod enable;
mod exec;
mod exit_status;
mod failure;
mod file;
mod forget;
mod inspect;
mod list;
mod logs;
mod power;
mod reload;
mod render;
mod restart;
mod schedule;
mod show;
mod signal;
mod signals;
mod start;
mod status;
mod stop;
mod usage;
mod wait;
mod watch;

use std::{env, ffi::OsString, process::ExitCode, time::Duration};

use client::Client;
use tokio::runtime;

use crate::{
    arguments::{Arguments, Verb},
    config::Environment,
    failure::Failure,
};

fn main() -> ExitCode {
    let words: Vec<OsString> = env::args_os().collect();
    let arguments = match Arguments::read(words.clone()) {
        Ok(arguments) => arguments,
        Err(told) if told.use_stderr() => {
            return render::mistake(&usage::sentence(&told, &words), told.exit_code());
        }
        Err(told) => return render::help(&told),
    };
    let otherwise = arguments.verb.failure_status();
    let status = start(arguments).unwrap_or_else(|failure| {
        render::failure(&failure);
        failure.status(otherwise)
    });
    ExitCode::from(status)
}

fn start(arguments: Arguments) -> Result<u8, Failure> {
    let runtime =
        runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let ended = runtime.block_on(perform(arguments));
    // A write to a terminal or pipe that takes nothing must not hold up the end.
    runtime.shutdown_background();
    ended
}

async fn perform(arguments: Arguments) -> Result<u8, Failure> {
    if let Verb::Completions(wanted) = &arguments.verb {
        return completions::run(wanted);
    }
    if let Some(path) = arguments.drpc.clone() {
        return drpc::run(&path, arguments).await;
    }
    let endpoint = config::endpoint(&arguments, &Environment::read())?;
    let patience = Duration::from_millis(arguments.reconnect);
    let mut client = Client::connect(endpoint).await?.reconnecting_for(patience);
    if let Some(reason) = &arguments.reason {
        client = client.with_reason(reason)?;
    }
    let (form, output) = (arguments.form, arguments.form.format());
    match arguments.verb {
        Verb::Exec(wanted) => exec::run(&client, *wanted, output).await,
        Verb::Status => status::run(&client, output).await,
        Verb::Logs(wanted) => logs::run(&client, *wanted, form).await,
        Verb::Start(wanted) => start::run(&client, *wanted, output).await,
        Verb::Stop(wanted) => stop::run(&client, wanted, output).await,
        Verb::Restart(wanted) => restart::run(&client, wanted, output).await,
        Verb::Reload(wanted) => reload::run(&client, wanted, output).await,
        Verb::Signal(wanted) => signal::run(&client, wanted, output).await,
        Verb::Wait(wanted) => wait::run(&client, wanted, output).await,
        Verb::List(wanted) => list::run(&client, wanted, output).await,
        Verb::Inspect(wanted) => inspect::run(&client, wanted, output).await,
        Verb::Forget(wanted) => forget::run(&client, wanted, output).await,
        Verb::Watch(wanted) => watch::run(&client, wanted, output).await,
        Verb::Enable(wanted) => enable::run(&client, *wanted, output).await,
        Verb::Disable(wanted) => disable::run(&client, wanted, output).await,
        Verb::Destroy(wanted) => destroy::run(&client, wanted, output).await,
        Verb::Show(wanted) => show::run(&client, wanted, output).await,
        Verb::Edit(wanted) => edit::run(&client, wanted, output).await,
        Verb::Schedule { verb } => schedule::run(&client, verb, output).await,
        Verb::Daemon { verb } => daemon::run(&client, verb, output).await,
        Verb::Power { verb } => power::run(&client, verb, output).await,
        Verb::Completions(wanted) => completions::run(&wanted),
    }
}
