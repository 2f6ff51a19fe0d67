//! Real processes, made in every way that works here.
//!
//! Each case has a process of its own: they count descriptors, ignore signals, close standard
//! input, move between cgroups and install seccomp filters, none of which a thread can do alone.
//! This program runs them one after another, and understands what cargo-nextest asks.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test program"
)]

mod cgroup;
mod concurrency;
mod descriptors;
mod failures;
mod faulty_kernel;
mod inheritance;
mod program;
mod sandbox;
mod sibling;
mod signals;

use nix::sys::wait::WaitStatus;
use spawn::{Method, Parentage, Plan, Spawner};
use std::process::ExitCode;

macro_rules! cases {
    ($($module:ident::$case:ident,)*) => {
        &[$((concat!(stringify!($module), "::", stringify!($case)), $module::$case),)*]
    };
}

const CASES: &[(&str, fn())] = cases![
    cgroup::children_live_in_their_cgroups,
    cgroup::a_descriptor_of_no_cgroup_is_refused,
    cgroup::a_kill_of_the_cgroup_ends_a_start_that_hangs,
    concurrency::spawners_do_not_disturb_each_other_and_leak_nothing,
    descriptors::all_but_three_are_closed,
    descriptors::all_but_three_are_closed_without_close_range,
    descriptors::standard_descriptors_may_overlap,
    descriptors::ours_are_untouched,
    descriptors::ours_are_untouched_without_close_range,
    descriptors::no_child_goes_on_with_ours,
    failures::each_step_is_named,
    failures::an_ordinary_user_is_refused_a_better_niceness,
    failures::execution_fails_for_a_reason,
    failures::a_mount_with_noexec,
    failures::a_program_that_is_being_written,
    faulty_kernel::a_killed_cgroup_is_told,
    faulty_kernel::a_killed_parent_is_told,
    faulty_kernel::our_own_killed_cgroup_is_told,
    inheritance::arguments_and_environment_are_exact,
    inheritance::settings_reach_the_child_and_not_us,
    inheritance::a_child_leaves_its_mark,
    inheritance::a_niceness_reaches_the_child_and_not_us,
    inheritance::a_child_leads_a_session_only_if_asked_to,
    inheritance::a_user_is_taken_with_groups_and_without_rights,
    inheritance::a_process_is_signalled_by_descriptor,
    inheritance::an_exit_is_told_when_somebody_has_reaped_it,
    sandbox::clone3_missing,
    sandbox::clone3_forbidden,
    sibling::our_parent_reaps,
    sibling::our_parent_reaps_failures_too,
    signals::dispositions_and_mask_are_reset,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if arguments.first().is_some_and(|first| first == sibling::ROLE) {
        sibling::play(&arguments);
        return ExitCode::SUCCESS;
    }
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let chosen = CASES.iter().filter(|(name, _)| match filter {
        Some(filter) if has("--exact") => name == filter,
        Some(filter) => name.contains(filter.as_str()),
        None => true,
    });
    if has("--list") {
        // No case is ignored, which nextest asks about separately.
        chosen.filter(|_| !has("--ignored")).for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if has("--exact") {
        chosen.for_each(|(_, case)| case());
        return ExitCode::SUCCESS;
    }
    let failed: Vec<&str> =
        chosen.map(|(name, _)| *name).filter(|name| !passes_alone(name)).collect();
    println!("\ncases that failed: {failed:?}");
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one case in a process of its own, by the way that needs least of the kernel.
fn passes_alone(name: &str) -> bool {
    let program = std::env::current_exe().unwrap();
    let mut input = program::input(program.to_str().unwrap(), &["processes", "--exact", name]);
    input.stdout = program::inherited(std::io::stdout());
    input.stderr = program::inherited(std::io::stderr());
    input.environment = std::env::vars()
        .map(|(name, value)| program::c_string(&format!("{name}={value}")))
        .collect();
    let mut spawner = Spawner::new(Method::Clone).unwrap();
    let child = spawner.spawn(&Plan::new(input).unwrap(), Parentage::Child).unwrap();
    let status = child.pidfd.reap().unwrap();
    let passed = matches!(status, WaitStatus::Exited(_, 0));
    println!("case {name}: {}", if passed { "ok".to_owned() } else { format!("{status:?}") });
    passed
}
