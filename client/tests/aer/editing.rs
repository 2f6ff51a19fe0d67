//! `aer edit`.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::Output,
};

use api::{meta, runtime::Executable, schedule::Registration};
use tempfile::{TempDir, tempdir};
use tonic::Status;

use crate::{
    aer_at, complaint,
    peer::{Asked, Peer, Script},
    schedule_peer::Changing,
    status, text,
    units::{registration, unit},
};

/// A folder for what is edited, and an editor in it.
struct Desk {
    folder: TempDir,
}

impl Desk {
    /// An editor that does this with the file "$1".
    fn new(editor: &str) -> Self {
        let folder = tempdir().unwrap();
        fs::create_dir(folder.path().join("files")).unwrap();
        let path = folder.path().join("my editor");
        fs::write(&path, format!("#!/bin/sh\nset -e\n{editor}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn edit(&self, peer: &Peer, variable: &str, words: &[&str]) -> Output {
        let editor = format!("'{}' x", self.folder.path().join("my editor").display());
        // The editor gets a word of its own before the file.
        let mut aer = aer_at(peer, words);
        aer.env(variable, editor).env("TMPDIR", self.folder.path().join("files"));
        aer.env("PATH", "/usr/bin:/bin").output().unwrap()
    }

    /// What is left in the folder.
    fn left(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder.path().join("files")).unwrap();
        files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }
}

fn with(status: meta::Status) -> Peer {
    let registrations = vec![registration(unit("web", "nginx", &[], "c"), status)];
    Peer::new(Script { registrations, ..Script::default() })
}

/// What was asked after the unit itself.
fn next(peer: &Peer) -> Asked {
    let first = peer.asked();
    if matches!(first, Asked::Show(_)) { peer.asked() } else { first }
}

#[test]
fn what_the_editor_leaves_is_registered() {
    for variable in ["VISUAL", "EDITOR"] {
        let peer = with(meta::Status::Standby);
        let desk = Desk::new("test \"$1\" = x\nsed -i 's/nginx/caddy/' \"$2\"");
        let output = desk.edit(&peer, variable, &["edit", "web", "--reason", "why"]);
        assert_eq!((status(&output), text(&output.stderr)), (0, ""));
        assert_eq!(text(&output.stdout), "enabled web\n");
        let Asked::Change(Changing::Enable, edited, reason) = next(&peer) else { panic!("no") };
        assert_eq!((edited, reason.as_deref()), (unit("web", "caddy", &[], "c"), Some("why")));
        assert_eq!(desk.left(), Vec::<String>::new());
    }
}

#[test]
fn what_is_disabled_stays_so() {
    let peer = with(meta::Status::Passive);
    let desk = Desk::new("echo '[limits]' >> \"$2\"");
    let output = desk.edit(&peer, "EDITOR", &["edit", "web"]);
    assert_eq!((status(&output), text(&output.stdout)), (0, "changed web\n"));
    let Asked::Import(units) = next(&peer) else { panic!("no import") };
    let limits = Some(api::runtime::ResourceLimits::default());
    let executable = Some(Executable { limits, ..unit("web", "nginx", &[], "c") });
    let status = meta::Status::Passive.into();
    assert_eq!(units, [Registration { executable, status, ..Registration::default() }]);
}

#[test]
fn a_file_that_says_nothing_new_changes_nothing() {
    for editor in ["true", ": > \"$2\"", "echo > \"$2\"", "echo '# a comment' >> \"$2\""] {
        // Any change would be refused.
        let registrations =
            vec![registration(unit("web", "nginx", &[], "c"), meta::Status::Standby)];
        let refused = vec![("web", Status::internal("a change"))];
        let peer = Peer::new(Script { registrations, refused, ..Script::default() });
        let desk = Desk::new(editor);
        let output = desk.edit(&peer, "EDITOR", &["edit", "web"]);
        assert_eq!((status(&output), text(&output.stderr)), (0, ""), "{editor}");
        assert_eq!((text(&output.stdout), desk.left().len()), ("unchanged web\n", 0));
    }
}

#[test]
fn a_mistake_keeps_the_text_and_says_where() {
    for (editor, fault) in [
        ("echo 'umask = 22' >> \"$2\"", ", key umask: invalid value: integer `22`"),
        (
            "sed -i 's/^name.*/name = \"other\"/' \"$2\"",
            "the name is \"other\" now and was \"web\"",
        ),
    ] {
        let peer = with(meta::Status::Standby);
        let desk = Desk::new(editor);
        let output = desk.edit(&peer, "EDITOR", &["edit", "web"]);
        assert_eq!((status(&output), text(&output.stdout)), (1, ""));
        let complaint = complaint(&output);
        assert!(complaint.starts_with("aer: taking what was edited: "), "{complaint}");
        assert!(complaint.contains(fault), "{complaint}");
        let path = complaint.rsplit(' ').next().unwrap();
        assert!(complaint.ends_with(&format!("correct {path} and run aer enable -f {path}")));
        assert_eq!(desk.left(), [fs::read_to_string(path).unwrap()]);
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn what_the_daemon_refuses_is_kept_too() {
    let registrations = vec![registration(unit("web", "nginx", &[], "c"), meta::Status::Standby)];
    let refused = vec![("web", Status::invalid_argument("restart.steps: 3 of nothing"))];
    let peer = Peer::new(Script { registrations, refused, ..Script::default() });
    let desk = Desk::new("sed -i 's/nginx/caddy/' \"$2\"");
    let output = desk.edit(&peer, "EDITOR", &["edit", "web"]);
    assert_eq!(status(&output), 1);
    let wanted = "aer: taking what was edited: enabling web: the daemon does not take the \
                  request: restart.steps: 3 of nothing; nothing was changed; correct /";
    assert!(complaint(&output).starts_with(wanted), "{output:?}");
    assert!(desk.left()[0].contains("command = \"caddy\""));
}

#[test]
fn an_editor_that_fails_changes_nothing() {
    let peer = with(meta::Status::Standby);
    let desk = Desk::new("sed -i 's/nginx/caddy/' \"$2\"\nexit 3");
    let output = desk.edit(&peer, "EDITOR", &["edit", "web"]);
    assert_eq!((status(&output), text(&output.stdout)), (1, ""));
    assert!(complaint(&output).contains("the editor ended with exit status: 3; "), "{output:?}");
    assert!(desk.left()[0].contains("caddy"));
}

#[test]
fn what_is_not_registered_cannot_be_edited() {
    let desk = Desk::new("true");
    let peer = Peer::new(Script {
        then: crate::peer::Then::Fail(Status::not_found("name: \"web\"")),
        ..Script::default()
    });
    let output = desk.edit(&peer, "EDITOR", &["edit", "web"]);
    let wanted = "aer: showing web: there is no such thing: name: \"web\"; check the name or id";
    assert_eq!((status(&output), complaint(&output), desk.left().len()), (1, wanted, 0));
}
