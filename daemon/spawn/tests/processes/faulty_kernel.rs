//! Kernels that kill children made with `CLONE_INTO_CGROUP` at birth: see
//! [`spawn::Unusable::KilledAtBirth`].

use crate::cgroup::Group;
use crate::program::{every_method, input, run};
use nix::errno::Errno;
use spawn::{Method, Stage, Unusable};
use std::fs;
use std::os::fd::AsFd;

/// The probe tells of the fault, its next best method works, and a start tells of it as well.
fn assert_told(group: &Group) {
    let told = every_method(Some(group.folder().as_fd()));
    println!("{told}");
    let [into_cgroup, clone3, clone] = told.trials.as_slice() else { panic!("{told}") };
    assert!(clone3.outcome.is_ok() && clone.outcome.is_ok(), "{told}");
    if into_cgroup.outcome.is_ok() {
        println!("skipped: this kernel does not have the fault");
        return;
    }
    assert!(matches!(into_cgroup.outcome, Err(Unusable::KilledAtBirth)), "{told}");
    assert_eq!(told.best(), Some(Method::Clone3));
    let attempt = |method| {
        let mut truth = input("/bin/true", &["true"]);
        truth.cgroup = Some(group.folder());
        run(method, truth)
    };
    let failure = attempt(Method::Clone3IntoCgroup).unwrap_err();
    assert_eq!((failure.stage, failure.errno), (Stage::Killed, Errno::EINTR));
    assert!(failure.pid.is_some());
    attempt(Method::Clone3).unwrap();
    attempt(Method::Clone).unwrap();
}

/// Whether there is anything to test: clone3 into a fresh cgroup works.
fn fresh() -> Option<Group> {
    let group = Group::v2()?;
    let told = every_method(Some(group.folder().as_fd()));
    if told.best() == Some(Method::Clone3IntoCgroup) {
        return Some(group);
    }
    println!("skipped: not even a fresh cgroup works: {told}");
    None
}

pub(crate) fn a_killed_cgroup_is_told() {
    let Some(group) = fresh() else { return };
    group.write("cgroup.kill", "1");
    assert_told(&group);
}

pub(crate) fn a_killed_parent_is_told() {
    let Some(group) = fresh() else { return };
    let before = Group::below(group.path()).unwrap();
    group.write("cgroup.kill", "1");
    assert_told(&before);
    let after = Group::below(group.path()).unwrap();
    let told = every_method(Some(after.folder().as_fd()));
    assert_eq!(told.best(), Some(Method::Clone3IntoCgroup), "made after the kill: {told}");
}

/// Moves back to where it was.
struct Inside {
    home: std::path::PathBuf,
}

impl Inside {
    fn new(group: &Group) -> Self {
        let ours = fs::read_to_string("/proc/self/cgroup").unwrap();
        let name = ours.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
        let home = group.path().parent().unwrap().join(name).join("cgroup.procs");
        group.write("cgroup.procs", "0");
        Self { home }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        fs::write(&self.home, "0").unwrap();
    }
}

pub(crate) fn our_own_killed_cgroup_is_told() {
    let Some(ours) = fresh() else { return };
    let target = Group::v2().unwrap();
    ours.write("cgroup.kill", "1");
    let _inside = Inside::new(&ours);
    assert_told(&target);
    let told = every_method(None);
    assert_eq!(told.best(), Some(Method::Clone3), "without a cgroup of its own: {told}");
}
