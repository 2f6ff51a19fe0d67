//! Failures: the step and the reason are right, and there are words for them.

use crate::program::{c_string, input, methods, run};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Uid, geteuid, setresuid};
use spawn::{OpenFilesLimit, PlanInput, Stage, explain_exec};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use tempfile::TempDir;

fn truth() -> PlanInput {
    input("/bin/true", &["true"])
}

pub(crate) fn each_step_is_named() {
    for method in methods() {
        let fails = |stage: Stage, errno: Errno, input: PlanInput| {
            let failure = run(method, input).unwrap_err();
            assert_eq!((failure.stage, failure.errno), (stage, errno), "{method}");
            assert!(failure.pid.is_some(), "{method}");
        };
        let directory = Some(c_string("/nonexistent"));
        fails(Stage::Chdir, Errno::ENOENT, PlanInput { working_directory: directory, ..truth() });
        // More than fs.nr_open is refused even with CAP_SYS_RESOURCE.
        let limit = Some(OpenFilesLimit { soft: 1, hard: u64::MAX });
        fails(Stage::Limits, Errno::EPERM, PlanInput { open_files_limit: limit, ..truth() });
        let adjustment = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
        if adjustment.trim() == "0" && !has_resource_capability() {
            let input = PlanInput { oom_score_adjustment: Some(-1000), ..truth() };
            fails(Stage::OomAdjust, Errno::EACCES, input);
        }
    }
}

/// An ordinary user may not be less nice than it is. (Root becomes one, nobody else can.)
pub(crate) fn an_ordinary_user_is_refused_a_better_niceness() {
    const NOBODY: Uid = Uid::from_raw(65534);
    if geteuid().is_root() {
        setresuid(NOBODY, NOBODY, NOBODY).unwrap();
    }
    for method in methods() {
        let input = PlanInput { nice: Some(-20), ..truth() };
        let failure = run(method, input).unwrap_err();
        assert_eq!((failure.stage, failure.errno), (Stage::Nice, Errno::EACCES), "{method}");
        assert_eq!(failure.stage.code(), Some(201));
        assert!(failure.pid.is_some(), "{method}");
        // What it may, it may after a failure too.
        run(method, PlanInput { nice: Some(19), ..truth() }).unwrap();
    }
}

/// capabilities(7): CAP_SYS_RESOURCE is bit 24.
fn has_resource_capability() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    u64::from_str_radix(set, 16).unwrap() & (1 << 24) != 0
}

pub(crate) fn execution_fails_for_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8], mode| write_program(&folder, name, text, mode);
    symlink("round", folder.path().join("round")).unwrap();
    symlink("nowhere", folder.path().join("dangling")).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let foreign = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x15\0";
    let mut strange_loader = fs::read("/bin/true").unwrap();
    let loader = b"/lib64/ld-linux-x86-64.so.2";
    let place = strange_loader.windows(loader.len()).position(|each| each == loader);
    if let Some(place) = place {
        strange_loader[place + 1..place + 4].copy_from_slice(b"xyz");
    }
    let mut programs = vec![
        ("/nonexistent/x".to_owned(), Errno::ENOENT, "/nonexistent/x does not exist"),
        (path("dangling"), Errno::ENOENT, "is a symbolic link to a file that does not exist"),
        (path("round"), Errno::ELOOP, "too many symbolic links"),
        (file("plain", b"x", 0o755) + "/x", Errno::ENOTDIR, "a part of its path is not a folder"),
        ("/tmp".to_owned(), Errno::EACCES, "/tmp is a folder"),
        ("/dev/null".to_owned(), Errno::EACCES, "/dev/null is not a regular file"),
        (file("mode", b"#!/bin/sh\n", 0o640), Errno::EACCES, "not executable (its mode is 0640)"),
        (
            file("gone", b"#!/no/sh -e\n", 0o755),
            Errno::ENOENT,
            "its interpreter, /no/sh, is missing",
        ),
        (file("dos", b"#!/bin/sh\r\n", 0o755), Errno::ENOENT, "carriage return"),
        (file("over", b"#!/tmp\n", 0o755), Errno::EACCES, "/tmp, is a folder"),
        (file("empty", b"", 0o755), Errno::ENOEXEC, "is empty"),
        (file("text", b"echo hello\n", 0o755), Errno::ENOEXEC, "must name an interpreter"),
        (file("foreign", foreign, 0o755), Errno::ENOEXEC, "for another architecture"),
    ];
    if place.is_some() {
        let words = "/xyz64/ld-linux-x86-64.so.2, is missing";
        programs.push((file("loader", &strange_loader, 0o755), Errno::ENOENT, words));
    }
    for method in methods() {
        for (program, errno, words) in &programs {
            let failure = run(method, input(program, &["x"])).unwrap_err();
            assert_eq!((failure.stage, failure.errno), (Stage::Exec, *errno), "{program}");
            let why = explain_exec(Path::new(program), failure.errno);
            assert!(why.contains(words), "{why}");
        }
        let long = "x".repeat(200 * 1024);
        let failure = run(method, input("/bin/true", &["true", &long])).unwrap_err();
        assert_eq!((failure.stage, failure.errno), (Stage::Exec, Errno::E2BIG));
        assert!(explain_exec(Path::new("/bin/true"), failure.errno).contains("too long"));
    }
}

pub(crate) fn a_program_that_is_being_written() {
    let folder = tempfile::tempdir().unwrap();
    let program = write_program(&folder, "busy", &fs::read("/bin/true").unwrap(), 0o755);
    let writer = fs::File::options().append(true).open(&program).unwrap();
    for method in methods() {
        match run(method, input(&program, &["busy"])) {
            Ok(_) => println!("skipped: this kernel executes what is being written"),
            Err(failure) => {
                assert_eq!((failure.stage, failure.errno), (Stage::Exec, Errno::ETXTBSY));
                let why = explain_exec(Path::new(&program), failure.errno);
                assert!(why.contains("open for writing"), "{why}");
            }
        }
    }
    drop(writer);
    for method in methods() {
        run(method, input(&program, &["busy"])).unwrap();
    }
}

pub(crate) fn a_mount_with_noexec() {
    let folder = tempfile::tempdir().unwrap();
    // A mount namespace of this process alone, which ends with it.
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    let mounted = unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(NOTHING, "/", NOTHING, private, NOTHING))
        .and_then(|()| {
            mount(Some("tmpfs"), folder.path(), Some("tmpfs"), MsFlags::MS_NOEXEC, NOTHING)
        });
    if let Err(errno) = mounted {
        println!("skipped: we may not mount: {errno}");
        return;
    }
    let program = write_program(&folder, "true", &fs::read("/bin/true").unwrap(), 0o755);
    let script = format!("#!{program}\n");
    for method in methods() {
        let failure = run(method, input(&program, &["true"])).unwrap_err();
        assert_eq!((failure.stage, failure.errno), (Stage::Exec, Errno::EACCES));
        let why = explain_exec(Path::new(&program), failure.errno);
        assert!(why.contains("noexec"), "{why}");
        let elsewhere = tempfile::tempdir().unwrap();
        let script = write_program(&elsewhere, "script", script.as_bytes(), 0o755);
        let failure = run(method, input(&script, &["true"])).unwrap_err();
        assert_eq!((failure.stage, failure.errno), (Stage::Exec, Errno::EACCES));
        let why = explain_exec(Path::new(&script), failure.errno);
        assert!(why.starts_with(&format!("the interpreter of {script}, {program}, lies")), "{why}");
    }
    umount(folder.path()).unwrap();
}

const NOTHING: Option<&str> = None;

fn write_program(folder: &TempDir, name: &str, text: &[u8], mode: u32) -> String {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}
