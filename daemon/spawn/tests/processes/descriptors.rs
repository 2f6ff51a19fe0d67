//! Descriptors: the child has three.
#![expect(unsafe_code, reason = "descriptors are put where they are not expected")]

use crate::program::{c_string, input, methods, nothing, output};
use crate::sandbox;
use nix::errno::Errno;
use nix::unistd::{dup, dup2_stdin, dup2_stdout};
use spawn::{Method, Parentage, Plan, Spawner, Stage};
use std::fs;
use std::io::{Read, Write, pipe};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::path::PathBuf;

/// ls itself opens the folder, as the lowest number that is free.
fn assert_only_three(method: Method) {
    let mut list = input("/bin/ls", &["ls", "-l", "/proc/self/fd"]);
    list.environment.push(c_string("LC_ALL=C"));
    let text = output(method, list);
    let entries: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.split_once(" -> "))
        .map(|(left, target)| (left.rsplit(' ').next().unwrap(), target))
        .collect();
    let numbers: Vec<&str> = entries.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, ["0", "1", "2", "3"], "{method}: {text}");
    assert!(entries.iter().any(|(number, to)| *number == "3" && to.ends_with("/fd")), "{text}");
}

/// Descriptors that execve would not close.
fn careless() -> Vec<OwnedFd> {
    let (reader, writer) = pipe().unwrap();
    (0..50).flat_map(|_| [dup(&reader).unwrap(), dup(&writer).unwrap()]).collect()
}

pub(crate) fn all_but_three_are_closed() {
    let _careless = careless();
    methods().into_iter().for_each(assert_only_three);
}

/// What is open in this process, and what it is.
fn ours() -> Vec<(i32, PathBuf)> {
    let open = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    // The folder itself is open meanwhile, and is gone when it is looked at.
    let mut ours: Vec<_> = open
        .filter_map(|path| {
            let number = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            Some((number, fs::read_link(&path).ok()?))
        })
        .filter(|(_, target)| !target.ends_with("fd"))
        .collect();
    ours.sort();
    ours
}

/// The child has our descriptors at first: whatever becomes of it, ours are as they were, and no pipe is kept open.
fn assert_ours_are_untouched(method: Method) {
    let mut spawner = Spawner::new(method).unwrap();
    let before = ours();
    for program in ["/bin/true", "/nonexistent"] {
        let (mut reader, writer) = pipe().unwrap();
        let mut plan = input(program, &["program"]);
        plan.stdout = writer.into();
        plan.working_directory = Some(c_string("/"));
        let plan = Plan::new(plan).unwrap();
        let made = spawner.spawn(&plan, Parentage::Child);
        drop(plan);
        assert_eq!(made.is_ok(), program == "/bin/true");
        // It ends, although the spawner lives on.
        reader.read_to_end(&mut Vec::new()).unwrap();
        if let Ok(child) = made {
            child.pidfd.reap().unwrap();
        }
    }
    assert_eq!(ours(), before, "{method}");
}

pub(crate) fn ours_are_untouched() {
    let _careless = careless();
    methods().into_iter().for_each(assert_ours_are_untouched);
}

pub(crate) fn ours_are_untouched_without_close_range() {
    sandbox::deny(libc::SYS_close_range, libc::EPERM);
    let _careless = careless();
    methods().into_iter().for_each(assert_ours_are_untouched);
}

/// A child that can have no descriptors of its own must not go on with ours.
pub(crate) fn no_child_goes_on_with_ours() {
    sandbox::deny(libc::SYS_close_range, libc::EPERM);
    sandbox::deny(libc::SYS_unshare, libc::EPERM);
    let before = ours();
    for method in methods() {
        let plan = Plan::new(input("/bin/true", &["true"])).unwrap();
        let failure = Spawner::new(method).unwrap().spawn(&plan, Parentage::Child).unwrap_err();
        assert_eq!((failure.stage, failure.errno), (Stage::Descriptors, Errno::EPERM), "{method}");
    }
    assert_eq!(ours(), before);
}

pub(crate) fn all_but_three_are_closed_without_close_range() {
    sandbox::deny(libc::SYS_close_range, libc::ENOSYS);
    let _careless = careless();
    methods().into_iter().for_each(assert_only_three);
}

/// Standard output lies where the child's standard input goes, and the other way round.
pub(crate) fn standard_descriptors_may_overlap() {
    for method in methods() {
        let (mut reader, writer) = pipe().unwrap();
        let (source, mut feed) = pipe().unwrap();
        feed.write_all(b"across").unwrap();
        drop(feed);
        dup2_stdin(&writer).unwrap();
        dup2_stdout(&source).unwrap();
        drop((writer, source));
        let mut cat = input("/bin/cat", &["cat"]);
        // SAFETY: nothing else in this process uses standard input or output meanwhile.
        (cat.stdin, cat.stdout) = unsafe { (OwnedFd::from_raw_fd(1), OwnedFd::from_raw_fd(0)) };
        let plan = Plan::new(cat).unwrap();
        let child = Spawner::new(method).unwrap().spawn(&plan, Parentage::Child).unwrap();
        drop(plan);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "across", "{method}");
        child.pidfd.reap().unwrap();
        // 0 and 1 are free now: whatever is opened next lies there, such as /dev/null of `input`.
        assert_eq!(output(method, input("/bin/echo", &["echo", "low"])), "low\n");
        let restored = [nothing().into_raw_fd(), nothing().into_raw_fd()];
        assert_eq!(restored, [0, 1]);
    }
}
