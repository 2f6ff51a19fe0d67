//! What the schedule refuses.

use api::runtime::Executable;
use tests::{
    Daemon, Options, argv, command, eventually,
    rpc::{fresh_id, identified, named},
    schedule::{commented, only_name},
};
use tonic::{Code, Status};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        odd_names,
        odd_definitions,
        odd_imports,
        unknown_names,
        a_registered_name_is_taken,
        a_selection_that_is_none,
        refusals_change_nothing,
    ]
}

/// Asserts the code and that the message has these words, and no more of the input than anybody wants to read.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, words: &[&str]) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    for word in words {
        assert!(status.message().contains(word), "{word:?} is not in {:?}", status.message());
    }
    assert!(status.message().len() < 2000, "a message repeats no huge input");
    assert!(!status.message().contains('\u{1b}'), "{:?}", status.message());
}

/// Empty, path-like, huge and control-character names are INVALID_ARGUMENT, by the field, in every call.
fn odd_names() {
    Daemon::with(Options::default(), |daemon| {
        let (long, huge) = ("n".repeat(300), "n".repeat(1 << 20));
        let longer_by_one = "n".repeat(201);
        let names = [
            "",
            "../x",
            "a/b",
            "/",
            ".",
            "..",
            ".hidden",
            "-x",
            "a b",
            " ",
            "a\n",
            "\r",
            "a\0b",
            "\u{1b}[31m",
            "ä",
            "\u{202e}x",
            &long,
            &huge,
            &longer_by_one,
        ];
        for name in names {
            let executable = named(name, argv(&["/bin/true"]));
            refused(daemon.try_enable(executable), Code::InvalidArgument, &["meta.name"]);
            refused(daemon.disable(name), Code::InvalidArgument, &["meta.name"]);
            refused(daemon.destroy(name), Code::InvalidArgument, &["meta.name"]);
            refused(daemon.show(name), Code::InvalidArgument, &["meta.name"]);
        }
        // None at all is as an empty one.
        let nameless = Executable { meta: None, ..argv(&["/bin/true"]) };
        refused(daemon.try_enable(nameless), Code::InvalidArgument, &["meta.name"]);
        assert_eq!(daemon.registered(), []);
    });
}

/// What could never start is INVALID_ARGUMENT at once, by the field, and by the column where there is one.
fn odd_definitions() {
    Daemon::with(Options::default(), |daemon| {
        let both = Executable { command: "/bin/true".to_owned(), ..argv(&["/bin/true"]) };
        let with_id = identified(&fresh_id(), argv(&["/bin/true"]));
        let cases: [(Executable, &[&str]); 14] = [
            (with_id, &["run_id"]),
            (identified("no id", argv(&["/bin/true"])), &["run_id"]),
            (both, &["argv"]),
            (Executable::default(), &["command"]),
            (argv(&[""]), &["argv"]),
            (argv(&["./relative"]), &["argv", "relative"]),
            (argv(&["/bin/echo", "a\0b"]), &["argv"]),
            (command("   "), &["command"]),
            (command("/bin/echo 'a"), &["command", "column", "11"]),
            (command("/bin/echo \"a"), &["command", "column", "11"]),
            (command("/bin/echo 'a'b"), &["command", "column"]),
            (command("/bin/echo \u{1}"), &["command", "column"]),
            (commented("a\0b", argv(&["/bin/true"])), &["comment", "NUL"]),
            (commented(&"c".repeat(4097), argv(&["/bin/true"])), &["comment", "4097", "4096"]),
        ];
        for (executable, words) in cases {
            refused(daemon.try_enable(named("web", executable)), Code::InvalidArgument, words);
        }
        assert_eq!(daemon.registered(), []);
    });
}

/// An import that has anything wrong registers nothing of it: an odd definition, a name twice, no status.
fn odd_imports() {
    use api::{meta::Status as State, schedule::Registration};

    Daemon::with(Options::default(), |daemon| {
        let registration = |name: &str, executable: Executable, status: State| Registration {
            executable: Some(named(name, executable)),
            status: status.into(),
            ..Registration::default()
        };
        let fine = || registration("fine", argv(&["/bin/true"]), State::Standby);
        let import = |all: Vec<Registration>| {
            let mut client = daemon.change_client();
            daemon.block(client.import(tokio_stream::iter(all)))
        };
        let cases: [(Registration, &[&str]); 5] = [
            (registration("web", command("'"), State::Standby), &["command"]),
            (registration("a/b", argv(&["/bin/true"]), State::Standby), &["meta.name"]),
            (registration("web", argv(&["/bin/true"]), State::Active), &["status"]),
            (fine(), &["meta.name", "fine", "twice"]),
            (
                Registration { status: State::Standby.into(), ..Registration::default() },
                &["meta.name"],
            ),
        ];
        for (odd, words) in cases {
            refused(import(vec![fine(), odd]), Code::InvalidArgument, words);
            assert_eq!(daemon.registered(), []);
        }
        let answer = import(vec![fine()]).unwrap().into_inner();
        assert_eq!((answer.enabled, answer.disabled), (1, 0));
    });
}

/// What is not registered is NOT_FOUND, by name, in every call that needs it.
fn unknown_names() {
    Daemon::with(Options::default(), |daemon| {
        daemon.enable(named("web", argv(&["/bin/true"])));
        for name in ["nobody", "we", "web2", "WEB"] {
            refused(daemon.disable(name), Code::NotFound, &[name]);
            refused(daemon.destroy(name), Code::NotFound, &[name]);
            refused(daemon.show(name), Code::NotFound, &[name]);
        }
        daemon.destroy("web").unwrap();
        refused(daemon.destroy("web"), Code::NotFound, &["web"]);
        // Known to the logs is not registered.
        daemon.answer(named("ran", argv(&["/bin/true"])));
        refused(daemon.show("ran"), Code::NotFound, &["ran"]);
    });
}

/// Exec and Run under a registered name, enabled or disabled, are ALREADY_EXISTS and execute nothing; a destroyed
/// name is free at once.
fn a_registered_name_is_taken() {
    Daemon::with(Options::default(), |daemon| {
        let mark = daemon.work("mark");
        let executable = || named("web", daemon.probe(&["mark", &mark]));
        daemon.enable(named("web", argv(&["/bin/true"])));
        for disabled in [false, true] {
            if disabled {
                daemon.disable("web").unwrap();
            }
            refused(daemon.exec(executable()), Code::AlreadyExists, &["web", "registered"]);
            let run = daemon.try_run(executable()).map(|run| run.started.clone());
            refused(run, Code::AlreadyExists, &["web", "registered"]);
        }
        assert!(!std::path::Path::new(&mark).exists(), "it was executed");
        daemon.destroy("web").unwrap();
        assert_eq!(daemon.answer(executable()).exit_code, "0");
        // What runs already is not in the way of registering its name, and goes on.
        let run = daemon.run(named("other", daemon.probe(&["pause"])));
        daemon.enable(named("other", argv(&["/bin/true"])));
        assert_eq!(daemon.status().runs_live, 1);
        drop(run);
        eventually("a dropped run is not live", || daemon.status().runs_live == 0);
    });
}

/// A selection out of range is INVALID_ARGUMENT.
fn a_selection_that_is_none() {
    Daemon::with(Options::default(), |daemon| {
        for selection in [3, -1, i32::MAX, i32::MIN] {
            let words = ["selection".to_owned(), selection.to_string()];
            let words = words.each_ref().map(String::as_str);
            refused(daemon.try_list(selection), Code::InvalidArgument, &words);
        }
    });
}

/// After all that was refused what was registered is as it was, and the node is healthy.
fn refusals_change_nothing() {
    Daemon::with(Options::default(), |daemon| {
        daemon.enable(commented("first", named("web", argv(&["/bin/true"]))));
        let before = daemon.show("web").unwrap();
        for _ in 0..10 {
            let _ = daemon.try_enable(named("web", command("'"))).unwrap_err();
            let _ = daemon.try_enable(only_name("web")).unwrap_err();
            let _ = daemon.disable("nobody").unwrap_err();
        }
        assert_eq!(daemon.show("web").unwrap(), before);
        let status = daemon.status();
        assert!(status.healthy, "{:?}", status.problems);
        assert_eq!(status.runs_total, 0);
    });
}
