//! System tests: a real daemon, real programs, a real client.
//!
//! A test that this machine cannot run is reported as ignored, with the reason; where CI=true and we are
//! root, it fails instead. Each test says in one line which promise it holds the daemon to.
//! With AURAE_TIMES in the environment, the time that each took is printed.

mod adopt;
mod aer;
mod aer_stop;
mod aer_words;
mod api;
mod audit;
mod boot;
mod child;
mod command;
mod connections;
mod drpc;
mod drunc;
mod ends;
mod exec;
mod folders;
mod full_runtime;
mod hang;
mod hostile;
mod keeper;
mod logs;
mod metrics;
mod modes;
mod names;
mod orphaned;
mod output;
mod overflow;
mod pid1;
mod real;
mod reclaim;
mod reconnect;
mod refusals;
mod reload;
mod run;
mod schedule;
mod socket;
mod stop;
mod strangers;
mod survive;
mod units;
mod upgrade;

use std::{env, thread::available_parallelism};

use libtest_mimic::{Arguments, Failed, Trial};
use tests::{Need, Options, wait::wall_clock};

/// As many daemons at once as any machine can bear.
const MOST_THREADS: usize = 16;

/// A test that is run with one kind of daemon.
pub(crate) struct Case {
    name: &'static str,
    needs: &'static [Need],
    body: fn(),
}

/// A test that is run with several kinds of daemon: see [`modes`].
pub(crate) struct Core {
    name: &'static str,
    body: fn(Options),
}

/// Names the functions of a module as cases: `cases![needs; one, two]`.
macro_rules! cases {
    ($needs:expr; $($body:ident),+ $(,)?) => {
        vec![$($crate::Case {
            name: concat!(module_path!(), "::", stringify!($body)),
            needs: &$needs,
            body: $body,
        }),+]
    };
}
pub(crate) use cases;

/// Names the functions of a module as tests of the core.
macro_rules! core_cases {
    ($($body:ident),+ $(,)?) => {
        vec![$($crate::Core {
            name: concat!(module_path!(), "::", stringify!($body)),
            body: $body,
        }),+]
    };
}
pub(crate) use core_cases;

/// A trial under this name, or the news why there is none.
pub(crate) fn trial(name: &str, needs: &[Need], body: impl FnOnce() + Send + 'static) -> Trial {
    let name = name.strip_prefix("system::").unwrap_or(name).to_owned();
    let shown = name.clone();
    let run = move || {
        let begun = wall_clock();
        body();
        if env::var_os("AURAE_TIMES").is_some() {
            eprintln!("{:6} ms {shown}", (wall_clock() - begun) / 1_000_000);
        }
        Ok(())
    };
    match needs.iter().find_map(|need| need.missing()) {
        None => Trial::test(name, run),
        Some(reason) if Need::must_be_met() => {
            Trial::test(name, move || Err(Failed::from(format!("on CI nothing may be {reason}"))))
        }
        Some(reason) => Trial::test(name, run).with_kind(reason).with_ignored_flag(true),
    }
}

fn main() {
    let mut arguments = Arguments::from_args();
    tests::process::heed_interrupts();
    // Most of a test is waiting: for time-outs that are promised, for processes to begin and to end.
    let cores = available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert((4 * cores).min(MOST_THREADS));
    if !arguments.list {
        // Before the tests, so that no test's time goes into it.
        tests::binaries::folder();
    }
    let cases = [
        adopt::cases(),
        aer::cases(),
        aer_stop::cases(),
        aer_words::cases(),
        api::cases(),
        audit::cases(),
        boot::cases(),
        connections::cases(),
        drpc::cases(),
        drunc::cases(),
        folders::cases(),
        full_runtime::cases(),
        hang::cases(),
        hostile::cases(),
        keeper::cases(),
        reload::cases(),
        logs::cases(),
        metrics::cases(),
        modes::cases(),
        names::cases(),
        orphaned::cases(),
        output::cases(),
        overflow::cases(),
        pid1::cases(),
        real::cases(),
        reclaim::cases(),
        reconnect::cases(),
        refusals::cases(),
        schedule::cases(),
        socket::cases(),
        strangers::cases(),
        survive::cases(),
        units::cases(),
        upgrade::cases(),
    ];
    let mut trials: Vec<Trial> =
        cases.into_iter().flatten().map(|case| trial(case.name, case.needs, case.body)).collect();
    trials.extend(modes::trials());
    libtest_mimic::run(&arguments, trials).exit();
}
