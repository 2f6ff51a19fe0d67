//! What contradicts, is damaged or is not ours: it is told and set aside, and nothing is guessed.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
};

use api::runtime::{ExitRecord, exit_record::Cause};
use tests::{
    Daemon, Fifo, Need, Options, eventually, procfs,
    rpc::{code, fresh_id, identified, named},
};

use super::meanwhile;
use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    let anywhere = cases![[];
        a_damaged_ledger_is_kept_aside_and_runs_go_on,
        a_cut_ledger_is_no_damage,
        a_foreign_file_is_set_aside,
        a_pid_that_is_another_process_is_lost,
        a_run_without_its_file_goes_on,
        the_ledger_is_private,
    ];
    let tracked = cases![[Need::Cgroup]; a_cgroup_that_is_gone_hides_no_exit];
    anywhere.into_iter().chain(tracked).collect()
}

fn ledger(daemon: &Daemon) -> PathBuf {
    daemon.runtime_dir().join("ledger")
}

fn why_lost(exit: &ExitRecord) -> String {
    let Some(Cause::Lost(why)) = &exit.cause else { panic!("it is not lost: {exit:?}") };
    why.clone()
}

/// What cannot be read is told, and the file kept. A run is known by its own file then, and who called it has it again;
/// its unit is not known any more, and nothing of it is guessed.
fn a_damaged_ledger_is_kept_aside_and_runs_go_on() {
    Daemon::with(Options::default(), |daemon| {
        let mut go = Fifo::make(daemon.path(), "go");
        let id = fresh_id();
        let words = ["line", "one", "await", go.path(), "exit", "7"];
        let executable = identified(&id, named("job", daemon.probe(&words)));
        let pid = {
            let mut run = daemon.run(executable.clone());
            run.read_until("one\n");
            meanwhile(daemon, || {
                let length = fs::metadata(ledger(daemon)).unwrap().len();
                let bytes = vec![b'?'; usize::try_from(length).unwrap()];
                fs::write(ledger(daemon), bytes).unwrap();
            });
            run.started.pid
        };
        assert!(procfs::alive(pid));
        assert!(daemon.runtime_dir().join("ledger.damaged-1").exists());
        eventually("it is told", || daemon.own_log().contains("the ledger is damaged"));
        let mut run = daemon.run(executable);
        assert_eq!(run.started.pid, pid);
        go.release();
        assert_eq!(code(&run.finish()), Some(7));
        assert_eq!(run.stdout, b"one\n");
    });
}

/// The end of the last step is missing, as after a kill in the middle of writing it: it was not begun.
fn a_cut_ledger_is_no_damage() {
    Daemon::with(Options::default(), |daemon| {
        daemon.up(named("web", daemon.probe(&["pause"])));
        let before = daemon.unit("web");
        meanwhile(daemon, || {
            let mut file = File::options().append(true).open(ledger(daemon)).unwrap();
            file.write_all(b"aLg1\x50\0\0\0half a step").unwrap();
        });
        let after = daemon.unit("web");
        assert_eq!((after.state, after.pid, after.since), (before.state, before.pid, before.since));
        assert_eq!(after.run_id, before.run_id);
        assert!(!daemon.runtime_dir().join("ledger.damaged-1").exists());
    });
}

/// A file in the folder of the runs that is no run's is moved away, and not deleted.
fn a_foreign_file_is_set_aside() {
    Daemon::with(Options::default(), |daemon| {
        daemon.up(named("web", daemon.probe(&["pause"])));
        let runs = daemon.runtime_dir().join("runs");
        let id = fresh_id();
        meanwhile(daemon, || {
            fs::write(runs.join("notes"), "mine").unwrap();
            fs::write(runs.join(&id), "no run's").unwrap();
        });
        let aside = daemon.runtime_dir().join("set-aside");
        assert_eq!(fs::read_to_string(aside.join("notes")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(aside.join(&id)).unwrap(), "no run's");
        assert_eq!(fs::read_dir(&runs).unwrap().count(), 1);
        let log = || daemon.own_log().matches("set aside what is no run's file").count();
        eventually("it is told", || log() == 2);
    });
}

/// A process with the run's number that began at another time is not the run's: it is told, and no signal is sent to it.
fn a_pid_that_is_another_process_is_lost() {
    Daemon::with(Options::default(), |daemon| {
        let words = ["ignore", "SIGTERM", "line", "up", "pause"];
        let (id, pid) = {
            let mut run = daemon.run(daemon.probe(&words));
            run.read_until("up\n");
            let id = run.started.run_id.clone();
            let file = daemon.runtime_dir().join("runs").join(&id);
            meanwhile(daemon, || {
                // The field `began` once more, of which the last counts: tick 1.
                let mut file = File::options().append(true).open(file).unwrap();
                file.write_all(&[0x60, 1]).unwrap();
            });
            (id, run.started.pid)
        };
        let exit = daemon.logs_of(&id).exit.expect("its end is recorded");
        let why = why_lost(&exit);
        assert!(why.contains(&format!("its main process {pid} began at tick 1,")), "{why}");
        eventually("it is told", || daemon.own_log().contains("contradicts itself"));
        eventually("what was in its cgroup is ended", || procfs::carriers(&id).is_empty());
    });
}

/// The keeper and the ledger are enough to go on.
fn a_run_without_its_file_goes_on() {
    Daemon::with(Options::default(), |daemon| {
        let started = daemon.up(named("web", daemon.probe(&["pause"])));
        let file = daemon.runtime_dir().join("runs").join(&started.run_id);
        let damaged = daemon.up(named("other", daemon.probe(&["pause"])));
        let other = daemon.runtime_dir().join("runs").join(&damaged.run_id);
        meanwhile(daemon, || {
            fs::remove_file(file).unwrap();
            fs::write(other, "damaged").unwrap();
        });
        assert_eq!(daemon.unit("web").pid, started.pid);
        assert_eq!(daemon.unit("other").pid, damaged.pid);
        let aside = daemon.runtime_dir().join("set-aside").join(&damaged.run_id);
        assert_eq!(fs::read_to_string(&aside).unwrap(), "damaged");
        let path = aside.display().to_string();
        eventually("where it is now is told", || daemon.own_log().contains(&path));
    });
}

/// Commands and comments may hold secrets: nobody else may read the ledger.
fn the_ledger_is_private() {
    use std::os::unix::fs::PermissionsExt;
    Daemon::with(Options::default(), |daemon| {
        for _ in 0..2 {
            let mode = fs::metadata(ledger(daemon)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            daemon.replace();
        }
    });
}

/// The cgroup of a run is gone, since its process was moved out of it: the run is known by its number and its beginning,
/// and its exit is exact.
fn a_cgroup_that_is_gone_hides_no_exit() {
    Daemon::with(Options::default(), |daemon| {
        let mut go = Fifo::make(daemon.path(), "go");
        let started = daemon.up(named("web", daemon.probe(&["await", go.path(), "exit", "6"])));
        let pid = started.pid.to_string();
        let file = daemon.runtime_dir().join("runs").join(&started.run_id);
        // After the process's own mark comes when it began, without which the cgroup would have to tell.
        eventually("its beginning is noted", || !fs::read(&file).unwrap().ends_with(&[0x58, 1]));
        let mount = tests::cgroup::mount().expect("there is one");
        let place = |pid: &str| {
            let path = procfs::cgroup(pid).expect("it has a cgroup");
            mount.join(path.strip_prefix("/").expect("it is absolute"))
        };
        let (cgroup, ours) = (place(&pid), place(&daemon.keeper().to_string()));
        meanwhile(daemon, || {
            fs::write(ours.join("cgroup.procs"), &pid).unwrap();
            fs::remove_dir(&cgroup).unwrap();
        });
        assert_eq!(daemon.unit("web").pid, started.pid);
        eventually("it is told", || daemon.own_log().contains("is not in its cgroup any more"));
        go.release();
        let down = daemon.wait_down("web");
        assert_eq!(code(&down.exit.expect("it ran")), Some(6));
    });
}
