//! Decisions on made-up trees; deeds on the machine's own, where we may make cgroups at its root.

use std::{
    collections::HashSet,
    ffi::CString,
    fs::File,
    iter,
    os::fd::OwnedFd,
    sync::atomic::{AtomicU32, Ordering},
};

use nix::sys::{signal::Signal, wait::WaitStatus};
use spawn::{Method, Parentage, Plan, PlanInput, Spawned, Spawner};
use units::Name;

use super::{
    controllers::{Controller, Home},
    usage::IoUsage,
    *,
};

const ALL: ResourceLimits = ResourceLimits {
    cpu_weight: Some(200),
    cpu_quota: Some(150),
    memory_max: Some(64 << 20),
    memory_high: Some(32 << 20),
    pids_max: Some(16),
};

#[test]
fn no_name_is_a_file_of_the_kernels() {
    assert_eq!(escaped("cgroup.procs"), "_cgroup.procs");
    assert_eq!(escaped("memory.max"), "_memory.max");
    assert_eq!(escaped("_x"), "__x");
    assert_eq!(escaped("nginx"), "nginx");
}

#[test]
fn a_process_belongs_to_the_run_whose_cgroup_it_is_below() {
    let [run, other] = [[1; 16], [2; 16]].map(RunId::from_bytes);
    let units = Path::new("/outer/units/x/aurae/units");
    for (path, expected) in [
        (format!("/outer/units/x/aurae/units/n/{run}"), Some(run)),
        (format!("/outer/units/x/aurae/units/n/{run}/its/units/n/{other}"), Some(run)),
        (format!("/outer/units/x/{run}/units/n/{other}"), None),
        (format!("/outer/units/x/aurae/unitsx/n/{run}"), None),
        ("/outer/units/x/aurae/units/n/nonsense".to_owned(), None),
        ("/outer/units/x/aurae/daemon".to_owned(), None),
    ] {
        let listed = format!("4:memory:/units/n/{other}\n0::{path}\n");
        assert_eq!(run_in(listed.as_bytes(), units), expected, "{path}");
    }
    assert_eq!(run_in(b"", units), None);
}

/// A tree of files that look like cgroups.
struct Tree(tempfile::TempDir);

impl Tree {
    /// With these controllers in `ours`, and in `above` it.
    fn new(above: &str, ours: &str) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        for (folder, controllers) in [("above", above), ("above/ours", ours)] {
            fs::create_dir_all(tree.path(folder)).unwrap();
            tree.write(&format!("{folder}/cgroup.controllers"), controllers);
            tree.write(&format!("{folder}/cgroup.subtree_control"), "");
        }
        tree
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    fn legacy(&self, controllers: &[&str]) -> place::Legacy {
        let existing = self.path(&controllers.join("+"));
        fs::create_dir(&existing).unwrap();
        place::Legacy {
            controllers: controllers.iter().map(|name| (*name).to_owned()).collect(),
            units: existing.join("aurae/units"),
            existing,
        }
    }

    fn find(&self, legacy: &[place::Legacy]) -> Arc<Controllers> {
        let (ours, above) = (self.path("above/ours"), self.path("above"));
        Arc::new(Controllers::find(&ours, Some(&above), legacy))
    }
}

fn refused(controllers: &Controllers, limits: ResourceLimits) -> (&'static str, &'static str) {
    let missing = controllers.supports(&limits).unwrap_err();
    let words = missing.to_string();
    assert!(words.contains(missing.field) && words.contains(missing.controller), "{words}");
    (missing.field, missing.controller)
}

#[test]
fn what_v2_has_is_used_there_and_enabled_down_to_the_run() {
    let tree = Tree::new("cpu memory pids io", "cpu memory pids io hugetlb");
    let legacy = tree.legacy(&["cpu", "memory", "pids"]);
    let controllers = tree.find(&[legacy]);
    assert_eq!(controllers.supports(&ALL), Ok(()));
    assert_eq!(controllers.unified(), Controller::ALL);
    assert_eq!(tree.read("above/cgroup.subtree_control"), "", "it need not be asked");
    let run = tree.path("above/ours/units/name/run");
    fs::create_dir_all(&run).unwrap();
    let control = Control::of(&ALL, &controllers, &run).unwrap();
    tree.write("above/ours/units/name/run/cpu.max", "max 100000\n");
    tree.write("above/ours/units/name/run/memory.events.local", "low 0\noom_kill 3\n");
    assert_eq!(control.prepare(&run).unwrap().len(), 0, "nothing of version 1");
    for (file, value) in [
        ("cgroup.subtree_control", "+cpu +memory +pids +io"),
        ("name/cgroup.subtree_control", "+cpu +memory +pids +io"),
        ("name/run/cpu.weight", "200"),
        ("name/run/cpu.max", "150000 100000"),
        ("name/run/memory.max", "67108864"),
        ("name/run/memory.high", "33554432"),
        ("name/run/pids.max", "16"),
    ] {
        assert_eq!(tree.read(&format!("above/ours/units/{file}")), value, "{file}");
    }
    // What was killed before the run was made is not its doing.
    let cgroup = RunCgroup::new(run.clone()).controlled(Some(control));
    assert_eq!(cgroup.account().out_of_memory, Some(false));
    tree.write("above/ours/units/name/run/memory.events.local", "oom 9\noom_kill 4\n");
    tree.write("above/ours/units/name/run/memory.peak", "4096\n");
    tree.write("above/ours/units/name/run/memory.current", "1024\n");
    tree.write("above/ours/units/name/run/pids.current", "2\n");
    tree.write("above/ours/units/name/run/io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n");
    let account = cgroup.account();
    assert_eq!((account.out_of_memory, account.memory_peak), (Some(true), Some(4096)));
    let io = IoUsage { read_bytes: 1, write_bytes: 2, read_operations: 3, write_operations: 4 };
    let usage = LiveUsage {
        memory_now: Some(1024),
        memory_peak: Some(4096),
        pids: Some(2),
        io: Some(io),
        ..LiveUsage::default()
    };
    assert_eq!(cgroup.usage(), usage);
    assert_eq!((account.read_bytes, account.written_bytes), (Some(1), Some(2)));
    // A run without limits is counted too, where that takes no further folder.
    assert!(Control::of(&ResourceLimits::default(), &controllers, &run).is_some());
}

#[test]
fn what_v2_lacks_is_used_in_version_1_except_what_that_has_not() {
    let tree = Tree::new("hugetlb", "pids");
    let legacy = [tree.legacy(&["cpu", "cpuacct"]), tree.legacy(&["memory"])];
    let controllers = tree.find(&legacy);
    assert_eq!(*controllers.home(Controller::Pids), Home::Unified);
    assert_eq!(
        *controllers.home(Controller::Cpu),
        Home::Legacy(tree.path("cpu+cpuacct/aurae/units"))
    );
    assert!(matches!(controllers.home(Controller::Io), Home::Missing(_)));
    assert_eq!(refused(&controllers, ALL), ("memory_high", "memory"));
    assert_eq!(controllers.supports(&ResourceLimits { memory_high: None, ..ALL }), Ok(()));
    assert_eq!(controllers.supports(&ResourceLimits::default()), Ok(()));
    let nowhere = Tree::new("", "");
    let controllers = nowhere.find(&[nowhere.legacy(&["memory"])]);
    let plain = Control::of(&ResourceLimits::default(), &controllers, Path::new("/n/r"));
    assert!(plain.is_none(), "a plain run is in no hierarchy of version 1");
}

#[test]
fn what_is_nowhere_is_named_with_the_reason() {
    let tree = Tree::new("memory", "");
    let controllers = tree.find(&[]);
    // The cgroup above has it, so it was asked to share it, in vain.
    assert_eq!(tree.read("above/cgroup.subtree_control"), "+memory");
    for (limits, expected) in [
        (ALL, ("cpu_weight", "cpu")),
        (ResourceLimits { cpu_weight: None, ..ALL }, ("cpu_quota", "cpu")),
        (
            ResourceLimits { memory_max: Some(1), ..ResourceLimits::default() },
            ("memory_max", "memory"),
        ),
        (
            ResourceLimits { memory_high: Some(1), ..ResourceLimits::default() },
            ("memory_high", "memory"),
        ),
        (ResourceLimits { pids_max: Some(1), ..ResourceLimits::default() }, ("pids_max", "pids")),
    ] {
        assert_eq!(refused(&controllers, limits), expected);
        let without = MissingController::without_cgroups(&limits).unwrap_err();
        assert_eq!((without.field, without.controller), expected);
    }
    assert_eq!(MissingController::without_cgroups(&ResourceLimits::default()), Ok(()));
    // A tree that cannot be written, as where others' processes sit in it.
    let tree = Tree::new("", "memory");
    fs::remove_file(tree.path("above/ours/cgroup.subtree_control")).unwrap();
    fs::create_dir(tree.path("above/ours/cgroup.subtree_control")).unwrap();
    let why = tree.find(&[]).supports(&ALL).unwrap_err();
    assert_eq!(why.field, "cpu_weight");
    let memory = ResourceLimits { memory_max: Some(1), ..ResourceLimits::default() };
    let why = tree.find(&[]).supports(&memory).unwrap_err().to_string();
    assert!(why.contains("cannot enable the controller in"), "{why}");
}

/// Our place at the root of the machine's hierarchies, removed at the end.
struct Machine {
    cgroups: Cgroups,
}

impl Machine {
    /// `None`, and a word about it, where there is none.
    fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // Elsewhere, we would move to another cgroup.
        let own = fs::read_to_string("/proc/self/cgroup").unwrap();
        if !own.lines().any(|line| line == "0::/") {
            println!("skipped: we are not at the root of a cgroup v2 hierarchy");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("aurae-unit-tests-{}-{number}", std::process::id());
        match Cgroups::arrange(TrackingMode::Auto, &name, 0, true) {
            Ok(cgroups) => Some(Self { cgroups }),
            Err(why) => {
                println!("skipped: {why}");
                None
            }
        }
    }

    /// Such limits, if this machine can keep them.
    fn keeps(&self, limits: ResourceLimits) -> Option<ResourceLimits> {
        match self.cgroups.supports(&limits) {
            Ok(()) => Some(limits),
            Err(why) => {
                println!("skipped: {why}");
                None
            }
        }
    }

    fn legacy_folders(&self, run: RunId) -> Vec<PathBuf> {
        let units = &self.cgroups.controllers.legacy;
        units.iter().map(|units| units.join("name").join(run.to_string())).collect()
    }

    fn value(&self, run: RunId, controller: Controller, unified: &str, legacy: &str) -> String {
        let below = format!("name/{run}");
        let file = match self.cgroups.controllers.home(controller) {
            Home::Unified => self.cgroups.units.join(below).join(unified),
            Home::Legacy(units) => units.join(below).join(legacy),
            Home::Missing(why) => panic!("{why}"),
        };
        fs::read_to_string(file).unwrap().trim().to_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(fs::remove_dir(self.cgroups.units.join(COMMANDS)));
        drop(fs::remove_dir(&self.cgroups.units));
        let mut left = vec![self.cgroups.ours.clone()];
        left.extend(
            self.cgroups
                .controllers
                .legacy
                .iter()
                .filter_map(|units| units.parent())
                .map(Path::to_owned),
        );
        drop(fs::remove_dir(&self.cgroups.ours));
        left.retain(|folder| folder.exists());
        if !std::thread::panicking() {
            assert_eq!(left, Vec::<PathBuf>::new(), "nothing stays behind");
        }
    }
}

/// A run that nobody else has.
struct Made {
    name: Name,
    run: RunId,
}

impl Made {
    fn whose(&self) -> Whose<'_> {
        (&self.name, false, self.run)
    }
}

fn made() -> Made {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Made { name: "name".parse().unwrap(), run: RunId::from_bytes(u128::from(number).to_be_bytes()) }
}

/// A process in this run.
fn spawn(cgroup: &RunCgroup, words: &[&str]) -> Spawned {
    let text = |word: &str| CString::new(word).unwrap();
    let null = || OwnedFd::from(File::options().read(true).write(true).open("/dev/null").unwrap());
    let input = PlanInput {
        program: text(words[0]),
        argv: words.iter().map(|word| text(word)).collect(),
        environment: Vec::new(),
        stdin: null(),
        stdout: null(),
        stderr: null(),
        cgroup: Some(cgroup.make().unwrap()),
        legacy_cgroups: cgroup.limit().unwrap(),
        new_session: true,
        identity: None,
        working_directory: None,
        umask: None,
        nice: None,
        open_files_limit: None,
        oom_score_adjustment: None,
        mark: None,
    };
    Spawner::new(Method::Clone)
        .unwrap()
        .spawn(&Plan::new(input).unwrap(), Parentage::Child)
        .unwrap()
}

/// Waits until it is empty, and removes it.
fn end(cgroup: &RunCgroup) {
    cgroup.kill(None).unwrap();
    cgroup.await_empty(Duration::MAX);
    cgroup.remove();
    assert!(!cgroup.path().exists());
}

#[test]
fn limits_are_in_force_from_the_first_moment_and_leave_nothing_behind() {
    let Some(machine) = Machine::new() else { return };
    let Some(limits) = machine.keeps(ResourceLimits { memory_high: None, ..ALL }) else { return };
    let execution = made();
    let run = execution.run;
    let cgroup = machine.cgroups.of_limited_run(execution.whose(), &limits);
    let child = spawn(&cgroup, &["/bin/sleep", "1000"]);
    for (controller, unified, legacy, expected) in [
        (Controller::Cpu, "cpu.weight", "cpu.shares", ["200", "2048"]),
        (Controller::Cpu, "cpu.max", "cpu.cfs_quota_us", ["150000 100000", "150000"]),
        (Controller::Memory, "memory.max", "memory.limit_in_bytes", ["67108864"; 2]),
        (Controller::Pids, "pids.max", "pids.max", ["16"; 2]),
        (Controller::Pids, "cgroup.procs", "cgroup.procs", [child.pid.to_string().as_str(); 2]),
        (Controller::Memory, "cgroup.procs", "cgroup.procs", [child.pid.to_string().as_str(); 2]),
    ] {
        let value = machine.value(run, controller, unified, legacy);
        assert!(expected.contains(&value.as_str()), "{unified}: {value}");
    }
    let usage = cgroup.detailed_usage();
    assert_eq!(usage.pids, Some(1));
    assert!(usage.memory_now > Some(0) && usage.memory_peak >= usage.memory_now, "{usage:?}");
    assert!(usage.user_time.is_some() && usage.system_time.is_some());
    assert_eq!(usage.pressure.cpu.is_some(), cgroup.path().join("cpu.pressure").exists());
    assert_eq!(machine.cgroups.run_of_process(child.pid.as_raw()), Some(run));
    assert_eq!(machine.cgroups.run_of_process(1), None);
    child.pidfd.signal(nix::libc::SIGKILL).ok();
    let status = child.pidfd.reap().unwrap();
    // As exit 137 is: killed, but not for want of memory.
    assert_eq!(status, WaitStatus::Signaled(child.pid, Signal::SIGKILL, false));
    let account = cgroup.account();
    assert_eq!(account.out_of_memory, Some(false));
    assert!(account.memory_peak > Some(0));
    end(&cgroup);
    assert!(machine.legacy_folders(run).iter().all(|folder| !folder.exists()));
}

#[test]
fn who_allocates_past_its_limit_is_told_to_have_run_out_of_memory() {
    let Some(machine) = Machine::new() else { return };
    let limits = ResourceLimits { memory_max: Some(32 << 20), ..ResourceLimits::default() };
    let Some(limits) = machine.keeps(limits) else { return };
    let cgroup = machine.cgroups.of_limited_run(made().whose(), &limits);
    // A line without an end, all of which tail(1) holds.
    let child = spawn(&cgroup, &["/usr/bin/tail", "/dev/zero"]);
    let status = child.pidfd.reap().unwrap();
    assert_eq!(status, WaitStatus::Signaled(child.pid, Signal::SIGKILL, false));
    let account = cgroup.account();
    assert_eq!(account.out_of_memory, Some(true));
    assert!(
        account.memory_peak.is_some_and(|peak| peak > 16 << 20 && peak <= 32 << 20),
        "{account:?}"
    );
    end(&cgroup);
}

#[test]
fn who_forks_past_its_limit_cannot() {
    let Some(machine) = Machine::new() else { return };
    let limits = ResourceLimits { pids_max: Some(1), ..ResourceLimits::default() };
    let Some(limits) = machine.keeps(limits) else { return };
    let cgroup = machine.cgroups.of_limited_run(made().whose(), &limits);
    let child = spawn(&cgroup, &["/bin/sh", "-c", "/bin/true; exit 0"]);
    let status = child.pidfd.reap().unwrap();
    assert!(matches!(status, WaitStatus::Exited(_, 1..)), "the shell cannot fork: {status:?}");
    // Memory is in another hierarchy in version 1, which the run did not have to join.
    let memory = machine.cgroups.controllers.home(Controller::Memory);
    assert_eq!(cgroup.account().out_of_memory.is_some(), *memory == Home::Unified);
    end(&cgroup);
}

#[test]
fn a_run_without_limits_is_in_one_cgroup() {
    let Some(machine) = Machine::new() else { return };
    let execution = made();
    let cgroup = machine.cgroups.of_run(execution.whose());
    let child = spawn(&cgroup, &["/bin/sleep", "1000"]);
    assert!(machine.legacy_folders(execution.run).iter().all(|folder| !folder.exists()));
    let usage = cgroup.usage();
    assert!(usage.user_time.is_some() && usage.system_time.is_some());
    assert_eq!(
        LiveUsage { user_time: None, system_time: None, ..usage },
        LiveUsage::default(),
        "not told, not 0"
    );
    assert_eq!(cgroup.account().out_of_memory, None);
    assert_eq!(machine.cgroups.run_of_process(child.pid.as_raw()), Some(execution.run));
    child.pidfd.signal(nix::libc::SIGKILL).ok();
    child.pidfd.reap().unwrap();
    end(&cgroup);
}

#[test]
fn what_an_earlier_daemon_made_is_found_counted_and_removed() {
    let Some(machine) = Machine::new() else { return };
    let limits = ResourceLimits { memory_max: Some(32 << 20), ..ResourceLimits::default() };
    let Some(limits) = machine.keeps(limits) else { return };
    let [adopted, kept, swept] = [made(), made(), made()];
    for execution in [&adopted, &kept, &swept] {
        let cgroup = machine.cgroups.of_limited_run(execution.whose(), &limits);
        drop(cgroup.make().unwrap());
        drop(cgroup.limit().unwrap());
    }
    let cgroup = machine.cgroups.of_inherited_run(adopted.whose(), &machine.cgroups.legacies());
    assert_eq!(cgroup.account().out_of_memory, Some(false));
    cgroup.remove();
    machine.cgroups.sweep(&HashSet::from([kept.run]), [kept.whose()].into_iter());
    let exist = |execution: &Made| {
        let own = machine.cgroups.of_run(execution.whose()).path().to_owned();
        let legacy = machine.legacy_folders(execution.run);
        legacy.into_iter().chain([own]).filter(|folder| folder.exists()).count()
    };
    assert_eq!((exist(&adopted), exist(&swept)), (0, 0));
    let unified = *machine.cgroups.controllers.home(Controller::Memory) == Home::Unified;
    assert_eq!(exist(&kept), if unified { 1 } else { 2 });
    // Its process is killed, and gone before its cgroups are removed.
    let living = made();
    let child =
        spawn(&machine.cgroups.of_limited_run(living.whose(), &limits), &["/bin/sleep", "1000"]);
    machine.cgroups.sweep(&HashSet::new(), iter::empty());
    assert_eq!((exist(&kept), exist(&living)), (0, 0));
    let status = child.pidfd.reap().unwrap();
    assert_eq!(status, WaitStatus::Signaled(child.pid, Signal::SIGKILL, false));
}

/// A folder is not listed where as many live as are known there; one that is known and was never made counts for nothing.
#[test]
fn what_is_not_known_is_found_beside_what_is() {
    let Some(machine) = Machine::new() else { return };
    let [kept, unmade, stray] = [made(), made(), made()];
    let of = |made: &Made| machine.cgroups.of_run(made.whose());
    drop(of(&kept).make().unwrap());
    let keep = HashSet::from([kept.run, unmade.run]);
    let sweep = || machine.cgroups.sweep(&keep, [kept.whose(), unmade.whose()].into_iter());
    for strays in [false, true, false] {
        if strays {
            drop(of(&stray).make().unwrap());
        }
        sweep();
        assert!(of(&kept).path().exists() && !of(&stray).path().exists());
    }
    of(&kept).remove();
}

/// A process is told to be in its run's cgroup, and in one that it made below it, and in no other.
#[test]
fn a_held_process_is_in_its_own_cgroup_only() {
    let Some(machine) = Machine::new() else { return };
    let [own, other] = [made(), made()].map(|made| machine.cgroups.of_run(made.whose()));
    let child = spawn(&own, &["/bin/sleep", "1000"]);
    drop(other.make().unwrap());
    let pid = child.pid.as_raw();
    let holds = |cgroup: &RunCgroup| cgroup.holds(&child.pidfd, pid);
    assert_eq!((holds(&own), holds(&other)), (true, false));
    let below = own.path().join("below");
    fs::create_dir(&below).unwrap();
    fs::write(below.join("cgroup.procs"), pid.to_string()).unwrap();
    assert_eq!((holds(&own), holds(&other)), (true, false));
    other.remove();
    end(&own);
    child.pidfd.reap().unwrap();
}
