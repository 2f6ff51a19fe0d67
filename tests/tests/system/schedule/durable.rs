//! What was acknowledged is there: after kill -9 of keeper and daemon at once, and in another daemon.

use api::runtime::Executable;
use tests::{
    Daemon, House, Options, argv, eventually,
    rpc::named,
    schedule::{appending, commented, files},
};

use crate::{Case, Core, cases, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![acknowledged_is_durable]
}

pub(crate) fn cases() -> Vec<Case> {
    cases![[]; crash_after_each_change, a_second_instance_leaves_it_alone, short_storm, its_files_are_private]
}

/// Killed at once after the last answer, everything that was answered is there in the next daemon, as it was.
fn acknowledged_is_durable(options: Options) {
    let mut daemon = Daemon::start(options);
    let web = commented("first", appending(&daemon, "web"));
    daemon.enable(web.clone());
    let off = commented("off", named("off", argv(&["/bin/false", "a b", ""])));
    daemon.enable(off.clone());
    daemon.enable(named("gone", argv(&["/bin/true"])));
    daemon.disable("off").unwrap();
    daemon.destroy("gone").unwrap();
    let before = ["web", "off"].map(|name| daemon.show(name).unwrap());
    daemon.crash();
    daemon.start_again();
    assert_eq!(daemon.enabled().unwrap(), [web]);
    assert_eq!(daemon.disabled().unwrap(), [off]);
    assert_eq!(["web", "off"].map(|name| daemon.show(name).unwrap()), before);
    assert!(daemon.status().healthy, "{:?}", daemon.status().problems);
    eventually("a new keeper is a boot", || daemon.began("web") == 1);
    daemon.stop();
}

/// Killed right after each of many single changes, nothing of the changes before is lost, and none is back.
fn crash_after_each_change() {
    let mut daemon = Daemon::start(Options::default());
    let mut wanted: Vec<(String, bool, String)> = Vec::new();
    for round in 0..12 {
        let (name, comment) = (format!("unit-{:02}", round / 3), format!("round {round}"));
        match round % 3 {
            0 => {
                daemon.enable(commented(&comment, named(&name, argv(&["/bin/true"]))));
                wanted.push((name, true, comment));
            }
            1 => {
                daemon.disable(&name).unwrap();
                wanted.last_mut().unwrap().1 = false;
            }
            _ if round % 2 == 0 => {
                daemon.destroy(&name).unwrap();
                wanted.pop();
            }
            _ => {
                daemon.enable(commented(&comment, named(&name, argv(&["/bin/true"]))));
                *wanted.last_mut().unwrap() = (name, true, comment);
            }
        }
        daemon.crash();
        daemon.start_again();
        assert_eq!(daemon.registered(), wanted, "round {round}");
    }
    daemon.stop();
}

/// A second instance on one state folder is refused, and the schedule is untouched by it.
fn a_second_instance_leaves_it_alone() {
    let first = Daemon::start(Options::default());
    first.enable(commented("first", named("web", argv(&["/bin/true"]))));
    let content = |daemon: &Daemon| -> Vec<(std::path::PathBuf, Vec<u8>)> {
        let paths = files(&daemon.schedule_folder());
        paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
    };
    let before = (content(&first), first.registered(), first.schedule_paths());
    let second = House::prepare(Options::default());
    let mut command = second.command("auraed");
    command.arg("--config").arg(second.config()).arg("--socket").arg(second.socket());
    command.arg("--state-dir").arg(first.state_dir());
    command.arg("--runtime-dir").arg(second.runtime_dir());
    let said = second.refuses(command).err();
    assert!(said.contains(first.state_dir().to_str().unwrap()), "{said}");
    assert_eq!((content(&first), first.registered(), first.schedule_paths()), before);
    first.enable(Executable { comment: "second".to_owned(), ..named("web", argv(&["/bin/true"])) });
    assert_eq!(first.show("web").unwrap().executable.unwrap().comment, "second");
    first.stop();
}

/// Ten times kill -9 of keeper and daemon at once, at random moments, while clients enable, disable and destroy.
/// `cargo bench -p tests --bench schedule_storm` has two hundred.
fn short_storm() {
    let mut daemon = Daemon::start(Options::default());
    let counts = tests::storm::crashes(&mut daemon, tests::storm::seed(), 10);
    assert_eq!(counts.kills, 10);
    assert!(counts.acknowledged > 0, "{counts:?}");
    daemon.stop();
}

/// Commands and comments may hold secrets: nobody else may read the schedule's files, a crash's leftovers included.
fn its_files_are_private() {
    use std::os::unix::fs::PermissionsExt;

    let mut daemon = Daemon::start(Options::default());
    daemon.enable(commented(&"s".repeat(4096), named("web", argv(&["/bin/true"]))));
    daemon.crash();
    daemon.start_again();
    assert_eq!(daemon.registered().len(), 1);
    let reachable =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o077 != 0;
    // A folder that nobody else can enter hides all that is in it.
    let shut = !reachable(&daemon.state_dir());
    let open: Vec<_> = daemon
        .schedule_paths()
        .into_iter()
        .filter(|path| path.is_dir() && reachable(path) && !shut)
        .collect();
    assert!(open.is_empty(), "others may enter {open:?}");
    daemon.stop();
}
