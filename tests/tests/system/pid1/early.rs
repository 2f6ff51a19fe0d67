//! What a machine needs before anything can run on it.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use tests::{
    Machine, Need,
    cradle::{Cradle, Kind},
    eventually, procfs,
};

use crate::{Case, cases};

const NEEDS: [Need; 2] = [Need::Namespaces, Need::Cgroup];

pub(crate) fn cases() -> Vec<Case> {
    cases![NEEDS;
        everything_that_a_machine_needs_is_mounted_and_nothing_else,
        links_folders_names_and_loopback,
        what_is_mounted_already_stays,
        an_etc_that_cannot_be_written_gets_an_id_for_this_boot,
        the_root_cgroup_of_a_container_is_left,
        ten_thousand_orphans_leave_no_zombie,
    ]
}

/// The mounts of a machine but those that the cradle has made: point, kind and the flags that matter.
fn mounts(machine: &Machine) -> BTreeSet<(String, String, String)> {
    let text = fs::read_to_string(format!("/proc/{}/mountinfo", machine.pid())).unwrap();
    let of = |line: &str| {
        let (before, after) = line.split_once(" - ").unwrap();
        let before: Vec<&str> = before.split(' ').collect();
        let flags =
            before[5].split(',').filter(|flag| flag.starts_with("no") && *flag != "noatime");
        let kind = after.split(' ').next().unwrap().to_owned();
        (before[4].to_owned(), kind, flags.collect::<Vec<_>>().join(","))
    };
    let all = text.lines().map(of);
    all.filter(|(point, ..)| {
        ["/proc", "/sys", "/run", "/dev/"].iter().any(|of_kernel| point.starts_with(of_kernel))
            && !["null", "zero", "full", "random", "console"].iter().any(|it| point.ends_with(it))
    })
    .collect()
}

/// Exactly the list of docs/pid1.md, with its flags; what only some kernels have, where they have it.
fn everything_that_a_machine_needs_is_mounted_and_nothing_else() {
    let machine = Machine::boot();
    let bare = "nosuid,nodev,noexec";
    let mut wanted: BTreeSet<(String, String, String)> = [
        ("/proc", "proc", bare),
        ("/sys", "sysfs", bare),
        ("/dev/pts", "devpts", "nosuid,noexec"),
        ("/dev/shm", "tmpfs", "nosuid,nodev"),
        ("/run", "tmpfs", "nosuid,nodev"),
        ("/sys/fs/cgroup", "cgroup2", bare),
    ]
    .map(|(point, kind, flags)| (point.to_owned(), kind.to_owned(), flags.to_owned()))
    .into();
    let known = fs::read_to_string("/proc/filesystems").unwrap();
    for (point, kind, place) in [
        ("/dev/mqueue", "mqueue", "/proc/sys/fs/mqueue"),
        ("/sys/kernel/security", "securityfs", "/sys/kernel/security"),
        ("/sys/kernel/debug", "debugfs", "/sys/kernel/debug"),
        ("/sys/kernel/tracing", "tracefs", "/sys/kernel/tracing"),
        ("/sys/kernel/config", "configfs", "/sys/kernel/config"),
        ("/sys/fs/bpf", "bpf", "/sys/fs/bpf"),
        ("/sys/fs/fuse/connections", "fusectl", "/sys/fs/fuse/connections"),
        ("/sys/fs/pstore", "pstore", "/sys/fs/pstore"),
        ("/sys/fs/selinux", "selinuxfs", "/sys/fs/selinux"),
        ("/sys/firmware/efi/efivars", "efivarfs", "/sys/firmware/efi/efivars"),
    ] {
        let has = known.lines().any(|line| line.split('\t').nth(1) == Some(kind));
        if has && fs::metadata(place).is_ok() {
            wanted.insert((point.to_owned(), kind.to_owned(), bare.to_owned()));
        }
    }
    assert_eq!(mounts(&machine), wanted, "{}", machine.said());
    assert!(!machine.said().contains("early: "), "{}", machine.said());
    // Its own processes, and nobody else's: the one-shot child is gone.
    let mut names: Vec<String> = machine.processes().into_iter().map(procfs::command).collect();
    names.sort_unstable();
    assert_eq!(names, ["auraed", "auraed-core"]);
}

fn links_folders_names_and_loopback() {
    let machine = Machine::boot();
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        let link = fs::read_link(machine.inside(&format!("/dev/{name}"))).unwrap();
        assert_eq!(link.to_str(), Some(target));
    }
    for (folder, mode) in
        [("/run", 0o755), ("/run/lock", 0o1777), ("/tmp", 0o1777), ("/dev/shm", 0o1777)]
    {
        let found = fs::metadata(machine.inside(folder)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, mode, "{folder}: {found:o}");
    }
    assert_eq!(machine.does(&["exec", "--", "/bin/hostname"]), "node7\n");
    let id = machine.read("/etc/machine-id");
    assert!(id.len() == 33 && id.trim_end().bytes().all(|b| b.is_ascii_hexdigit()), "{id:?}");
    assert_eq!(fs::metadata(machine.inside("/etc/machine-id")).unwrap().mode() & 0o777, 0o444);
    let up = u32::from_str_radix(
        machine
            .does(&["exec", "--", "/bin/cat", "/sys/class/net/lo/flags"])
            .trim_end()
            .trim_start_matches("0x"),
        16,
    )
    .unwrap();
    assert_eq!(up & 1, 1, "IFF_UP: {up:x}");
    // The cgroups of runs are below ours, and have every controller that there is.
    let root = machine.inside("/sys/fs/cgroup");
    let words = |file: &str| -> BTreeSet<String> {
        let text = fs::read_to_string(root.join(file)).unwrap();
        text.split_whitespace().map(str::to_owned).collect()
    };
    assert!(root.join("aurae/units").is_dir());
    assert!(words("aurae/cgroup.controllers").is_subset(&words("cgroup.controllers")));
}

/// Whoever has mounted something there knows why.
fn what_is_mounted_already_stays() {
    let cradle = Cradle::new(Kind::Container(0)).environment("AURAE_ROLE", "machine");
    let machine = cradle.boot(&[]);
    let points: Vec<String> = mounts(&machine).into_iter().map(|(point, ..)| point).collect();
    let distinct: BTreeSet<&String> = points.iter().collect();
    assert_eq!(distinct.len(), points.len(), "something is mounted twice: {points:?}");
    let flags = mounts(&machine).into_iter().find(|(point, ..)| point == "/proc").unwrap().2;
    assert_eq!(flags, "", "the cradle's /proc was mounted without flags");
}

/// As machine-id(5) says of a root that cannot be written.
fn an_etc_that_cannot_be_written_gets_an_id_for_this_boot() {
    let cradle = Cradle::new(Kind::Machine);
    // A folder that is in the way of the new file is what a read-only /etc is to it.
    fs::create_dir_all(cradle.root().join("etc/machine-id.new/in the way")).unwrap();
    let machine = cradle.boot(&[]);
    let id = machine.read("/etc/machine-id");
    assert_eq!(id.trim_end().len(), 32, "{}", machine.said());
    assert_eq!(machine.read("/run/machine-id"), id);
    assert_eq!(machine.left("etc/machine-id").as_deref(), Some(""), "the file itself stays");
    assert!(fs::write(machine.inside("/etc/machine-id"), "x").is_err(), "it is read-only");
}

/// cgroups(7): no controller is handed down by a cgroup with processes, and of a container's even the root is one.
fn the_root_cgroup_of_a_container_is_left() {
    let machine = Cradle::new(Kind::Container(0)).boot(&[]);
    let read = |file: &str| machine.read(&format!("/sys/fs/cgroup/{file}"));
    // The cradle itself is there, too, and no process of the container's.
    let ours_in_root = || {
        let listed = read("cgroup.procs");
        let ours = machine.processes();
        listed.lines().any(|pid| ours.contains(&pid.parse().unwrap()))
    };
    assert!(!ours_in_root());
    assert_eq!(read("daemon/cgroup.procs").lines().count(), 2, "keeper and daemon");
    machine.does(&["start", "--name", "web", "--", "/b/probe", "pause"]);
    let before = machine.does(&["list", "--running"]);
    let daemon = machine.processes().into_iter().find(|&pid| procfs::command(pid) == "auraed-core");
    let pid = nix::unistd::Pid::from_raw(daemon.unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    eventually("the next daemon goes on with it", || {
        machine.aer(&["list", "--running"]).out().contains("web")
    });
    assert!(before.contains("web"));
    assert!(!ours_in_root());
    assert!(machine.inside("/sys/fs/cgroup/aurae/units/web").is_dir());
}

/// Double forks without end: every orphan is PID 1's, and none is left.
fn ten_thousand_orphans_leave_no_zombie() {
    let machine = Machine::boot();
    let storm = "i=0; while [ $i -lt 10000 ]; do (/bin/true &) ; i=$((i+1)); done; echo done";
    assert_eq!(machine.does(&["exec", "--", "/bin/sh", "-c", storm]), "done\n");
    // The last ones may be about to be swept when the command is over.
    eventually("nobody is left but the daemon, no zombie either", || {
        procfs::descendants(machine.pid()).len() == 1
    });
    assert!(machine.does(&["status"]).contains("healthy"));
}
