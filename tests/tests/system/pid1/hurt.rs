//! A machine that is not as it should be: it still boots to the API, or to a shell that says why.

use std::{fs, os::unix::fs::PermissionsExt};

use nix::sys::signal::Signal;
use tests::{
    Machine, Need,
    cradle::{Cradle, Kind, SWITCHED_OFF},
    eventually, procfs,
};

use crate::{Case, cases};

const NEEDS: [Need; 1] = [Need::Namespaces];
const FAULTS: [Need; 2] = [Need::Namespaces, Need::Faults];

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![NEEDS;
        a_broken_configuration_is_a_problem_and_no_more,
        a_state_folder_that_cannot_be_had_is_kept_in_memory,
        a_full_disk_is_no_reason_to_begin_without_it,
        a_store_that_is_corrupt_is_told_and_kept,
        rescue_and_masks_on_the_kernels_command_line,
        a_daemon_that_cannot_begin_is_tried_for_ever_and_a_shell_is_offered,
        a_daemon_that_is_killed_is_followed_and_its_runs_go_on,
        a_container_that_cannot_begin_ends,
        words_of_the_kernel_are_not_ours,
    ];
    all.extend(cases![FAULTS; a_keeper_that_panics_begins_anew_and_nothing_ends]);
    all
}

fn problem(machine: &Machine) -> String {
    let status = machine.aer(&["status"]);
    assert_eq!(status.code(), Some(1), "{}", status.out());
    status.out()
}

fn a_broken_configuration_is_a_problem_and_no_more() {
    let cradle = Cradle::new(Kind::Machine);
    cradle.furnish("etc/aurae/auraed.toml", "[daemon]\nstop_timeout = 'soon'\n");
    let machine = cradle.boot(&[]);
    let told = problem(&machine);
    assert!(told.contains("auraed.toml is wrong") && told.contains("line 2"), "{told}");
    assert!(machine.said().contains("going on as if there were none"), "{}", machine.said());
    assert_eq!(machine.does(&["exec", "--", "/bin/echo", "on"]), "on\n");
    // Mended, it is taken without a boot, though it says no more than none does.
    machine.does(&["start", "--name", "stays", "--", "/b/probe", "pause"]);
    fs::write(machine.inside("/etc/aurae/auraed.toml"), "[daemon]\nstop_timeout = '90s'\n")
        .unwrap();
    machine.signal(Signal::SIGHUP);
    eventually("nothing is wrong any more", || machine.aer(&["status"]).status.success());
    assert!(machine.does(&["list", "--running"]).contains("stays"));
}

fn a_state_folder_that_cannot_be_had_is_kept_in_memory() {
    let cradle = Cradle::new(Kind::Machine);
    // No folder can be made in a file.
    fs::remove_dir(cradle.root().join("var")).unwrap();
    cradle.furnish("var", "not a folder");
    let machine = cradle.boot(&[]);
    let told = problem(&machine);
    assert!(told.contains("/var/lib/aurae") && told.contains("until the next boot"), "{told}");
    machine.does(&["enable", "--now", "web", "--", "/b/probe", "pause"]);
    machine.does(&["power", "off"]);
    assert_eq!(machine.ends(), SWITCHED_OFF);
}

fn a_full_disk_is_no_reason_to_begin_without_it() {
    let fill = "mkdir -p /var && mount -t tmpfs -o size=4m var /var && dd if=/dev/zero of=/var/fill bs=4096; exec /b/auraed";
    let machine = Cradle::new(Kind::Machine).launch(&["/bin/sh", "-c", fill]);
    machine.serves();
    // What it prints has no room in the store, and it runs all the same.
    machine.does(&["exec", "--", "/bin/true"]);
    assert!(machine.inside("/var/lib/aurae/lock").exists(), "{}", machine.said());
    let status = machine.aer(&["status"]).out();
    assert!(!status.contains("until the next boot"), "{status}");
    machine.does(&["power", "off"]);
    assert_eq!(machine.ends(), SWITCHED_OFF);
}

fn a_store_that_is_corrupt_is_told_and_kept() {
    let cradle = Cradle::new(Kind::Machine);
    cradle.furnish("var/lib/aurae/schedule/db", &"junk ".repeat(1000));
    cradle.furnish("var/lib/aurae/schedule/conf", "junk");
    let machine = cradle.boot(&[]);
    let told = problem(&machine);
    assert!(told.contains("it is damaged") && told.contains("schedule.damaged-1"), "{told}");
    assert_eq!(machine.does(&["exec", "--", "/bin/echo", "on"]), "on\n");
}

/// One that was booted before, and has enabled `web` and `db`.
fn with_enabled() -> Cradle {
    let machine = Machine::boot();
    for name in ["web", "db"] {
        machine.does(&["enable", name, "--", "/b/probe", "pause"]);
    }
    machine.does(&["power", "off"]);
    assert_eq!(machine.ends(), SWITCHED_OFF);
    let cradle = Cradle::new(Kind::Machine);
    let copy = std::process::Command::new("/bin/cp");
    let mut copy = copy;
    copy.arg("-a").arg(machine.root("var/lib")).arg(cradle.root().join("var"));
    assert!(tests::Process::start(copy, || {}).finish().status.success());
    cradle
}

fn rescue_and_masks_on_the_kernels_command_line() {
    let cradle = with_enabled();
    cradle.furnish("cmdline", "quiet aurae.mask=db,nobody aurae.log=debug aurae.resuce\n");
    let machine = cradle.boot(&[]);
    eventually("web is up", || machine.aer(&["list", "--running"]).out().contains("web"));
    assert!(!machine.does(&["list", "--running"]).contains("db"));
    let said = machine.said();
    for word in [
        "aurae.resuce, which means nothing",
        "masked, so that it is not started",
        "DEBUG",
        "is the name right?",
    ] {
        assert!(said.contains(word), "no {word:?}: {said}");
    }
    let cradle = with_enabled();
    cradle.furnish("cmdline", "aurae.rescue\n");
    let machine = cradle.boot(&[]);
    assert!(problem(&machine).contains("this is rescue"));
    eventually("it is said", || machine.said().contains("nothing enabled is started"));
    assert!(!machine.does(&["list", "--running"]).contains("web"));
    // Whoever is there may start what he needs.
    machine.does(&["start", "web"]);
}

fn a_daemon_that_cannot_begin_is_tried_for_ever_and_a_shell_is_offered() {
    let cradle = Cradle::new(Kind::Machine);
    cradle.furnish("cmdline", "aurae.shell=/work/shell\n");
    // The shell of this machine mends it, as its owner would.
    cradle.furnish(
        "work/shell",
        "#!/bin/sh\necho \"$TERM\" > /work/told\nrm -r /run/aurae\nexit 3\n",
    );
    let shell = cradle.root().join("work/shell");
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
    // The runtime folder is somebody else's: no daemon can begin.
    let script = "mkdir -p /run && mount -t tmpfs run /run && mkdir /run/aurae && chown 77 /run/aurae && exec /b/auraed";
    let machine = cradle.launch(&["/bin/sh", "-c", script]);
    machine.serves();
    let said = machine.said();
    assert!(said.contains("belongs to the user 77") && said.contains("cannot begin"), "{said}");
    assert!(said.contains("the shell has ended"), "{said}");
    assert!(!machine.left("work/told").unwrap().trim().is_empty());
}

fn a_daemon_that_is_killed_is_followed_and_its_runs_go_on() {
    let machine = Machine::boot();
    machine.does(&["start", "--name", "web", "--", "/b/probe", "pause"]);
    let find = |name: &str| -> Vec<i32> {
        machine.processes().into_iter().filter(|&pid| procfs::command(pid) == name).collect()
    };
    let web = find("probe");
    for signal in [Signal::SIGKILL, Signal::SIGSEGV, Signal::SIGKILL] {
        let daemon = find("auraed-core");
        let kill = || nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon[0]), signal);
        // Rust's own handler of SIGSEGV takes the first for a fault that comes again, and returns.
        eventually("it dies", || kill().is_err() || procfs::gone(daemon[0]));
        eventually("the next daemon serves", || {
            machine.aer(&["status"]).status.success() && find("auraed-core") != daemon
        });
    }
    assert_eq!(find("probe"), web);
    machine.does(&["power", "off"]);
    assert_eq!(machine.ends(), SWITCHED_OFF);
}

/// A fault of PID 1 itself: what runs, what waits and who listens is taken up again, in the same process.
fn a_keeper_that_panics_begins_anew_and_nothing_ends() {
    let machine = Cradle::new(Kind::Machine).environment("AURAED_FAULTS_KEEPER", "1").boot(&[]);
    machine.does(&["start", "--name", "web", "--", "/b/probe", "pause"]);
    let probe = || -> Vec<i32> {
        machine.processes().into_iter().filter(|&pid| procfs::command(pid) == "probe").collect()
    };
    let before = probe();
    for round in 1..3 {
        fs::write(machine.inside("/run/aurae/panic"), "").unwrap();
        machine.signal(Signal::SIGUSR2);
        eventually("it begins anew", || machine.said().matches("it begins anew").count() == round);
        eventually("it serves", || machine.aer(&["status"]).status.success());
        assert_eq!(probe(), before);
        // It starts, ends and reaps as ever.
        assert_eq!(machine.does(&["exec", "--", "/bin/echo", "on"]), "on\n");
    }
    machine.does(&["stop", "web"]);
    assert!(probe().is_empty());
    machine.does(&["power", "off"]);
    assert_eq!(machine.ends(), SWITCHED_OFF);
}

/// Whoever made it looks for its end.
fn a_container_that_cannot_begin_ends() {
    let script = "mkdir /run/aurae && chown 77 /run/aurae && exec /b/auraed";
    let machine = Cradle::new(Kind::Container(0)).launch(&["/bin/sh", "-c", script]);
    assert_eq!(machine.ends(), 1);
    assert!(machine.said().contains("belongs to the user 77"), "{}", machine.said());
}

/// The kernel gives init each word that it does not know.
fn words_of_the_kernel_are_not_ours() {
    let machine = Cradle::new(Kind::Machine).boot(
        &["nosplash", "single", "--socket", "/run/other.sock"].map(|word| {
            // The harness asks at the usual place.
            if word == "/run/other.sock" { "/run/aurae/aurae.sock" } else { word }
        }),
    );
    assert!(machine.does(&["status"]).contains("healthy"));
    // What is an order elsewhere is a word like any other here.
    for word in ["init", "check", "early"] {
        let machine = Cradle::new(Kind::Machine).boot(&[word]);
        assert!(machine.does(&["status"]).contains("healthy"), "{word}");
        assert!(machine.said().contains("the first process of this machine"), "{}", machine.said());
    }
    let machine = Cradle::new(Kind::Machine).boot(&["--no-such-option"]);
    assert!(machine.said().contains("going on without the words"), "{}", machine.said());
    assert!(machine.does(&["status"]).contains("healthy"));
}
