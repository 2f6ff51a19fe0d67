//! The calls, as a client has them that knows only the original page, and those that came later.

use std::fs;

use api::{
    meta::{AuraeMeta, Status as State},
    runtime::Executable,
    schedule::{Selection, ShowDisabledRequest, ShowEnabledRequest},
};
use tests::{
    Daemon, Fifo, Options, argv, command, procfs,
    rpc::named,
    schedule::{appending, commented, name_of, names},
    wait::wall_clock,
};

use crate::{Case, Core, cases, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![the_original_page]
}

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        enabling_again_replaces,
        list_and_show_tell_when_and_who,
        lists_are_in_the_order_of_names,
        no_call_starts_or_stops_anything,
        what_is_sent_beside_the_name_changes_nothing,
        usual_and_longest_definitions,
        aer_from_enable_to_destroy,
        aer_exports_and_imports,
    ]
}

/// A definition with every field of the original page.
fn whole() -> Executable {
    let meta = AuraeMeta { name: "web".to_owned(), message: "as it was sent".to_owned() };
    let text = r#"/bin/echo "two words" ${AURAE_COMMENT} $HOME 'it''s'"#.replace("'it''s'", "it");
    let executable = Executable { meta: Some(meta), ..command(&text) };
    commented("serves \"pages\"\n\tin ärger \u{1f980}", executable)
}

/// Enable, ShowEnabled, Disable, ShowDisabled and Destroy, with every field as it was registered.
fn the_original_page(options: Options) {
    Daemon::with(options, |daemon| {
        let mut change = daemon.change_client();
        let mut show = daemon.schedule_client();
        let mut shown = |daemon: &Daemon| {
            let enabled = daemon.block(show.show_enabled(ShowEnabledRequest::default())).unwrap();
            let disabled = daemon.block(show.show_disabled(ShowDisabledRequest::default()));
            (enabled.into_inner().executables, disabled.unwrap().into_inner().executables)
        };
        assert_eq!(shown(daemon), (vec![], vec![]), "nothing is registered at first");
        let answer = daemon.block(change.enable(whole())).unwrap().into_inner();
        assert_eq!(answer.meta.unwrap().name, "web");
        assert_eq!(shown(daemon), (vec![whole()], vec![]));
        let answer = daemon.block(change.disable(whole())).unwrap().into_inner();
        assert_eq!(answer.meta.unwrap().name, "web");
        assert_eq!(shown(daemon), (vec![], vec![whole()]));
        let answer = daemon.block(change.destroy(whole())).unwrap().into_inner();
        assert_eq!(answer.meta.unwrap().name, "web");
        assert_eq!(shown(daemon), (vec![], vec![]));
    });
}

/// Enabling under a name that is registered replaces all of it, also what is disabled, and disabling twice is as
/// disabling once.
fn enabling_again_replaces() {
    Daemon::with(Options::default(), |daemon| {
        daemon.enable(whole());
        let second = named("web", argv(&["/bin/false"]));
        daemon.enable(second.clone());
        assert_eq!(daemon.enabled().unwrap(), std::slice::from_ref(&second));
        daemon.disable("web").unwrap();
        daemon.disable("web").unwrap();
        assert_eq!(daemon.disabled().unwrap(), [second]);
        daemon.enable(whole());
        assert_eq!(daemon.enabled().unwrap(), [whole()]);
        assert_eq!(daemon.disabled().unwrap(), []);
    });
}

/// List and Show tell STANDBY or PASSIVE, since when it is registered, and who changed it last, when and why.
fn list_and_show_tell_when_and_who() {
    Daemon::with(Options::default(), |daemon| {
        let begun = wall_clock();
        daemon.enable(whole());
        let first = daemon.show("web").unwrap();
        assert_eq!(first.executable, Some(whole()));
        assert_eq!(first.status(), State::Standby);
        assert!((begun..=wall_clock()).contains(&first.registered_at), "{first:?}");
        assert_eq!(first.changed_at, first.registered_at);
        let by = first.changed_by.clone().unwrap();
        assert_eq!(by.door, "grpc");
        assert!(by.identity.contains(&format!("pid:{}", std::process::id())), "{by:?}");

        let mut request = tonic::Request::new(whole());
        request.metadata_mut().insert(api::REASON_KEY, "too loud".parse().unwrap());
        let mut change = daemon.change_client();
        daemon.block(change.disable(request)).unwrap();
        let second = daemon.show("web").unwrap();
        assert_eq!(second.executable, Some(whole()));
        assert_eq!(second.status(), State::Passive);
        assert_eq!(second.registered_at, first.registered_at);
        assert!(second.changed_at > first.changed_at, "{second:?}");
        assert_eq!(second.changed_by.clone().unwrap().reason, "too loud");
        assert_eq!(daemon.try_list(Selection::All.into()).unwrap(), [second]);
        let status = daemon.status();
        assert_eq!((status.enabled, status.disabled), (0, 1));
    });
}

/// Lists are in the order of names, and hold what is selected.
fn lists_are_in_the_order_of_names() {
    Daemon::with(Options::default(), |daemon| {
        let all = ["a", "a-1", "b", "c", "z"];
        for name in ["z", "b", "a-1", "c", "a"] {
            daemon.enable(named(name, argv(&["/bin/true"])));
        }
        daemon.disable("b").unwrap();
        daemon.disable("a").unwrap();
        let list = |selection: Selection| -> Vec<String> {
            let found = daemon.try_list(selection.into()).unwrap();
            found.iter().map(|it| name_of(it.executable.as_ref().unwrap()).to_owned()).collect()
        };
        assert_eq!(list(Selection::All), all);
        assert_eq!(list(Selection::Enabled), ["a-1", "c", "z"]);
        assert_eq!(list(Selection::Disabled), ["a", "b"]);
        assert_eq!(names(&daemon.enabled().unwrap()), ["a-1", "c", "z"]);
        assert_eq!(names(&daemon.disabled().unwrap()), ["a", "b"]);
        let status = daemon.status();
        assert_eq!((status.enabled, status.disabled), (3, 2));
    });
}

/// Nothing starts before a boot, and what runs goes on when it is enabled again, disabled and destroyed.
fn no_call_starts_or_stops_anything() {
    let mut daemon = Daemon::start(Options::default());
    let mut up = Fifo::make(daemon.path(), "up");
    let pid_file = daemon.work("pid");
    let words = ["mark", &pid_file, "say", up.path(), "up", "pause"];
    let running = named("running", daemon.probe(&words));
    daemon.enable(running.clone());
    daemon.restart();
    assert_eq!(up.line(), "up");
    let pid: i32 = fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();

    let before = daemon.status();
    daemon.enable(appending(&daemon, "idle"));
    daemon.enable(appending(&daemon, "idle"));
    daemon.disable("idle").unwrap();
    daemon.enable(appending(&daemon, "idle"));
    daemon.destroy("idle").unwrap();
    daemon.enable(running);
    daemon.disable("running").unwrap();
    daemon.destroy("running").unwrap();
    let after = daemon.status();
    assert_eq!((after.runs_live, after.runs_total), (before.runs_live, before.runs_total));
    assert_eq!(after.runs_live, 1);
    assert_eq!(daemon.began("idle"), 0);
    assert!(procfs::alive(pid), "what runs was ended");
    // Two lines of `mark` would be two starts.
    assert_eq!(fs::read_to_string(&pid_file).unwrap().lines().count(), 1);
    daemon.stop();
    assert!(!procfs::alive(pid));
}

/// Disable and Destroy look at the name alone: a definition that has become invalid can still be removed.
fn what_is_sent_beside_the_name_changes_nothing() {
    Daemon::with(Options::default(), |daemon| {
        daemon.enable(whole());
        let odd = Executable { run_id: "no id".to_owned(), ..named("web", command("'")) };
        let mut change = daemon.change_client();
        daemon.block(change.disable(odd.clone())).unwrap();
        assert_eq!(daemon.disabled().unwrap(), [whole()]);
        daemon.block(change.destroy(odd)).unwrap();
        assert_eq!(daemon.registered(), []);
    });
}

/// Names of usual services, the longest name, the longest comment and a large argv come back.
fn usual_and_longest_definitions() {
    let mut daemon = Daemon::start(Options::default());
    let longest = "n".repeat(200);
    let large = vec!["x".repeat(1000); 1000];
    let mut wanted = Vec::new();
    for name in ["9", "_x", "a:b+c", "getty@tty1.service", longest.as_str()] {
        let words: Vec<String> =
            ["/bin/true".to_owned()].into_iter().chain(large.clone()).collect();
        let executable = commented(&"c".repeat(4096), named(name, argv(&words)));
        daemon.enable(executable.clone());
        daemon.disable(name).unwrap();
        wanted.push(executable);
    }
    daemon.restart();
    assert!(daemon.disabled().unwrap() == wanted, "what comes back is not what was registered");
    daemon.stop();
}

/// `aer` enables, lists, shows, disables and destroys.
fn aer_from_enable_to_destroy() {
    Daemon::with(Options::default(), |daemon| {
        let good = |arguments: &[&str]| {
            let output = daemon.aer(arguments);
            assert!(output.status.success(), "{arguments:?}: {}", output.err());
            output.out()
        };
        good(&["enable", "web", "--comment", "pages", "--", "/bin/echo", "a b"]);
        let executable = commented("pages", named("web", argv(&["/bin/echo", "a b"])));
        assert_eq!(daemon.enabled().unwrap(), std::slice::from_ref(&executable));
        let row = good(&["list"]).lines().last().unwrap().to_owned();
        for word in ["web", "enabled", "/bin/echo", "pages"] {
            assert!(row.contains(word), "{row}");
        }
        let file = daemon.path().join("web.toml");
        fs::write(&file, good(&["show", "web"])).unwrap();
        good(&["disable", "web"]);
        assert!(good(&["list", "--disabled"]).contains("web"));
        assert!(!good(&["list", "--enabled"]).contains("web"));
        good(&["enable", "-f", file.to_str().unwrap()]);
        assert_eq!(daemon.enabled().unwrap(), [executable]);
        good(&["destroy", "web"]);
        assert_eq!(daemon.registered(), []);
        let unknown = daemon.aer(&["destroy", "web"]);
        assert!(!unknown.status.success() && unknown.err().contains("web"), "{}", unknown.err());
    });
}

/// What `aer schedule export` prints, `aer schedule import` takes back: into another node, too; all of it or nothing.
fn aer_exports_and_imports() {
    let exported = tempfile::NamedTempFile::new().unwrap();
    let path = exported.path().to_str().unwrap();
    let mut registered = Vec::new();
    Daemon::with(Options::default(), |daemon| {
        daemon.enable(whole());
        daemon.enable(named("off", argv(&["/bin/echo", "a b", "", "\u{1b}[31m"])));
        daemon.disable("off").unwrap();
        let output = daemon.aer(&["schedule", "export"]);
        assert!(output.status.success(), "{}", output.err());
        fs::write(path, output.stdout).unwrap();
        registered = daemon.registered();
    });
    Daemon::with(Options::default(), |daemon| {
        let output = daemon.aer(&["schedule", "import", path]);
        assert!(output.status.success(), "{}", output.err());
        assert_eq!(daemon.registered(), registered);
        // meta.message is the daemon's to say, and no part of a unit's file.
        let mut bare = whole();
        bare.meta.as_mut().unwrap().message.clear();
        assert_eq!(daemon.enabled().unwrap(), [bare]);

        let broken = format!(
            "{}\n[[unit]]\nname = \"last\"\nenabled = true\ncommand = \"'\"\n",
            "[[unit]]\nname = \"first\"\nenabled = true\ncommand = \"/bin/true\"\n"
        );
        fs::write(path, broken).unwrap();
        let output = daemon.aer(&["schedule", "import", path]);
        assert!(!output.status.success());
        assert_eq!(daemon.registered(), registered, "nothing of it was registered");
    });
}
