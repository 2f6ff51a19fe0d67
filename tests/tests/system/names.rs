//! What a client may send: names, ids, words, sizes.

use api::runtime::Executable;
use tests::{
    Daemon, Options, argv, command,
    rpc::{identified, named},
};
use tonic::Code;

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[]; odd_names_are_refused, usual_names_are_accepted, odd_commands_are_refused, odd_run_ids_are_refused, over_the_size_limits, errors_change_nothing]
}

fn refused(daemon: &Daemon, executable: Executable, code: Code, words: &[&str]) {
    let shown: String = format!("{executable:?}").chars().take(300).collect();
    let exec = daemon.exec(executable.clone()).expect_err(&shown);
    assert_eq!(exec.code(), code, "Exec {shown}: {exec}");
    for word in words {
        assert!(exec.message().contains(word), "Exec {shown}: {word:?} is not in {exec}");
    }
    assert!(exec.message().len() < 2000, "a message repeats no huge input");
    let run = daemon.try_run(executable).expect_err(&shown);
    assert_eq!(run.code(), code, "Run {shown}: {run}");
}

/// Huge, path-like and control-character names are INVALID_ARGUMENT, by the field's name.
fn odd_names_are_refused() {
    Daemon::with(Options::default(), |daemon| {
        let huge = "n".repeat(300);
        let megabyte = "n".repeat(1 << 20);
        let names = [
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
            "a\0b",
            "\u{1b}[31m",
            "ä",
            "\u{202e}x",
            huge.as_str(),
            megabyte.as_str(),
        ];
        for name in names {
            refused(daemon, named(name, argv(&["/bin/true"])), Code::InvalidArgument, &["name"]);
        }
    });
}

/// Names of usual services are names.
fn usual_names_are_accepted() {
    Daemon::with(Options::default(), |daemon| {
        let longest = "n".repeat(200);
        for name in ["a", "web-1", "getty@tty1.service", "_x", "9", "a:b+c", longest.as_str()] {
            let answer = daemon.answer(named(name, argv(&["/bin/true"])));
            assert_eq!(
                (answer.exit_code.as_str(), answer.meta.unwrap().name.as_str()),
                ("0", name)
            );
        }
    });
}

/// What is no command is INVALID_ARGUMENT, by the field's name, and by the column where there is one.
fn odd_commands_are_refused() {
    Daemon::with(Options::default(), |daemon| {
        let both = Executable { command: "/bin/true".to_owned(), ..argv(&["/bin/true"]) };
        let cases = [
            (Executable::default(), "command"),
            (both, "argv"),
            (argv(&[""]), "argv"),
            (argv(&["/bin/echo", "a\0b"]), "argv"),
            (argv(&["./relative"]), "argv"),
            (command("   "), "command"),
            (command("/bin/echo 'a"), "command"),
            (command("/bin/echo \"a"), "command"),
            (command("/bin/echo 'a'b"), "command"),
            (command("/bin/echo a ; /bin/echo b"), "command"),
            (command("; /bin/true"), "command"),
            (command("/bin/echo \u{1}"), "command"),
            (command("${HOME} x"), "command"),
            (command("a/b"), "command"),
            (command("@/bin/true"), "command"),
        ];
        for (executable, field) in cases {
            refused(daemon, executable, Code::InvalidArgument, &[field]);
        }
        refused(daemon, command("/bin/echo 'a"), Code::InvalidArgument, &["column", "11"]);
    });
}

/// A run id that is no UUID is INVALID_ARGUMENT.
fn odd_run_ids_are_refused() {
    Daemon::with(Options::default(), |daemon| {
        for id in ["x", "../../etc", "67e55044-10b1-426f-9247-bb680e5fe0c", &"0".repeat(100_000)] {
            refused(
                daemon,
                identified(id, argv(&["/bin/true"])),
                Code::InvalidArgument,
                &["run_id"],
            );
        }
    });
}

/// A request over the size limit is refused, and one whose words the kernel does not take is answered.
fn over_the_size_limits() {
    Daemon::with(Options::default(), |daemon| {
        let huge = "x".repeat(8 << 20);
        let error = daemon.exec(argv(&["/bin/echo", &huge])).unwrap_err();
        let codes = [Code::OutOfRange, Code::ResourceExhausted, Code::InvalidArgument];
        assert!(codes.contains(&error.code()), "{error}");
        // One word may have 128 KiB; E2BIG is 7.
        let long = "x".repeat(200_000);
        match daemon.exec(argv(&["/bin/echo", &long])) {
            Ok(answer) => {
                assert_eq!(answer.status(), api::meta::Status::Error, "{:?}", answer.exit);
                assert!(answer.meta.unwrap().message.len() < 2000);
            }
            Err(error) => assert!(codes.contains(&error.code()), "{error}"),
        }
        let many = vec!["x"; 100_000];
        let error = daemon.exec(argv(&many));
        assert!(error.is_err() || error.unwrap().status() == api::meta::Status::Error);
        assert_eq!(daemon.answer(argv(&["/bin/true"])).exit_code, "0", "the daemon goes on");
    });
}

/// After all that was refused, nothing lives, nothing was run, nothing is unhealthy.
fn errors_change_nothing() {
    Daemon::with(Options::default(), |daemon| {
        let before = daemon.status();
        for _ in 0..20 {
            let _ = daemon.exec(named("a/b", argv(&["/bin/true"])));
            let _ = daemon.exec(command("'"));
        }
        let after = daemon.status();
        assert_eq!((after.runs_live, after.runs_total), (before.runs_live, before.runs_total));
        assert!(after.healthy, "{:?}", after.problems);
    });
}
