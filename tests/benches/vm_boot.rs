//! A Debian under qemu, booted by `auraed`, by systemd and by s6, from the same disk in one run: from the start of init to the
//! API or the default target; with 1,000 trivial services enabled, until all of them run; and the memory of those who run
//! them. The times are the guest's, and only their ratios mean something.
//!
//! The thousand are started in turns by all three, as often as a number says (`-- 3`; once where none is given), and of each the
//! median counts: how fast a shared machine emulates changes within minutes.
//!
//! Needs root, debootstrap and qemu: docs/virtual-machines.md. A turn takes about four minutes.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    time::Duration,
};

use tests::{
    Daemon, Options,
    rpc::{argv, named},
    vm::{
        Boot, LONG, Machine, debian, image,
        store::{self, Kernel, Profile},
        units::copy,
    },
    wait::holds_within,
};

const KERNEL: Kernel = Kernel::Oldest;
const SERVICES: usize = 1000;
const PROBE: &str = "/aurae-tests/probe";

/// How long a boot may take on a slow host: a thousand services of systemd's took 104 s on a good day.
const PATIENCE: Duration = Duration::from_secs(600);

/// What is promised: at most so much of systemd's time.
const SHARE: f64 = 0.25;
/// The most memory of PID 1, in KiB.
const FIRST_KIB: u64 = 1536;

fn main() {
    let folder = tempfile::tempdir_in(store::folder()).expect("a folder of our own");
    let [idle, full] = ["idle", "full"].map(|name| folder.path().join(name));
    // Without udev systemd waits 90 s for the console.
    let root = debian::root("systemd-and-s6", &["systemd", "systemd-sysv", "udev", "dbus", "s6"]);
    for (path, services) in [(&idle, 0), (&full, SERVICES)] {
        let state = enabled(services);
        let ours = (Profile::Release, Some(state.path()));
        debian::disk(path, 1536, &root, ours, |root| furnish(root, services));
    }
    let running = format!("processes:probe:{SERVICES}");
    let begin = |disk: &Path, init: &str, awaited: &str| {
        let boot = Boot::of("vm_boot", KERNEL)
            .from_disk(disk)
            .forgets()
            .memory(3072)
            .processors(2)
            .within(PATIENCE);
        let boot = boot.word(&format!("AURAE_TESTS_INIT={init}"));
        boot.word(&format!("AURAE_TESTS_AWAIT={awaited}"))
    };
    let (systemd, s6) = ("/lib/systemd/systemd", "/usr/bin/s6-svscan,-c,2000,/s6");
    let auraed = |name: &str, disk: &Path, awaited: &str| {
        measured(name, begin(disk, "/usr/sbin/auraed", awaited), &["auraed-core"])
    };
    let of_systemd = |name: &str, disk: &Path, awaited: &str| {
        measured(name, begin(disk, systemd, awaited), &["systemd-journal"])
    };
    let ours = auraed("auraed, to the API", &idle, "api");
    let theirs = of_systemd("systemd, to its default target", &idle, "file:/run/tests-done");
    let turns = env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1);
    let [mut ours_full, mut theirs_full, mut s6_full] = [(); 3].map(|()| Vec::new());
    for _ in 0..turns {
        ours_full.push(auraed("auraed, 1,000 services", &full, &running));
        theirs_full.push(of_systemd("systemd, 1,000 services", &full, &running));
        // A script goes by its own name.
        let scripts = begin(&full, s6, &running.replace("probe", "run")).word("AURAE_TESTS_PROC=1");
        s6_full.push(measured("s6, 1,000 services", scripts, &["s6-supervise"]));
    }
    let [ours_full, theirs_full, s6_full] = [ours_full, theirs_full, s6_full].map(median);
    let mut missed = Vec::new();
    let mut held = |what: &str, found: f64, bound: f64| {
        println!("{what}: {found:.2}, at most {bound:.2}");
        if found > bound {
            missed.push(what.to_owned());
        }
    };
    held("to the API, over systemd's default target", ours.ratio(&theirs), SHARE);
    held("1,000 services, over systemd", ours_full.ratio(&theirs_full), SHARE);
    held("1,000 services, over s6", ours_full.ratio(&s6_full), 1.0);
    held("PID 1, KiB, idle", ours.first as f64, FIRST_KIB as f64);
    held("PID 1, KiB, 1,000 services", ours_full.first as f64, FIRST_KIB as f64);
    held("keeper and daemon over systemd and journald, idle", ours.share(&theirs), 1.0);
    held("keeper and daemon over systemd and journald, 1,000", ours_full.share(&theirs_full), 1.0);
    assert!(missed.is_empty(), "missed: {missed:#?}");
}

/// What was found of one boot.
struct Found {
    milliseconds: u64,
    /// PSS of PID 1, in KiB.
    first: u64,
    /// PSS of it and of those that work for it.
    all: u64,
}

impl Found {
    fn ratio(&self, other: &Self) -> f64 {
        self.milliseconds as f64 / other.milliseconds as f64
    }

    fn share(&self, other: &Self) -> f64 {
        self.all as f64 / other.all as f64
    }
}

fn median(mut found: Vec<Found>) -> Found {
    found.sort_by_key(|found| found.milliseconds);
    found.swap_remove(found.len() / 2)
}

/// Boots, and waits for what is awaited.
fn measured(name: &str, boot: Boot, others: &[&str]) -> Found {
    let machine = Machine::start(boot);
    machine.console.until("guest: ready");
    let text = machine.console.text();
    let line = text.lines().find(|line| line.contains("begun at")).expect("it is told");
    assert!(line.contains(" true after "), "{name}: {line}\n{}", machine.console.tail());
    let (_, after) = line.split_once(" after ").expect("a time");
    let mut milliseconds = after.split(' ').next().expect("a number").parse().expect("a number");
    if let Some(finished) = finished(&machine) {
        // systemd's own word for it, from the same beginning.
        let begun = line.split("begun at ").nth(1).expect("a time");
        let begun: u64 = begun.split(' ').next().expect("a number").parse().expect("a number");
        milliseconds = finished - begun;
    }
    let processes = machine.agent.processes();
    let first = pss(&machine, 1);
    let mut all = first;
    for process in &processes {
        if others.contains(&process.name.as_str()) {
            let its = pss(&machine, process.pid);
            println!("{name}: PSS of {} {its} KiB", process.name);
            all += its;
        }
    }
    println!("{name}: {milliseconds} ms; PSS of PID 1 {first} KiB, with its own {all} KiB");
    Found { milliseconds, first, all }
}

/// When systemd had its default target, in milliseconds of the kernel's; none where it is not systemd's machine, or it is the
/// services that count.
fn finished(machine: &Machine) -> Option<u64> {
    if !machine.agent.is_there("/run/tests-done") || machine.agent.is_there("/s6-full") {
        return None;
    }
    let mut told = String::new();
    let _ = holds_within(LONG, || {
        let words = ["/bin/systemctl", "show", "--property=FinishTimestampMonotonic", "--value"];
        told = machine.agent.run(&words).1.trim().to_owned();
        told != "0" && !told.is_empty()
    });
    Some(told.parse::<u64>().expect("microseconds") / 1000)
}

/// In KiB. Prints what it is made of: of files, or in huge pages, which a kernel may give where it is told to, as Debian's is.
fn pss(machine: &Machine, pid: i32) -> u64 {
    let text = machine.agent.read(&format!("/proc/{pid}/smaps_rollup"));
    let of = |what: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(what)).expect("the kernel tells");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    };
    let [anonymous, file, huge] = ["Pss_Anon:", "Pss_File:", "AnonHugePages:"].map(of);
    println!("process {pid}: {anonymous} KiB anonymous, {file} of files, {huge} in huge pages");
    of("Pss:")
}

/// A state folder in which so many services are enabled.
fn enabled(services: usize) -> tempfile::TempDir {
    let mut daemon = Daemon::start(Options::default());
    for number in 0..services {
        let service = named(&format!("service-{number}"), argv(&[PROBE, "pause"]));
        let _ = daemon.try_enable(service).expect("it is enabled");
    }
    daemon.shut_down();
    let state = tempfile::tempdir().expect("a temporary folder");
    for path in daemon.schedule_paths() {
        copy(&path, &state.path().join(path.file_name().unwrap_or_default()));
    }
    state
}

/// The same services for systemd and s6, and the agent.
fn furnish(root: &Path, services: usize) {
    image::add_agent(root, KERNEL);
    let units = root.join("etc/systemd/system");
    let wants = units.join("multi-user.target.wants");
    fs::create_dir_all(&wants).expect("our folder");
    let enable = |name: &str, text: &str| {
        fs::write(units.join(name), text).expect("our folder");
        symlink(format!("../{name}"), wants.join(name)).expect("our folder");
    };
    let done = format!(
        "[Unit]\nDefaultDependencies=no\nAfter=multi-user.target\n[Service]\nType=oneshot\nExecStart={PROBE} mark /run/tests-done\n"
    );
    enable("tests-done.service", &done);
    let target = units.join("default.target");
    drop(fs::remove_file(&target));
    symlink("/lib/systemd/system/multi-user.target", target).expect("our folder");
    if services > 0 {
        fs::write(root.join("s6-full"), "").expect("our folder");
    }
    for number in 0..services {
        enable(
            &format!("service-{number}.service"),
            &format!("[Service]\nExecStart={PROBE} pause\n"),
        );
        let folder = root.join(format!("s6/service-{number}"));
        fs::create_dir_all(&folder).expect("our folder");
        let run = folder.join("run");
        fs::write(&run, format!("#!{PROBE} pause\n")).expect("our folder");
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).expect("our folder");
    }
}
