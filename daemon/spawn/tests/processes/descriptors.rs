//! Descriptors: the child has three.
#![expect(unsafe_code, reason = "descriptors are put where they are not expected")]

use crate::program::{c_string, input, methods, nothing, output};
use crate::sandbox;
use nix::unistd::{dup, dup2_stdin, dup2_stdout};
use spawn::{Method, Parentage, Plan, Spawner};
use std::io::{Read, Write, pipe};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

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
