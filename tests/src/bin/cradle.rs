//! Where a program is PID 1: new namespaces, and a root of its own, made of the machine's programs and of what a test has
//! furnished. `cradle ROOT UID -- PROGRAM ARGUMENTS…`: exits as PID 1 does, with 128 + N where signal N ended it.
//!
//! ROOT has `etc`, `var` and the like; `console`, if it is there, becomes /dev/console, and `cmdline` /proc/cmdline, for
//! which /proc is mounted beforehand. With `bare` in its place of UID nothing is mounted but /dev; otherwise /proc, /sys,
//! /run and cgroups are there, and the program runs as that user; with `docker` as root with the capabilities that Docker leaves,
//! and with /sys and cgroups that cannot be written; with `uncaged` the same, and there are no cgroups at all.
#![expect(unsafe_code, reason = "fork, and prctl")]

use std::{
    ffi::CString,
    fs::{self, File},
    io::Write,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use nix::{
    libc,
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    sys::wait::{WaitStatus, waitpid},
    unistd::{
        ForkResult, Gid, Uid, chdir, execv, fork, pivot_root, setgroups, setresgid, setresuid,
    },
};

/// What of the machine every program needs.
const SHARED: [&str; 5] = ["usr", "bin", "sbin", "lib", "lib64"];
/// The devices.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
const NONE: Option<&str> = None;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let root = PathBuf::from(words.next().expect("a root"));
    let user = words.next().and_then(|user| user.into_string().ok()).expect("a user, or bare");
    let program: Vec<CString> =
        words.skip(1).map(|word| CString::new(word.into_vec()).expect("no NUL")).collect();
    let flags = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWCGROUP;
    unshare(flags).expect("namespaces");
    // Before the root is another, for this process too (pivot_root(2)).
    let mut told = File::create(root.join("pid")).expect("our root");
    // SAFETY: this process has one thread.
    match unsafe { fork() }.expect("a process") {
        ForkResult::Child => {
            furnish(&root, (user != "bare", user != "uncaged"));
            become_user(&user);
            let why = execv(&program[0], &program).unwrap_err();
            panic!("cannot execute {program:?}: {why}");
        }
        ForkResult::Parent { child } => {
            writeln!(told, "{child}").expect("our root");
            loop {
                match waitpid(child, None) {
                    Ok(WaitStatus::Exited(_, status)) => {
                        return ExitCode::from(u8::try_from(status).expect("a status"));
                    }
                    Ok(WaitStatus::Signaled(_, signal, _)) => {
                        return ExitCode::from(128 + signal as u8);
                    }
                    Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                    Err(why) => panic!("waiting for PID 1: {why}"),
                }
            }
        }
    }
}

/// What Docker leaves of root's capabilities (moby, oci/caps/defaults.go; the numbers are those of linux/capability.h).
const LEFT: [u8; 14] = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];

/// As `docker run` has it, with neither options nor a user namespace.
fn become_a_guest(points: &[&str]) {
    for &point in points {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(NONE, point, NONE, flags, NONE).expect("read-only");
    }
    for capability in (0..=40).filter(|it| !LEFT.contains(it)) {
        // SAFETY: it takes numbers only. One that the kernel does not know is no loss.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) };
    }
}

fn become_user(user: &str) {
    match user {
        "docker" => return become_a_guest(&["/sys/fs/cgroup", "/sys"]),
        "uncaged" => return become_a_guest(&["/sys"]),
        _ => {}
    }
    let Ok(user) = user.parse::<u32>() else { return };
    if user != 0 {
        let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
        setgroups(&[]).expect("root");
        setresgid(gid, gid, gid).expect("root");
        setresuid(uid, uid, uid).expect("root");
    }
}

fn furnish(root: &Path, (kernels, cgroups): (bool, bool)) {
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).expect("private mounts");
    bind(root, root);
    for shared in SHARED.iter().filter(|shared| Path::new("/").join(shared).exists()) {
        fs::create_dir_all(root.join(shared)).expect("a folder");
        bind(&Path::new("/").join(shared), &root.join(shared));
    }
    let dev = root.join("dev");
    fs::create_dir_all(&dev).expect("a folder");
    mount(Some("none"), &dev, Some("tmpfs"), MsFlags::empty(), Some("mode=0755")).expect("memory");
    for device in DEVICES {
        fs::write(dev.join(device), "").expect("a file");
        bind(&Path::new("/dev").join(device), &dev.join(device));
    }
    if root.join("console").exists() {
        fs::write(dev.join("console"), "").expect("a file");
        bind(&root.join("console"), &dev.join("console"));
    }
    let binaries = std::env::current_exe().expect("/proc");
    fs::create_dir_all(root.join("b")).expect("a folder");
    bind(binaries.parent().expect("a folder"), &root.join("b"));
    let cmdline = root.join("cmdline");
    if kernels || cmdline.exists() {
        mounted(&root.join("proc"), "proc");
    }
    if cmdline.exists() {
        bind(&cmdline, &root.join("proc/cmdline"));
    }
    if kernels {
        mounted(&root.join("sys"), "sysfs");
        mounted(&root.join("run"), "tmpfs");
    }
    if kernels && cgroups {
        mounted(&root.join("sys/fs/cgroup"), "cgroup2");
    }
    fs::create_dir_all(root.join("old")).expect("a folder");
    pivot_root(root, &root.join("old")).expect("another root");
    chdir("/").expect("the root");
    umount2("/old", MntFlags::MNT_DETACH).expect("what was the root");
    fs::remove_dir("/old").expect("an empty folder");
}

fn bind(from: &Path, to: &Path) {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(from), to, NONE, flags, NONE)
        .unwrap_or_else(|why| panic!("{} at {}: {why}", from.display(), to.display()));
}

fn mounted(at: &Path, kind: &str) {
    fs::create_dir_all(at).expect("a folder");
    mount(Some(kind), at, Some(kind), MsFlags::empty(), NONE)
        .unwrap_or_else(|why| panic!("{kind} at {}: {why}", at.display()));
}
