//! What a unit's processes find around them, and what cannot be said.

use std::fs;

use api::runtime::{
    Executable, KillMode, Readiness, ResourceLimits, RestartPolicy, RestartWhen, StandardInput,
    StartStage, StopPolicy, UnitKind, UnitResult, UnitState, restart_request::What,
    standard_input::From,
};
use serde_json::Value;
use tests::{
    Daemon, Need, Options, argv, command, eventually,
    rpc::named,
    units::{failure, step, step_line},
};
use tonic::Code;

use crate::{Case, Core, cases, core_cases};

pub(crate) fn core() -> Vec<Core> {
    core_cases![variables, variable_files, working_directory_and_umask, standard_input]
}

pub(crate) fn cases() -> Vec<Case> {
    let mut all = cases![[];
        what_cannot_be_said_is_refused_by_field,
        what_only_units_say_is_refused_of_exec,
        exec_takes_the_settings_too,
    ];
    all.extend(
        cases![[Need::OtherUser]; niceness_of_an_ordinary_user, nobody_becomes_another_user],
    );
    all.extend(cases![[Need::Root]; niceness, a_unit_runs_as_its_user]);
    all
}

/// What the program of a unit reports of itself.
fn report(daemon: &Daemon, unit: Executable) -> Value {
    let name = unit.meta.as_ref().unwrap().name.clone();
    daemon.up(Executable { kind: UnitKind::Oneshot.into(), ..unit });
    let printed = daemon.unit_log(&name).stdout;
    let text = String::from_utf8(printed).unwrap();
    serde_json::from_str(text.lines().last().expect("it reported")).expect("one line of JSON")
}

fn variables_of(environment: &[&str]) -> Vec<String> {
    environment.iter().map(|&word| word.to_owned()).collect()
}

/// Variables are there, the later of two counts, they count over what every program gets, and command lines are
/// expanded by them; the run's id cannot be said.
fn variables(options: Options) {
    Daemon::with(options, |daemon| {
        let environment =
            variables_of(&["GREETING=a b", "TWICE=1", "TWICE=2", "HOME=/elsewhere", "AURAE_RUN=x"]);
        let unit = named("web", daemon.probe(&["report"]));
        let found = report(daemon, Executable { environment: environment.clone(), ..unit });
        let found = &found["environment"];
        assert_eq!(found["GREETING"], "a b");
        assert_eq!((&found["TWICE"], &found["HOME"]), (&"2".into(), &"/elsewhere".into()));
        assert_ne!(found["AURAE_RUN"], "x");
        assert!(found["PATH"].is_string());

        let echo = command("/bin/echo ${GREETING} $GREETING $UNSET end");
        let unit =
            Executable { environment, kind: UnitKind::Oneshot.into(), ..named("line", echo) };
        daemon.up(unit);
        let printed = daemon.unit_log("line").stdout;
        assert_eq!(String::from_utf8_lossy(&printed), "a b a b end\n");
    });
}

/// Files of variables count over the variables, later files over earlier ones; they are read at each start; one that
/// is missing fails the start by name unless it may be missing.
fn variable_files(options: Options) {
    Daemon::with(options, |daemon| {
        let (one, two) = (daemon.work("one.env"), daemon.work("two.env"));
        fs::write(&one, "# a comment\nA=one\nB='one b'\n").unwrap();
        fs::write(&two, "A=two\n").unwrap();
        let optional = format!("-{}", daemon.work("missing.env"));
        let unit = Executable {
            environment: variables_of(&["A=zero", "C=zero"]),
            environment_files: vec![optional, one.clone(), two.clone()],
            ..named("web", daemon.probe(&["report"]))
        };
        let found = report(daemon, unit.clone());
        let found = &found["environment"];
        assert_eq!((&found["A"], &found["B"]), (&"two".into(), &"one b".into()));
        assert_eq!(found["C"], "zero");
        fs::write(&two, "A=three\n").unwrap();
        assert_eq!(report(daemon, unit.clone())["environment"]["A"], "three");

        fs::remove_file(&two).unwrap();
        let refused =
            daemon.try_up(Executable { kind: UnitKind::Oneshot.into(), ..unit }).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains(&two), "{refused}");
        let view = daemon.unit("web");
        assert_eq!((view.state(), view.result()), (UnitState::Failed, UnitResult::Resources));
        let failure = failure(&view.last_exit.unwrap()).unwrap();
        assert_eq!((failure.stage(), failure.error_number), (StartStage::Environment, 2));
    });
}

/// The folder and the mask are the unit's; a folder that is missing fails the start with CHDIR, 200.
fn working_directory_and_umask(options: Options) {
    Daemon::with(options, |daemon| {
        let folder = daemon.work("folder");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let unit = named("web", daemon.probe(&["report"]));
        let usual = report(daemon, unit.clone());
        assert_eq!((&usual["directory"], &usual["umask"]), (&"/".into(), &"0022".into()));
        let unit = Executable { working_directory: folder.clone(), umask: Some(0o27), ..unit };
        let found = report(daemon, unit.clone());
        assert_eq!(found["directory"], folder.as_str());
        assert_eq!(found["umask"], "0027");

        fs::remove_dir(&folder).unwrap();
        let refused = daemon.try_up(unit).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains(&folder), "{refused}");
        let failure = failure(&daemon.unit("web").last_exit.unwrap()).unwrap();
        assert_eq!((failure.stage(), failure.error_number), (StartStage::Chdir, 2));
        assert_eq!(i32::from(failure.stage()), 200);
    });
}

/// Standard input: nothing, bytes, or a file; a file that is missing fails the start with STDIN, 208.
fn standard_input(options: Options) {
    Daemon::with(options, |daemon| {
        let input = |from| Some(StandardInput { from: Some(from) });
        let file = daemon.work("input");
        fs::write(&file, "from a file\n").unwrap();
        let large = vec![b'x'; 1 << 20];
        let table = [
            ("null", None, Vec::new()),
            ("data", input(From::Data(b"from \0 bytes".to_vec())), b"from \0 bytes".to_vec()),
            ("large", input(From::Data(large.clone())), large),
            ("file", input(From::File(file)), b"from a file\n".to_vec()),
        ];
        for (name, stdin, wanted) in table {
            let cat = named(name, argv(&["/bin/cat"]));
            daemon.up(Executable { stdin, kind: UnitKind::Oneshot.into(), ..cat });
            assert!(daemon.unit_log(name).stdout == wanted, "{name}");
        }
        let stdin = input(From::File("/nonexistent/input".to_owned()));
        let cat = Executable { stdin, ..named("missing", argv(&["/bin/cat"])) };
        let refused = daemon.try_up(cat).unwrap_err();
        assert!(refused.message().contains("/nonexistent/input"), "{refused}");
        let failure = failure(&daemon.unit("missing").last_exit.unwrap()).unwrap();
        assert_eq!((failure.stage(), failure.error_number), (StartStage::Stdin, 2));
    });
}

/// The priority is the unit's.
fn niceness() {
    Daemon::with(Options::default(), |daemon| {
        for nice in [-5, 0, 10, 19] {
            let unit = named("web", daemon.probe(&["report"]));
            assert_eq!(report(daemon, Executable { nice: Some(nice), ..unit })["nice"], nice);
        }
    });
}

/// One that an ordinary user may not have fails the start with NICE, 201.
fn niceness_of_an_ordinary_user() {
    Daemon::with(Options::default().user(65534), |daemon| {
        let unit = named("web", daemon.probe(&["pause"]));
        let refused = daemon.try_up(Executable { nice: Some(-5), ..unit.clone() }).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        assert!(refused.message().contains("-5"), "{refused}");
        let failure = failure(&daemon.unit("web").last_exit.unwrap()).unwrap();
        assert_eq!(i32::from(failure.stage()), 201);
        assert!(matches!(failure.error_number, 1 | 13), "{failure:?}");
        daemon.up(Executable { nice: Some(5), ..unit });
    });
}

/// A definition that has a field which cannot be as it is, and that field.
type Odd = (&'static str, Executable);

fn words(word: &str) -> Vec<String> {
    vec![word.to_owned()]
}

fn odd_settings() -> Vec<Odd> {
    let own = Executable::default;
    let none = ResourceLimits::default;
    let limits = |limits| Executable { limits: Some(limits), ..own() };
    let stdin = StandardInput { from: Some(From::File("relative".to_owned())) };
    vec![
        ("environment", Executable { environment: words("NO-ASSIGNMENT"), ..own() }),
        ("environment", Executable { environment: words("1A=x"), ..own() }),
        ("environment_files", Executable { environment_files: words("relative"), ..own() }),
        ("working_directory", Executable { working_directory: "relative".to_owned(), ..own() }),
        ("umask", Executable { umask: Some(0o1000), ..own() }),
        ("nice", Executable { nice: Some(20), ..own() }),
        ("nice", Executable { nice: Some(-21), ..own() }),
        ("stdin", Executable { stdin: Some(stdin), ..own() }),
        ("limits.cpu_weight", limits(ResourceLimits { cpu_weight: Some(0), ..none() })),
        ("limits.memory_max_bytes", limits(ResourceLimits { memory_max_bytes: Some(0), ..none() })),
        ("limits.pids_max", limits(ResourceLimits { pids_max: Some(0), ..none() })),
    ]
}

fn odd_commands_and_times() -> Vec<Odd> {
    let own = Executable::default;
    let stop = |policy| Executable { stop: Some(policy), ..own() };
    vec![
        ("kind", Executable { kind: 7, ..own() }),
        ("run_id", Executable { run_id: tests::rpc::fresh_id(), ..own() }),
        ("before", Executable { before: vec![step_line("'")], ..own() }),
        ("after", Executable { after: vec![step(&["relative/x"])], ..own() }),
        ("on_stop", Executable { on_stop: vec![api::runtime::Step::default()], ..own() }),
        ("on_reload", Executable { on_reload: vec![step_line("")], ..own() }),
        ("stop.signal", stop(StopPolicy { signal: 65, ..StopPolicy::default() })),
        ("stop.kill_mode", stop(StopPolicy { kill_mode: 9, ..StopPolicy::default() })),
        ("readiness", Executable { readiness: 9, ..own() }),
        ("run_limit_ms", Executable { run_limit_ms: u64::MAX, ..own() }),
        ("start_timeout_ms", Executable { start_timeout_ms: Some(u64::MAX), ..own() }),
        ("success", Executable { success: words("nonsense"), ..own() }),
    ]
}

fn odd_restarts() -> Vec<Odd> {
    let policy = RestartPolicy::default;
    let growing = |delay: u64| RestartPolicy {
        delay_ms: Some(delay),
        max_delay_ms: Some(5),
        steps: 2,
        ..policy()
    };
    let odd = vec![
        ("restart.when", RestartPolicy { when: 9, ..policy() }),
        ("restart.delay_ms", growing(0)),
        ("restart.max_delay_ms", growing(50)),
        ("restart.max_delay_ms", RestartPolicy { steps: 2, ..policy() }),
        ("restart.steps", RestartPolicy { max_delay_ms: Some(500), ..policy() }),
        ("restart.start_interval_ms", RestartPolicy { start_interval_ms: Some(0), ..policy() }),
        ("restart.prevent", RestartPolicy { prevent: words("256"), ..policy() }),
        ("restart.force", RestartPolicy { force: words("SIGNONE"), ..policy() }),
    ];
    let whole = |policy| Executable { restart: Some(policy), ..Executable::default() };
    odd.into_iter().map(|(field, policy)| (field, whole(policy))).collect()
}

fn contradictions() -> Vec<Odd> {
    let own = Executable::default;
    let oneshot = || Executable { kind: UnitKind::Oneshot.into(), ..own() };
    let always = RestartPolicy { when: RestartWhen::Always.into(), ..RestartPolicy::default() };
    vec![
        ("remain_after_exit", Executable { remain_after_exit: true, ..own() }),
        ("restart.when", Executable { restart: Some(always), ..oneshot() }),
        ("readiness", Executable { readiness: Readiness::Notify.into(), ..oneshot() }),
        ("run_limit_ms", Executable { run_limit_ms: 1, ..oneshot() }),
        ("on_reload", Executable { on_reload: vec![step(&["/bin/true"])], ..oneshot() }),
    ]
}

/// Each field that cannot be as it is, and each two that contradict one another, is INVALID_ARGUMENT by its name, and
/// nothing is known of the unit after it. Enable refuses the same.
fn what_cannot_be_said_is_refused_by_field() {
    Daemon::with(Options::default(), |daemon| {
        let all = [odd_settings(), odd_commands_and_times(), odd_restarts(), contradictions()];
        for (field, definition) in all.into_iter().flatten() {
            let unit = Executable { argv: words("/bin/true"), ..named("web", definition) };
            let start = daemon.try_up(unit.clone()).map(drop);
            let restart = daemon.order_restart(What::Executable(unit.clone())).map(drop);
            for refused in [start, restart, daemon.try_enable(unit).map(drop)] {
                let refused = refused.expect_err(field);
                assert_eq!(refused.code(), Code::InvalidArgument, "{field}: {refused}");
                assert!(refused.message().starts_with(field), "{field}: {refused}");
            }
        }
        assert_eq!(daemon.units(false), []);
        assert_eq!(daemon.registered(), []);
    });
}

/// What only a unit can be said of is refused of Exec and Run, by its name.
fn what_only_units_say_is_refused_of_exec() {
    let own = Executable::default;
    let table = [
        ("kind", Executable { kind: UnitKind::Oneshot.into(), ..own() }),
        ("remain_after_exit", Executable { remain_after_exit: true, ..own() }),
        ("before", Executable { before: vec![step(&["/bin/true"])], ..own() }),
        ("after", Executable { after: vec![step(&["/bin/true"])], ..own() }),
        ("on_stop", Executable { on_stop: vec![step(&["/bin/true"])], ..own() }),
        ("on_reload", Executable { on_reload: vec![step(&["/bin/true"])], ..own() }),
        ("restart", Executable { restart: Some(RestartPolicy::default()), ..own() }),
        (
            "stop",
            Executable {
                stop: Some(StopPolicy {
                    kill_mode: KillMode::Mixed.into(),
                    ..StopPolicy::default()
                }),
                ..own()
            },
        ),
        ("start_timeout_ms", Executable { start_timeout_ms: Some(1), ..own() }),
        ("run_limit_ms", Executable { run_limit_ms: 1, ..own() }),
        ("readiness", Executable { readiness: Readiness::Notify.into(), ..own() }),
        ("success", Executable { success: vec!["1".to_owned()], ..own() }),
    ];
    Daemon::with(Options::default(), |daemon| {
        for (field, definition) in table {
            let executable = Executable { argv: vec!["/bin/true".to_owned()], ..definition };
            let run = daemon.try_run(executable.clone()).map(drop);
            for refused in [daemon.exec(executable).map(drop), run] {
                let refused = refused.expect_err(field);
                assert_eq!(refused.code(), Code::InvalidArgument, "{field}: {refused}");
                assert!(refused.message().starts_with(field), "{field}: {refused}");
            }
        }
        assert_eq!(daemon.status().runs_total, 0);
    });
}

/// Exec takes environment, files, folder, mask and input as a unit does.
fn exec_takes_the_settings_too() {
    Daemon::with(Options::default(), |daemon| {
        let file = daemon.work("env");
        fs::write(&file, "B=2\n").unwrap();
        let executable = Executable {
            environment: variables_of(&["A=1"]),
            environment_files: vec![file],
            working_directory: "/usr".to_owned(),
            umask: Some(0o77),
            stdin: Some(StandardInput { from: Some(From::Data(b"in".to_vec())) }),
            ..argv(&["/bin/sh", "-c", "echo $A $B; pwd; umask; cat"])
        };
        let answer = daemon.answer(executable);
        assert_eq!(answer.stdout, "1 2\n/usr\n0077\nin");
        eventually("nothing is left", || daemon.status().runs_live == 0);
    });
}

/// With its groups and its environment, whatever its commands are; the daemon and all others stay who they are.
fn a_unit_runs_as_its_user() {
    Daemon::with(Options::default(), |daemon| {
        let script = "id -u; id -g; echo $USER $HOME; exec sleep 600";
        let words = argv(&["/bin/sh", "-c", script]);
        let user = "65533".to_owned();
        daemon.up(Executable { user: user.clone(), ..named("other", words.clone()) });
        daemon.until_logged("other", "65533\n65533\n65533 /\n");
        daemon.up(Executable { user: "root".to_owned(), ..named("own", words.clone()) });
        daemon.until_logged("own", "0\n0\nroot /root\n");
        // It is stopped as any other, also by the next daemon.
        daemon.replace();
        daemon.down("other");
        let nobody = Executable { user: "no-such-user".to_owned(), ..named("none", words.clone()) };
        let said = daemon.try_up(nobody).unwrap_err();
        assert!(said.message().contains("no-such-user"), "{said}");
        let exit = daemon.unit("none").last_exit.unwrap_or_default();
        assert_eq!(failure(&exit).unwrap_or_default().stage(), StartStage::User);
        let said =
            daemon.try_up(Executable { user: "a:b".to_owned(), ..named("x", words) }).unwrap_err();
        assert_eq!(said.code(), Code::InvalidArgument, "{said}");
    });
}

/// Only root's daemon can.
fn nobody_becomes_another_user() {
    Daemon::with(Options::default().user(65534), |daemon| {
        let words = argv(&["/bin/sleep", "600"]);
        daemon.up(Executable { user: "65534".to_owned(), ..named("own", words.clone()) });
        let other = Executable { user: "root".to_owned(), ..named("other", words) };
        let said = daemon.try_up(other).unwrap_err();
        assert!(said.message().contains("only root's can"), "{said}");
    });
}
