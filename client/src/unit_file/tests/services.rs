//! The keys that make a unit a service.

use api::runtime::{
    KillMode, Readiness, ResourceLimits, RestartPolicy, RestartWhen, StandardInput, Step,
    StopPolicy, UnitKind, standard_input::From,
};
use proptest::{collection::vec, option};

use super::*;

/// A unit with every key, one to a line as they are written.
const EVERYTHING: &str = r#"name = "web"
comment = "c"
kind = "oneshot"
remain_after_exit = true
command = "nginx -g 'daemon off;'"
before = ["-mkdir /run/web", ["nginx", "-t"]]
after = ["true"]
on_stop = ["nginx -s quit"]
on_reload = ["nginx -s reload"]
environment = ["A=1", "B= x"]
environment_files = ["-/etc/default/web"]
working_directory = "/srv"
umask = "0027"
nice = -5
stdin = { file = "/etc/hosts" }
readiness = "notify"
start_timeout = "1min 30s"
run_limit = "1d"
success = ["3", "SIGUSR1"]

[restart]
when = "on-failure"
delay = "100ms"
max_delay = "32s"
steps = 5
jitter = "1s"
reset_after = "10s"
start_limit = 5
start_interval = "10s"
prevent = ["SIGSYS"]
force = ["7"]

[stop]
signal = "SIGQUIT"
timeout = "infinity"
kill_mode = "mixed"
final_kill = false

[limits]
cpu_weight = 50
cpu_quota = "150%"
memory_max = "512M"
memory_high = "1500"
pids_max = 64
"#;

fn line(command: &str) -> Step {
    Step { command: command.into(), argv: Vec::new() }
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

fn everything() -> Executable {
    let check = Step { command: String::new(), argv: texts(&["nginx", "-t"]) };
    Executable {
        comment: "c".into(),
        kind: UnitKind::Oneshot.into(),
        remain_after_exit: true,
        environment: texts(&["A=1", "B= x"]),
        environment_files: texts(&["-/etc/default/web"]),
        working_directory: "/srv".into(),
        umask: Some(0o27),
        nice: Some(-5),
        stdin: Some(StandardInput { from: Some(From::File("/etc/hosts".into())) }),
        before: vec![line("-mkdir /run/web"), check],
        after: vec![line("true")],
        on_stop: vec![line("nginx -s quit")],
        on_reload: vec![line("nginx -s reload")],
        restart: Some(RestartPolicy {
            when: RestartWhen::OnFailure.into(),
            delay_ms: Some(100),
            max_delay_ms: Some(32_000),
            steps: 5,
            jitter_ms: 1_000,
            reset_after_ms: Some(10_000),
            start_limit: Some(5),
            start_interval_ms: Some(10_000),
            prevent: texts(&["SIGSYS"]),
            force: texts(&["7"]),
        }),
        stop: Some(StopPolicy {
            signal: 3,
            timeout_ms: Some(0),
            kill_mode: KillMode::Mixed.into(),
            final_kill: Some(false),
        }),
        start_timeout_ms: Some(90_000),
        run_limit_ms: 86_400_000,
        readiness: Readiness::Notify.into(),
        limits: Some(ResourceLimits {
            cpu_weight: Some(50),
            cpu_quota_percent: Some(150),
            memory_max_bytes: Some(512 << 20),
            memory_high_bytes: Some(1500),
            pids_max: Some(64),
        }),
        success: texts(&["3", "SIGUSR1"]),
        ..unit("web", "nginx -g 'daemon off;'", &[])
    }
}

#[test]
fn every_key_is_read_and_written() {
    assert_eq!(read_unit(EVERYTHING.as_bytes()).unwrap(), everything());
    assert_eq!(write_unit(&everything()).unwrap(), EVERYTHING);
}

#[test]
fn the_tables_of_a_unit_among_many_are_below_it() {
    let first = write_registration(&registration(everything(), Status::Standby)).unwrap();
    for table in ["\n[unit.restart]\n", "\n[unit.stop]\n", "\n[unit.limits]\n"] {
        assert!(first.contains(table), "{first}");
    }
    let second = write_registration(&registration(unit("b", "x", &[]), Status::Passive)).unwrap();
    let both = read_units(format!("{first}{second}").as_bytes()).unwrap();
    let wanted = [
        registration(everything(), Status::Standby),
        registration(unit("b", "x", &[]), Status::Passive),
    ];
    assert_eq!(both, wanted);
}

#[test]
fn what_may_be_written_in_two_ways_means_the_same() {
    for (this, other) in [
        ("start_timeout = 90", "start_timeout = '1min 30s'"),
        ("environment = { A = '1', B = 'x y' }", "environment = ['A=1', 'B=x y']"),
        ("success = [3, 'USR1']", "success = ['3', 'USR1']"),
        ("stdin = { data = 'ä' }", "stdin = { data_base64 = 'w6Q=' }"),
        ("kind = 'service'", ""),
        ("stop = { signal = 15 }", "[stop]\nsignal = 'term'"),
        ("limits = { memory_max = 1048576 }", "[limits]\nmemory_max = '1M'"),
    ] {
        let read = |keys: &str| read_unit(format!("name='a'\ncommand='x'\n{keys}").as_bytes());
        assert_eq!(read(this).unwrap(), read(other).unwrap(), "{this}");
    }
}

#[test]
fn faults_of_values_name_line_column_and_key() {
    for (keys, wanted) in [
        ("kind = 'daemon'", "line 3, column 8, key kind: \"daemon\" is no kind of unit; write one"),
        ("umask = 22", "line 3, column 9, key umask: invalid value: integer `22`, expected a mask"),
        (
            "umask = '99'",
            "line 3, column 9, key umask: \"99\" is no mask of permissions; write oct",
        ),
        ("nice = '5'", "line 3, column 8, key nice: invalid type: string \"5\""),
        ("start_timeout = '5x'", "line 3, column 17, key start_timeout: \"5x\" is no bound; write"),
        ("start_timeout = 0", "line 3, column 17, key start_timeout: invalid value: integer `0`"),
        ("before = ['']", "line 3, column 11, key before: a command is empty; write a program"),
        ("before = [[]]", "line 3, column 11, key before: a command is empty; write a program"),
        ("before = 'x'", "line 3, column 10, key before: invalid type: string \"x\""),
        (
            "environment = 'A=b'",
            "line 3, column 15, key environment: invalid type: string \"A=b\", expected variables",
        ),
        (
            "stdin = 'nul'",
            "line 3, column 9, key stdin: invalid value: string \"nul\", expected \"null\"",
        ),
        ("stdin = {}", "line 3, column 9, key stdin: write one of file, data and data_base64"),
        ("stdin = { data_base64 = '!' }", "line 3, column 9, key stdin: data_base64 is no base64"),
        ("success = [256]", "line 3, column 12, key success: invalid value: integer `256`"),
        (
            "success = ['x']",
            "line 3, column 12, key success: \"x\" is no end of a program; write a",
        ),
        (
            "restart = 'always'",
            "line 3, column 11, key restart: invalid type: string \"always\", expected a table, [restart]",
        ),
        (
            "[restart]\nwhen = 'allways'",
            "line 4, column 8, key restart.when: \"allways\" is no rest",
        ),
        ("[restart]\ndelay = 'soon'", "line 4, column 9, key restart.delay: \"soon\" is no time"),
        (
            "[restart]\ndealy = '1s'",
            "line 4, column 1, key restart.dealy: unknown field `dealy`, ex",
        ),
        (
            "[stop]\nsignal = 'SIGBANANA'",
            "line 4, column 10, key stop.signal: \"SIGBANANA\" is no s",
        ),
        ("[stop]\nsignal = 65", "line 4, column 10, key stop.signal: invalid value: integer `65`"),
        (
            "[limits]\nmemory_max = '1,5G'",
            "line 4, column 14, key limits.memory_max: \"1,5G\" is no",
        ),
        (
            "[limits]\ncpu_quota = 150",
            "line 4, column 13, key limits.cpu_quota: invalid value: inte",
        ),
        ("[limits]\npids_max = -1", "line 4, column 12, key limits.pids_max: invalid value: integ"),
    ] {
        let content = format!("name = 'a'\ncommand = 'x'\n{keys}\n");
        let error = read_unit(content.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{keys}: {error}");
    }
}

#[test]
fn values_of_a_newer_daemon_are_not_written_as_something_else() {
    let web = || unit("a", "x", &[]);
    let pids = Some(ResourceLimits { pids_max: Some(u64::MAX), ..ResourceLimits::default() });
    let stop = |signal| Some(StopPolicy { signal, ..StopPolicy::default() });
    for (unit, key) in [
        (Executable { kind: 9, ..web() }, "kind"),
        (Executable { readiness: 9, ..web() }, "readiness"),
        (Executable { umask: Some(0o1000), ..web() }, "umask"),
        (Executable { success: texts(&["x"]), ..web() }, "success"),
        (Executable { before: vec![Step::default()], ..web() }, "before"),
        (Executable { limits: pids, ..web() }, "pids_max"),
        (Executable { stop: stop(65), ..web() }, "signal"),
        (Executable { stop: stop(-1), ..web() }, "signal"),
    ] {
        let error = write_unit(&unit).unwrap_err();
        assert!(matches!(&error, Unwritable::Value { key: named, .. } if *named == key), "{error}");
    }
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[\"'\\\\\\x00-\\x1f\\x7f-\\x9f#=🦀\u{2028} \\[\\]]{0,20}"]
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let command = any_text().prop_filter("nothing", |text| !text.is_empty());
    let step = prop_oneof![
        command.prop_map(|command| Step { command, argv: Vec::new() }),
        vec(any_text(), 1..4).prop_map(|argv| Step { command: String::new(), argv }),
    ];
    vec(step, 0..3)
}

fn any_exits() -> impl Strategy<Value = Vec<String>> {
    vec(prop_oneof![any::<u8>().prop_map(|status| status.to_string()), "(SIG)?(TERM|RTMIN)"], 0..3)
}

fn any_restart() -> impl Strategy<Value = RestartPolicy> {
    let times = (
        option::of(any::<u64>()),
        option::of(any::<u64>()),
        any::<u64>(),
        option::of(any::<u64>()),
        option::of(any::<u64>()),
    );
    let numbers = (0..6, any::<u32>(), option::of(any::<u32>()));
    (times, numbers, any_exits(), any_exits()).prop_map(|(times, numbers, prevent, force)| {
        let (delay_ms, max_delay_ms, jitter_ms, reset_after_ms, start_interval_ms) = times;
        let (when, steps, start_limit) = numbers;
        RestartPolicy {
            when,
            delay_ms,
            max_delay_ms,
            steps,
            jitter_ms,
            reset_after_ms,
            start_limit,
            start_interval_ms,
            prevent,
            force,
        }
    })
}

fn any_stop() -> impl Strategy<Value = StopPolicy> {
    (0..=64, option::of(any::<u64>()), 0..4, option::of(any::<bool>())).prop_map(
        |(signal, timeout_ms, kill_mode, final_kill)| StopPolicy {
            signal,
            timeout_ms,
            kill_mode,
            final_kill,
        },
    )
}

fn any_limits() -> impl Strategy<Value = ResourceLimits> {
    // TOML's integers have a sign.
    let number = || option::of(0..=u64::try_from(i64::MAX).unwrap());
    let size = || option::of(any::<u64>());
    (number(), option::of(any::<u32>()), size(), size(), number()).prop_map(
        |(cpu_weight, cpu_quota_percent, memory_max_bytes, memory_high_bytes, pids_max)| {
            ResourceLimits {
                cpu_weight,
                cpu_quota_percent,
                memory_max_bytes,
                memory_high_bytes,
                pids_max,
            }
        },
    )
}

fn any_input() -> impl Strategy<Value = StandardInput> {
    prop_oneof![
        Just(None),
        any_text().prop_map(|path| Some(From::File(path))),
        any_text().prop_map(|text| Some(From::Data(text.into_bytes()))),
        any::<Vec<u8>>().prop_map(|bytes| Some(From::Data(bytes))),
    ]
    .prop_map(|from| StandardInput { from })
}

pub(super) fn any_service() -> impl Strategy<Value = Executable> {
    let commands = (any_steps(), any_steps(), any_steps(), any_steps());
    let setting = (
        vec(any_text(), 0..3),
        vec(any_text(), 0..3),
        (any_text(), any_text()),
        option::of(0..=0o777_u32),
        option::of(any::<i32>()),
        option::of(any_input()),
    );
    let life = (0..2, any::<bool>(), 0..3, option::of(any::<u64>()), any::<u64>(), any_exits());
    let tables = (option::of(any_restart()), option::of(any_stop()), option::of(any_limits()));
    (any_unit(), commands, setting, life, tables).prop_map(
        |(main, (before, after, on_stop, on_reload), setting, life, (restart, stop, limits))| {
            let (environment, environment_files, (user, working_directory), umask, nice, stdin) =
                setting;
            let (kind, remain_after_exit, readiness, start_timeout_ms, run_limit_ms, success) =
                life;
            Executable {
                kind,
                remain_after_exit,
                environment,
                environment_files,
                user,
                working_directory,
                umask,
                nice,
                stdin,
                before,
                after,
                on_stop,
                on_reload,
                restart,
                stop,
                start_timeout_ms,
                run_limit_ms,
                readiness,
                limits,
                success,
                ..main
            }
        },
    )
}

proptest! {
    #[test]
    fn every_service_comes_back_as_it_was(first in any_service(), second in any_service()) {
        let text = write_unit(&first).unwrap();
        prop_assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
        prop_assert_eq!(&read_unit(text.as_bytes()).unwrap(), &first);
        let mut second = second;
        second.meta = Some(AuraeMeta { name: format!("not{}", named(&first)), ..Default::default() });
        let both = [registration(first, Status::Standby), registration(second, Status::Passive)];
        let text: String = both.iter().map(|unit| write_registration(unit).unwrap()).collect();
        prop_assert_eq!(read_units(text.as_bytes()).unwrap(), both);
    }

    #[test]
    fn near_misses_of_services_have_a_place(
        content in "(name|command|kind|before|stdin|umask|success|\\[restart\\]|\\[stop\\]|delay|signal|file|\n|=|\\[|\\]|\\{|\\}| |'5s'|'x'|,|[0-9]){0,20}"
    ) {
        if let Err(fault) = read_unit(content.as_bytes()) {
            prop_assert!(fault.line >= 1 && fault.column >= 1);
        }
    }
}

fn named(unit: &Executable) -> String {
    unit.meta.clone().unwrap().name
}
