//! `aer enable`, `disable`, `destroy`, `list` and `show`.

use std::{fs, io::Read, os::fd::OwnedFd};

use api::{
    meta::{self, AuraeMeta},
    runtime::{Executable, Origin},
    schedule::{Registration, Selection},
};
use nix::pty::{Winsize, openpty};
use tempfile::tempdir;
use tonic::Status;

use crate::{
    aer_at, complaint,
    peer::{Asked, Peer, Script, Then},
    run, run_with,
    schedule_peer::Changing,
    status, text,
};

pub(crate) fn unit(name: &str, command: &str, argv: &[&str], comment: &str) -> Executable {
    Executable {
        meta: Some(AuraeMeta { name: name.into(), ..AuraeMeta::default() }),
        command: command.into(),
        comment: comment.into(),
        argv: argv.iter().map(ToString::to_string).collect(),
        ..Executable::default()
    }
}

pub(crate) fn registration(executable: Executable, status: meta::Status) -> Registration {
    Registration {
        executable: Some(executable),
        status: status.into(),
        registered_at: 1_700_000_000_000_000_000,
        changed_at: 1_700_000_001_000_000_000,
        changed_by: Some(Origin {
            door: "grpc".into(),
            identity: "uid:7 pid:8".into(),
            reason: "ticket\n#7".into(),
        }),
    }
}

fn changed(peer: &Peer) -> (Changing, Executable, Option<String>) {
    let Asked::Change(changing, executable, reason) = peer.asked() else { panic!("no change") };
    (changing, executable, reason)
}

/// Which registrations were asked for.
fn listed(peer: &Peer) -> Selection {
    loop {
        if let Asked::List(selection) = peer.asked() {
            return selection;
        }
    }
}

fn with(registrations: Vec<Registration>) -> Peer {
    Peer::new(Script { registrations, ..Script::default() })
}

fn refusing(name: &'static str, status: Status) -> Peer {
    Peer::new(Script { refused: vec![(name, status)], ..Script::default() })
}

fn failing(status: Status) -> Peer {
    Peer::new(Script { then: Then::Fail(status), ..Script::default() })
}

#[test]
fn enable_sends_words_as_they_stand() {
    let peer = with(Vec::new());
    let words = ["enable", "n", "--comment", "c", "--reason", "why", "--", "sh", "-c", "a  $b", ""];
    let output = run(&peer, &words);
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
    assert_eq!(text(&output.stdout), "enabled n\n");
    let wanted = unit("n", "", &["sh", "-c", "a  $b", ""], "c");
    assert_eq!(changed(&peer), (Changing::Enable, wanted, Some("why".into())));
}

#[test]
fn enable_leaves_a_command_to_the_daemon() {
    let peer = with(Vec::new());
    let output = run(&peer, &["-o", "json", "enable", "n", "-c", "-a $HOME"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json, serde_json::json!({"meta": {"name": "n", "message": ""}}));
    assert_eq!(changed(&peer), (Changing::Enable, unit("n", "-a $HOME", &[], ""), None));
}

#[test]
fn enable_takes_a_file_or_standard_input() {
    let toml = "name = 'n'\ncomment = \"a\\u0000\\n🦀\"\nargv = [\n  'x', # why\n  '',\n]\n";
    let wanted = unit("n", "", &["x", ""], "a\0\n🦀");
    let folder = tempdir().unwrap();
    let path = folder.path().join("n.toml");
    fs::write(&path, toml).unwrap();
    let peer = with(Vec::new());
    let output = run(&peer, &["enable", "-f", path.to_str().unwrap()]);
    assert_eq!((status(&output), text(&output.stdout)), (0, "enabled n\n"));
    assert_eq!(changed(&peer).1, wanted);
    let output = run_with(&peer, &["enable", "-f", "-"], toml.as_bytes());
    assert_eq!((status(&output), text(&output.stdout)), (0, "enabled n\n"));
    assert_eq!(changed(&peer).1, wanted);
}

#[test]
fn a_file_that_is_no_unit_is_one_line_that_says_where() {
    let peer = with(Vec::new());
    let folder = tempdir().unwrap();
    let path = folder.path().join("n.toml");
    let file = path.to_str().unwrap();
    for (content, fault) in [
        (&b"nmae = 'n'"[..], ", line 1, column 1, key nmae: unknown field `nmae`, expected one of"),
        (b"name = 'n'\ncommand = 7", ", line 2, column 11, key command: invalid type: integer `7`"),
        (b"name = 'n'", ", line 1, column 1, key command: write command = \"PROGRAM ARG\" or argv"),
        (b"name = 'n'\ncommand = 'a'\nargv = ['a']", ", line 3, column 8, key argv: there is a c"),
        (b"name = 'n'\n#\xff", ", line 2, column 2: a byte that is not UTF-8; save it as UTF-8"),
        (b"name = 'n\x1b[31m'", ", line 1, column "),
        (b"", ", line 1, column 1, key name: missing field `name`"),
    ] {
        fs::write(&path, content).unwrap();
        let output = run(&peer, &["enable", "-f", file]);
        assert_eq!((status(&output), output.stdout.len()), (1, 0));
        let wanted = format!("aer: reading {file}{fault}");
        assert!(complaint(&output).starts_with(&wanted), "{output:?}");
        assert!(complaint(&output).ends_with("; correct the file"), "{output:?}");
        let output = run_with(&peer, &["enable", "-f", "-"], content);
        let wanted = format!("aer: reading standard input{fault}");
        assert!(complaint(&output).starts_with(&wanted), "{output:?}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_one_line() {
    let peer = with(Vec::new());
    let folder = tempdir().unwrap();
    let missing = folder.path().join("missing");
    for verb in [&["enable", "-f"][..], &["schedule", "import"]] {
        for path in [&missing, folder.path()] {
            let path = path.to_str().unwrap();
            let output = run(&peer, &[verb, &[path]].concat());
            assert_eq!((status(&output), output.stdout.len()), (1, 0));
            let wanted = format!("aer: reading {path}: ");
            assert!(complaint(&output).starts_with(&wanted), "{output:?}");
            assert!(complaint(&output).ends_with("; check its name and its permissions"));
        }
    }
}

#[test]
fn a_unit_that_no_daemon_would_take_is_refused_here() {
    let peer = with(Vec::new());
    let huge = format!("name = 'n'\ncommand = '{}'\n", "x".repeat(5 << 20));
    let output = run_with(&peer, &["enable", "-f", "-"], huge.as_bytes());
    assert_eq!(status(&output), 1);
    let wanted = "aer: reading standard input: it is larger than 4 MiB; \
                  check that it is the right file";
    assert_eq!(complaint(&output), wanted);
    let output = run(&peer, &["enable", "-f", "/dev/zero"]);
    assert!(complaint(&output).contains("it is larger than 4 MiB"), "{output:?}");
}

#[test]
fn what_the_daemon_refuses_to_enable_is_one_line() {
    let peer = refusing("n", Status::invalid_argument("argv[0]: empty\nword"));
    let output = run(&peer, &["enable", "n", "--", ""]);
    assert_eq!((status(&output), output.stdout.len()), (1, 0));
    let wanted = "aer: enabling n: the daemon does not take the request: argv[0]: empty\\nword; \
                  correct it and try again; --help tells more";
    assert_eq!(complaint(&output), wanted);
}

#[test]
fn each_name_is_tried_and_each_failure_is_one_line() {
    for (verb, changing, attempt, done) in [
        ("disable", Changing::Disable, "disabling", "disabled"),
        ("destroy", Changing::Destroy, "destroying", "destroyed"),
    ] {
        let peer = refusing("b", Status::not_found("name: \"b\" is not registered"));
        let output = run(&peer, &[verb, "a", "b", "c"]);
        assert_eq!((status(&output), text(&output.stdout)), (1, &*format!("{done} a\n{done} c\n")));
        let wanted = format!(
            "aer: {attempt} b: there is no such thing: name: \"b\" is not registered; \
             check the name or id"
        );
        assert_eq!(complaint(&output), wanted);
        for name in ["a", "b", "c"] {
            assert_eq!(changed(&peer), (changing, unit(name, "", &[], ""), None));
        }
        let output = run(&peer, &["-o", "json", verb, "a", "c"]);
        let lines: Vec<&str> = text(&output.stdout).lines().collect();
        let wanted =
            [r#"{"meta":{"name":"a","message":""}}"#, r#"{"meta":{"name":"c","message":""}}"#];
        assert_eq!((status(&output), lines), (0, wanted.to_vec()));
    }
}

#[test]
fn a_list_is_a_table_or_one_json_object_to_a_line() {
    let peer = with(vec![
        registration(unit("a", "x -y", &[], "the\nfirst"), meta::Status::Standby),
        registration(unit("long", "", &["b", "c d"], ""), meta::Status::Passive),
    ]);
    let output = run(&peer, &["list"]);
    let wanted = "\
NAME  STATUS    STATE  PID  CPU  MEMORY  RESTARTS  SINCE  COMMAND  COMMENT
a     enabled   -      -    -    -       -         -      x -y     the\\nfirst
long  disabled  -      -    -    -       -         -      b \"c d\"
";
    assert_eq!((status(&output), text(&output.stdout)), (0, wanted));
    assert_eq!(listed(&peer), Selection::All);
    let output = run(&peer, &["list", "--enabled", "-o", "json"]);
    assert_eq!(listed(&peer), Selection::Enabled);
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let wanted = serde_json::json!({
        "name": "a",
        "unit": null,
        "executable": {
            "meta": {"name": "a", "message": ""}, "command": "x -y", "comment": "the\nfirst",
            "argv": [], "run_id": "", "kind": "service", "remain_after_exit": false,
            "environment": [], "environment_files": [], "user": "", "working_directory": "",
            "umask": null, "nice": null, "stdin": null, "before": [], "after": [], "on_stop": [],
            "on_reload": [], "restart": null, "stop": null, "start_timeout_ms": null,
            "run_limit_ms": 0, "readiness": "executed", "limits": null, "success": [],
        },
        "status": "standby",
        "registered_at": 1_700_000_000_000_000_000_i64,
        "changed_at": 1_700_000_001_000_000_000_i64,
        "changed_by": {"door": "grpc", "identity": "uid:7 pid:8", "reason": "ticket\n#7"},
    });
    assert_eq!((&lines[0], &lines[1]["status"]), (&wanted, &"passive".into()));
    run(&peer, &["list", "--disabled"]);
    assert_eq!(listed(&peer), Selection::Disabled);
}

#[test]
fn a_list_of_nothing_is_its_headings() {
    let output = run(&with(Vec::new()), &["list"]);
    assert_eq!(
        text(&output.stdout),
        "NAME  STATUS  STATE  PID  CPU  MEMORY  RESTARTS  SINCE  COMMAND  COMMENT\n"
    );
    assert_eq!(run(&with(Vec::new()), &["list", "-o", "json"]).stdout, b"");
}

#[test]
fn a_long_list_arrives_whole() {
    let command = "x".repeat(1000);
    let units = (0..10_000).map(|number| unit(&format!("n{number:05}"), &command, &[], ""));
    let peer = with(units.map(|unit| registration(unit, meta::Status::Standby)).collect());
    let output = run(&peer, &["list"]);
    assert_eq!((status(&output), text(&output.stdout).lines().count()), (0, 10_001));
    assert!(
        text(&output.stdout).lines().all(|line| line.len() >= 1000 || line.starts_with("NAME"))
    );
}

#[test]
fn a_list_that_fails_half_way_is_one_line() {
    let registrations = vec![registration(unit("a", "x", &[], ""), meta::Status::Standby)];
    let then = Then::Fail(Status::data_loss("the store is damaged"));
    let peer = Peer::new(Script { registrations, then, ..Script::default() });
    for words in [&["list"][..], &["list", "-o", "json"]] {
        let output = run(&peer, words);
        assert_eq!((status(&output), text(&output.stdout)), (1, ""));
        let wanted = "aer: listing what is registered: the daemon failed: the store is damaged; \
                      see aer logs --daemon";
        assert_eq!(complaint(&output), wanted);
    }
}

#[test]
fn on_a_terminal_a_list_is_cut_to_its_width() {
    let long = "x".repeat(500);
    let peer = with(vec![registration(unit("a", &long, &[], "comment"), meta::Status::Standby)]);
    let size = Winsize { ws_row: 24, ws_col: 90, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).unwrap();
    let mut aer = aer_at(&peer, &["list"]);
    let mut child = aer.stdout(terminal.slave).spawn().unwrap();
    // The test's own copy of the terminal's end, so that the reader below sees the last one closed.
    drop(aer);
    assert!(child.wait().unwrap().success());
    let printed = read_terminal(terminal.master);
    let lines: Vec<&str> = printed.lines().collect();
    assert_eq!(lines.len(), 2, "{printed}");
    assert!(lines.iter().all(|line| line.chars().count() <= 90), "{printed}");
    assert!(lines[1].contains("xxx…  comment"), "{printed}");
}

/// All that was written to a terminal whose other end is closed: then reading fails, as there is no end.
pub(crate) fn read_terminal(master: OwnedFd) -> String {
    let mut printed = Vec::new();
    fs::File::from(master).read_to_end(&mut printed).ok();
    String::from_utf8(printed).unwrap()
}

#[test]
fn what_show_prints_enable_takes_back() {
    let strange = unit("n", "", &["a \"b\"\\", "", "\u{9b}31m\0\u{7f}🦀"], "#\r\n'''\"\"\"");
    let peer = with(vec![registration(strange.clone(), meta::Status::Passive)]);
    let output = run(&peer, &["show", "n"]);
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
    assert!(matches!(peer.asked(), Asked::Show(name) if name == "n"));
    let toml = text(&output.stdout);
    let wanted = "\
# status: disabled
# registered: 2023-11-14T22:13:20Z
# changed: 2023-11-14T22:13:21Z by uid:7 pid:8 through grpc
# reason: ticket\\n#7
name = \"n\"
";
    assert!(toml.starts_with(wanted), "{toml}");
    assert!(!toml.contains(|c: char| c.is_control() && c != '\n'), "{toml}");
    let output = run_with(&peer, &["enable", "-f", "-"], toml.as_bytes());
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
    assert_eq!(changed(&peer).1, strange);
}

#[test]
fn show_as_json_has_everything() {
    let peer = with(vec![registration(unit("n", "x", &[], "c"), meta::Status::Standby)]);
    let output = run(&peer, &["show", "n", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["executable"]["command"], &json["status"]), (&"x".into(), &"standby".into()));
    assert_eq!(json["changed_by"]["identity"], "uid:7 pid:8");
}

#[test]
fn the_largest_unit_is_shown() {
    let large = "ä".repeat(2 << 20);
    let peer =
        with(vec![registration(unit("n", "", &["x", &large, &large], ""), meta::Status::Standby)]);
    let output = run(&peer, &["show", "n"]);
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
    assert!(output.stdout.len() > 8 << 20);
}

#[test]
fn what_cannot_be_shown_is_one_line() {
    let output = run(&failing(Status::not_found("name: \"n\"")), &["show", "n"]);
    assert_eq!((status(&output), output.stdout.len()), (1, 0));
    let wanted = "aer: showing n: there is no such thing: name: \"n\"; check the name or id";
    assert_eq!(complaint(&output), wanted);
    let output = run(&with(Vec::new()), &["show", "n"]);
    let wanted = "aer: showing n: the daemon's answer has nothing in it that this client knows; \
                  use a newer aer";
    assert_eq!((status(&output), complaint(&output)), (1, wanted));
    let peer = with(vec![registration(unit("n", "", &[], ""), meta::Status::Standby)]);
    let output = run(&peer, &["show", "n"]);
    let wanted = "aer: showing n: it has neither a command nor an argv; -o json shows all that \
                  there is";
    assert_eq!((status(&output), complaint(&output)), (1, wanted));
}
