//! `aer schedule export`, `import` and `repair`.

use std::fs;

use api::{
    meta,
    schedule::{
        Damage, ExportItem, ImportResponse, Registration, RepairResponse, export_item::Item,
    },
};
use tempfile::tempdir;
use tonic::Status;

use crate::{
    complaint,
    peer::{Asked, Peer, Script, Then},
    run, run_with, status, text,
    units::{registration, unit},
};

fn damage(name: &str, message: &str) -> Damage {
    Damage { name: name.into(), message: message.into() }
}

fn exporting(items: Vec<Item>, then: Then) -> Peer {
    let items = items.into_iter().map(|item| ExportItem { item: Some(item) }).collect();
    Peer::new(Script { items, then, ..Script::default() })
}

fn failing(status: Status) -> Peer {
    Peer::new(Script { then: Then::Fail(status), ..Script::default() })
}

fn imported(peer: &Peer) -> Vec<Registration> {
    loop {
        if let Asked::Import(registrations) = peer.asked() {
            return registrations;
        }
    }
}

/// What of a registration is imported.
fn definition(registration: &Registration) -> Registration {
    let executable = registration.executable.clone();
    Registration { executable, status: registration.status, ..Registration::default() }
}

#[test]
fn what_export_prints_import_takes_back() {
    let registrations = [
        registration(unit("a", "-x $HOME", &[], "c"), meta::Status::Standby),
        registration(unit("b", "", &["y", "\u{9b}\"\\\0🦀", ""], "\n"), meta::Status::Passive),
    ];
    let items = registrations.iter().cloned().map(Item::Registration).collect();
    let peer = exporting(items, Then::End);
    let output = run(&peer, &["schedule", "export"]);
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
    let toml = text(&output.stdout);
    assert!(toml.contains("\n[[unit]]\nname = \"a\"\nenabled = true\n"), "{toml}");
    assert!(toml.contains("\n[[unit]]\nname = \"b\"\nenabled = false\n"), "{toml}");
    let wanted: Vec<_> = registrations.iter().map(definition).collect();

    for words in [&["schedule", "import"][..], &["schedule", "import", "-"]] {
        let output = run_with(&peer, words, toml.as_bytes());
        assert_eq!((status(&output), text(&output.stderr)), (0, ""));
        assert_eq!(imported(&peer), wanted);
    }
    let folder = tempdir().unwrap();
    let path = folder.path().join("units.toml");
    fs::write(&path, toml).unwrap();
    let output = run(&peer, &["schedule", "import", path.to_str().unwrap()]);
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
    assert_eq!(imported(&peer), wanted);
}

#[test]
fn what_is_damaged_is_told_twice_and_the_rest_is_there() {
    let whole = registration(unit("a", "x", &[], ""), meta::Status::Standby);
    let strange = registration(unit("c", "x", &[], ""), meta::Status::Error);
    let items = || {
        vec![
            Item::Damage(damage("", "the log is\ncut")),
            Item::Registration(whole.clone()),
            Item::Damage(damage("b", "a bad record")),
            Item::Registration(strange.clone()),
        ]
    };
    let peer = exporting(items(), Then::End);
    let output = run(&peer, &["schedule", "export"]);
    assert_eq!(status(&output), 1);
    let wanted = "\
aer: exporting the schedule: the log is\\ncut; aer schedule repair keeps what can be read
aer: exporting b: a bad record; aer schedule repair keeps what can be read
aer: exporting c: its status is neither standby nor passive but 5; -o json shows all that there is
";
    assert_eq!(text(&output.stderr), wanted);
    let toml = text(&output.stdout);
    assert!(toml.contains("\n# damaged: the log is\\ncut\n"), "{toml}");
    assert!(toml.contains("\n# damaged: b: a bad record\n"), "{toml}");
    assert!(toml.contains("\n# not exported: c: its status is"), "{toml}");
    run_with(&peer, &["schedule", "import"], toml.as_bytes());
    assert_eq!(imported(&peer), [definition(&whole)]);

    let output = run(&peer, &["-o", "json", "schedule", "export"]);
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((status(&output), lines.len()), (1, 4));
    let wanted = serde_json::json!({"damage": {"name": "b", "message": "a bad record"}});
    assert_eq!(lines[2], wanted);
    assert_eq!(lines[1]["registration"]["executable"]["meta"]["name"], "a");
}

#[test]
fn an_export_that_ends_too_early_is_a_failure() {
    let whole = registration(unit("a", "x", &[], ""), meta::Status::Standby);
    let then = Then::Fail(Status::unavailable("the daemon ends"));
    let output = run(&exporting(vec![Item::Registration(whole)], then), &["schedule", "export"]);
    assert_eq!(status(&output), 1);
    let wanted = "aer: exporting the schedule: the daemon is not available: the daemon ends; \
                  try again later";
    assert_eq!(complaint(&output), wanted);
    let items = vec![ExportItem { item: None }];
    let output = run(&Peer::new(Script { items, ..Script::default() }), &["schedule", "export"]);
    assert_eq!(status(&output), 1);
    assert!(complaint(&output).ends_with("that this client knows; use a newer aer"), "{output:?}");
}

#[test]
fn import_says_how_much_it_has_registered() {
    let import = ImportResponse { enabled: 2, disabled: 1 };
    let peer = Peer::new(Script { import, ..Script::default() });
    let output = run_with(&peer, &["schedule", "import"], b"");
    assert_eq!((status(&output), text(&output.stdout)), (0, "imported: 2 enabled, 1 disabled\n"));
    assert_eq!(imported(&peer), []);
    let output = run_with(&peer, &["schedule", "import", "-o", "json"], b"# nothing");
    assert_eq!(text(&output.stdout), "{\"enabled\":2,\"disabled\":1}\n");
}

#[test]
fn a_large_file_is_imported_whole() {
    let command = "x".repeat(1000);
    let mut toml = String::new();
    for number in 0..5000 {
        let unit = format!("[[unit]]\nname = 'n{number}'\nenabled = true\ncommand = '{command}'\n");
        toml.push_str(&unit);
    }
    assert!(toml.len() > 5_000_000);
    let peer = Peer::new(Script::default());
    let output = run_with(&peer, &["schedule", "import"], toml.as_bytes());
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
    assert_eq!(imported(&peer).len(), 5000);
}

#[test]
fn a_fault_in_the_last_line_imports_nothing() {
    let unit = "[[unit]]\nname = 'a'\nenabled = true\ncommand = 'x'\n";
    let peer = Peer::new(Script::default());
    for (last, fault) in [
        (
            "[[unit]]\nname = 'b'\nenabled = 'yes'",
            "line 7, column 11, key unit.enabled: invalid ty",
        ),
        ("[[unit]]\nname = 'b'\ncommand = 'x'", "line 5, column 1, key unit.enabled: missing"),
        (unit, "line 6, column 8, key unit.name: \"a\" is there twice; remove one of them"),
        ("name = 'a'", "line 5, column 1, key name: duplicate key"),
        ("[nuit]", "line 5, column 2, key nuit: unknown field `nuit`"),
    ] {
        let toml = format!("{unit}{last}");
        let output = run_with(&peer, &["schedule", "import"], toml.as_bytes());
        assert_eq!((status(&output), output.stdout.len()), (1, 0));
        let wanted = format!("aer: reading standard input, {fault}");
        assert!(complaint(&output).starts_with(&wanted), "{output:?}");
        assert!(complaint(&output).ends_with("; correct the file"), "{output:?}");
    }
    let output = run_with(&peer, &["schedule", "import"], b"#\xff");
    assert!(complaint(&output).contains("line 1, column 2: a byte that is not UTF-8"));
    run_with(&peer, &["schedule", "import"], unit.as_bytes());
    assert_eq!(imported(&peer).len(), 1);
}

#[test]
fn what_the_daemon_refuses_of_the_schedule_is_one_line() {
    let many = "[[unit]]\nname = 'N'\nenabled = true\ncommand = 'x'\n";
    let many: String = (0..5000).map(|number| many.replace('N', &format!("n{number}"))).collect();
    let refusal = || failing(Status::failed_precondition("the store\nis damaged"));
    let why = "it cannot be done as things are: the store\\nis damaged; mend that, and try again";
    for (verb, attempt) in
        [("import", "importing"), ("export", "exporting"), ("repair", "repairing")]
    {
        let output = run_with(&refusal(), &["schedule", verb], many.as_bytes());
        assert_eq!(status(&output), 1);
        assert_eq!(complaint(&output), format!("aer: {attempt} the schedule: {why}"));
    }
}

#[test]
fn a_repair_says_what_became_of_the_store() {
    let repair = RepairResponse {
        evidence: "/state/schedule.damaged-1".into(),
        kept: 7,
        lost: vec![damage("b", "a bad\nrecord")],
    };
    let peer = Peer::new(Script { repair, ..Script::default() });
    let output = run(&peer, &["schedule", "repair"]);
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
    let wanted = "kept      7\nlost      b: a bad\\nrecord\nevidence  /state/schedule.damaged-1\n";
    assert_eq!(text(&output.stdout), wanted);
    let output = run(&peer, &["schedule", "repair", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let wanted = serde_json::json!({
        "evidence": "/state/schedule.damaged-1", "kept": 7,
        "lost": [{"name": "b", "message": "a bad\nrecord"}],
    });
    assert_eq!(json, wanted);
}

#[test]
fn a_repair_that_lost_much_is_told_whole() {
    let message = "x".repeat(200);
    let lost = (0..60_000).map(|number| damage(&format!("n{number}"), &message)).collect();
    let repair = RepairResponse { lost, ..RepairResponse::default() };
    let output = run(&Peer::new(Script { repair, ..Script::default() }), &["schedule", "repair"]);
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
    assert_eq!(text(&output.stdout).lines().count(), 60_001);
}
