//! What children get, and what they do not change.

use crate::program::{c_string, input, methods, output, run, shell};
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::sys::wait::WaitStatus;
use nix::unistd::geteuid;
use spawn::{
    Delivery, Identity, OpenFilesLimit, Parentage, PidFd, Plan, PlanInput, Spawner, Stage,
};
use std::fs::{self, File};
use std::io::{Read, Seek, Write};

pub(crate) fn arguments_and_environment_are_exact() {
    for method in methods() {
        assert_eq!(output(method, input("/bin/true", &["true"])), "");
        assert_eq!(output(method, shell("echo out; echo err >&2")), "out\nerr\n");
        let cat = input("/bin/cat", &["another name", "/proc/self/cmdline"]);
        assert_eq!(output(method, cat), "another name\0/proc/self/cmdline\0");
        let script = "printf '%s|' \"$@\"";
        let words = input("/bin/sh", &["sh", "-c", script, "zero", "", "*", "a b", "ü\n"]);
        assert_eq!(output(method, words), "|*|a b|ü\n|");
        let mut environment = input("/usr/bin/env", &["env"]);
        environment.environment = ["ONE=1", "EMPTY=", "ODD=a=b\tc"].map(c_string).into();
        assert_eq!(output(method, environment), "ONE=1\nEMPTY=\nODD=a=b\tc\n");
        let mut bare = input("/usr/bin/env", &["env"]);
        bare.environment.clear();
        assert_eq!(output(method, bare), "");
    }
}

pub(crate) fn settings_reach_the_child_and_not_us() {
    let state = || {
        (
            fs::read_to_string("/proc/self/oom_score_adj").unwrap(),
            fs::read_link("/proc/self/cwd").unwrap(),
            getrlimit(Resource::RLIMIT_NOFILE).unwrap(),
            fs::read_to_string("/proc/self/status")
                .unwrap()
                .lines()
                .find(|line| line.starts_with("Umask"))
                .map(str::to_owned),
        )
    };
    let before = state();
    for method in methods() {
        let mut settings =
            shell("umask; pwd -P; ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj");
        settings.umask = Some(Mode::from_bits_truncate(0o027));
        settings.working_directory = Some(c_string("/proc/sys"));
        settings.open_files_limit = Some(OpenFilesLimit { soft: 77, hard: 99 });
        settings.oom_score_adjustment = Some(321);
        assert_eq!(output(method, settings), "0027\n/proc/sys\n77\n99\n321\n");
    }
    assert_eq!(before, state());
}

pub(crate) fn a_child_leaves_its_mark() {
    for method in methods() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"begun: ").unwrap();
        let mark = |file: &File| Some((file.try_clone().unwrap().into(), &b"yes"[..]));
        let pid = output(method, PlanInput { mark: mark(&file), ..shell("printf %s $$") });
        let missing = PlanInput { mark: mark(&file), ..input("/nonexistent/x", &["x"]) };
        let missing = run(method, missing).unwrap_err();
        assert_eq!(missing.stage, Stage::Exec);
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        let [first, second] = [b"begun: yes".len(), b"begun: yesPID.yes".len()]
            .map(|at| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()));
        assert_eq!(bytes.len(), b"begun: yesPID.yesPID.".len(), "{method}");
        assert_eq!(first.to_string(), pid, "{method}");
        // Also where the program cannot be executed: the process was there.
        assert_eq!(Some(second), missing.pid.map(|pid| pid.as_raw().unsigned_abs()), "{method}");
    }
}

pub(crate) fn a_niceness_reaches_the_child_and_not_us() {
    let program = || input("/usr/bin/nice", &["nice"]);
    for method in methods() {
        let ours = output(method, program());
        // Anybody may be nicer; 19 is as nice as can be, whatever we are.
        let wanted = PlanInput { nice: Some(19), ..program() };
        assert_eq!(output(method, wanted), "19\n", "{method}");
        if geteuid().is_root() {
            let wanted = PlanInput { nice: Some(-5), ..program() };
            assert_eq!(output(method, wanted), "-5\n", "{method}");
        }
        assert_eq!(output(method, program()), ours, "{method}: without one, ours");
    }
}

pub(crate) fn a_user_is_taken_with_groups_and_without_rights() {
    if !geteuid().is_root() {
        // Nobody else can become anybody.
        let identity = Some(Identity { user: 0, group: 0, groups: Vec::new() });
        let failure = run(methods()[0], PlanInput { identity, ..shell("true") }).unwrap_err();
        assert_eq!(failure.stage, Stage::Group);
        return;
    }
    for method in methods() {
        let identity = Some(Identity { user: 65533, group: 65532, groups: vec![65531, 65530] });
        let script =
            "grep -E '^(Uid|Gid|Groups|CapEff|CapPrm):' /proc/self/status | tr -s '\t ' ' '";
        let wanted =
            PlanInput { identity, working_directory: Some(c"/".to_owned()), ..shell(script) };
        let mut said: Vec<String> =
            output(method, wanted).lines().map(|line| line.trim().to_owned()).collect();
        said.sort_unstable();
        let none = "0000000000000000";
        assert_eq!(
            said,
            [
                format!("CapEff: {none}"),
                format!("CapPrm: {none}"),
                "Gid: 65532 65532 65532 65532".to_owned(),
                "Groups: 65530 65531".to_owned(),
                "Uid: 65533 65533 65533 65533".to_owned(),
            ],
            "{method}"
        );
        assert_eq!(output(method, shell("id -u")), "0\n", "we are who we were");
    }
}

pub(crate) fn a_child_leads_a_session_only_if_asked_to() {
    for method in methods() {
        for new_session in [true, false] {
            let mut stat = input("/bin/cat", &["cat", "/proc/self/stat"]);
            stat.new_session = new_session;
            // proc_pid_stat(5): pid, (comm), state, ppid, pgrp, session.
            let text = output(method, stat);
            let fields: Vec<&str> = text.split(' ').collect();
            let [pid, _, _, parent, group, session, ..] = fields.as_slice() else {
                panic!("{text}");
            };
            assert_eq!(*parent, std::process::id().to_string());
            assert_eq!((pid == group, pid == session), (new_session, new_session), "{method}");
        }
    }
}

pub(crate) fn a_process_is_signalled_by_descriptor() {
    for method in methods() {
        let plan = Plan::new(input("/bin/sleep", &["sleep", "1000"])).unwrap();
        let child = Spawner::new(method).unwrap().spawn(&plan, Parentage::Child).unwrap();
        let second = PidFd::open(child.pid).unwrap();
        assert_eq!(second.signal(0), Ok(Delivery::Sent));
        assert_eq!(second.signal(libc::SIGTERM), Ok(Delivery::Sent));
        let status = child.pidfd.reap().unwrap();
        assert_eq!(status, WaitStatus::Signaled(child.pid, Signal::SIGTERM, false));
        assert_eq!(second.signal(libc::SIGTERM), Ok(Delivery::Gone));
    }
}

/// Whether it exited or was killed, and not before it is reaped. Kernels before Linux 6.15 say that they cannot tell.
pub(crate) fn an_exit_is_told_when_somebody_has_reaped_it() {
    for (script, wanted) in [("exit 42", 42 << 8), ("kill -KILL $$", 9)] {
        let plan = Plan::new(input("/bin/sh", &["sh", "-c", script])).unwrap();
        let method = methods().into_iter().next().unwrap();
        let child = Spawner::new(method).unwrap().spawn(&plan, Parentage::Child).unwrap();
        let before = child.pidfd.exit_when_reaped();
        child.pidfd.reap().unwrap();
        match (before, child.pidfd.exit_when_reaped()) {
            (Ok(before), after) => assert_eq!((before, after), (None, Ok(Some(wanted)))),
            (Err(why), _) => assert!(matches!(why, Errno::ENOTTY | Errno::EINVAL), "{why}"),
        }
    }
}
