//! Programs to run, and what they print.

use nix::sys::wait::WaitStatus;
use spawn::{Failure, Method, Parentage, Plan, PlanInput, Probe, Spawner, Trial};
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(crate) fn c_string(text: &str) -> CString {
    CString::new(text).unwrap()
}

pub(crate) fn inherited(stream: impl AsFd) -> OwnedFd {
    stream.as_fd().try_clone_to_owned().unwrap()
}

pub(crate) fn nothing() -> OwnedFd {
    File::options().read(true).write(true).open("/dev/null").unwrap().into()
}

/// A plan that changes as little as possible, and drops what is printed.
pub(crate) fn input(program: &str, argv: &[&str]) -> PlanInput {
    PlanInput {
        program: c_string(program),
        argv: argv.iter().map(|argument| c_string(argument)).collect(),
        environment: vec![c_string("PATH=/usr/bin:/bin")],
        stdin: nothing(),
        stdout: nothing(),
        stderr: nothing(),
        cgroup: None,
        legacy_cgroups: Vec::new(),
        new_session: false,
        identity: None,
        working_directory: None,
        umask: None,
        nice: None,
        open_files_limit: None,
        oom_score_adjustment: None,
        mark: None,
    }
}

pub(crate) fn shell(script: &str) -> PlanInput {
    input("/bin/sh", &["sh", "-c", script])
}

/// What becomes of each of them.
pub(crate) fn every_method(cgroup: Option<BorrowedFd<'_>>) -> Probe {
    Probe { trials: Method::ALL.into_iter().map(|method| Trial::of(method, cgroup)).collect() }
}

/// The methods that work here, outside any cgroup of their own: [`Method::Clone3IntoCgroup`] is
/// clone3 there.
pub(crate) fn methods() -> Vec<Method> {
    let usable = every_method(None);
    let works = |method: &Method| {
        let needed = match method {
            Method::Clone3IntoCgroup | Method::Clone3 => Method::Clone3,
            Method::Clone => Method::Clone,
        };
        usable.trials.iter().any(|trial| trial.method == needed && trial.outcome.is_ok())
    };
    Method::ALL.into_iter().filter(works).collect()
}

/// Runs a program to its end; what it prints to either stream comes back.
pub(crate) fn run(method: Method, mut input: PlanInput) -> Result<(WaitStatus, String), Failure> {
    let (mut reader, writer) = pipe().unwrap();
    input.stderr = writer.try_clone().unwrap().into();
    input.stdout = writer.into();
    let plan = Plan::new(input).unwrap();
    let child = Spawner::new(method).unwrap().spawn(&plan, Parentage::Child)?;
    // Our writing ends, without which the pipe would never end.
    drop(plan);
    let mut output = String::new();
    reader.read_to_string(&mut output).unwrap();
    Ok((child.pidfd.reap().unwrap(), output))
}

/// Runs a program that succeeds, and returns what it prints.
pub(crate) fn output(method: Method, input: PlanInput) -> String {
    let (status, output) = run(method, input).unwrap();
    assert!(matches!(status, WaitStatus::Exited(_, 0)), "{method}: {status:?}: {output}");
    output
}
