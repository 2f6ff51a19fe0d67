use api::meta::AuraeMeta;
use proptest::prelude::*;

use super::*;

mod services;

fn unit(name: &str, command: &str, argv: &[&str]) -> Executable {
    Executable {
        meta: Some(AuraeMeta { name: name.into(), ..AuraeMeta::default() }),
        command: command.into(),
        argv: argv.iter().map(ToString::to_string).collect(),
        ..Executable::default()
    }
}

fn registration(executable: Executable, status: Status) -> Registration {
    let executable = Some(executable);
    Registration { executable, status: status.into(), ..Registration::default() }
}

#[test]
fn a_unit_is_a_few_lines() {
    let mut backup = unit("backup", "", &["tar", "-cf", "/tmp/a b.tar", "/etc"]);
    backup.comment = "every night, \"cold\"".into();
    let text = write_unit(&backup).unwrap();
    let wanted = r#"name = "backup"
comment = "every night, \"cold\""
argv = ["tar", "-cf", "/tmp/a b.tar", "/etc"]
"#;
    assert_eq!(text, wanted);
    assert_eq!(read_unit(text.as_bytes()).unwrap(), backup);
}

#[test]
fn a_unit_among_many_says_whether_it_is_enabled() {
    let text = write_registration(&registration(unit("a", "true", &[]), Status::Passive)).unwrap();
    assert_eq!(text, "[[unit]]\nname = \"a\"\nenabled = false\ncommand = \"true\"\n");
    let both = format!("{text}\n# why\n[[unit]]\nname='b'\nenabled=true\nargv=['x']");
    let wanted = [
        registration(unit("a", "true", &[]), Status::Passive),
        registration(unit("b", "", &["x"]), Status::Standby),
    ];
    assert_eq!(read_units(both.as_bytes()).unwrap(), wanted);
    assert_eq!(read_units(b"# nothing\n").unwrap(), []);
}

#[test]
fn where_both_are_told_the_command_is_written() {
    let both = unit("a", "-x $HOME", &["x", "$HOME"]);
    assert_eq!(write_unit(&both).unwrap(), "name = \"a\"\ncommand = \"-x $HOME\"\n");
}

#[test]
fn faults_of_a_unit_name_line_column_and_key() {
    for (content, wanted) in [
        ("nmae = 'a'", "line 1, column 1, key nmae: unknown field `nmae`, expected one of"),
        ("name = 'a'\ncommand = 7", "line 2, column 11, key command: invalid type: integer `7`"),
        ("name = 'a'\nargv = 'ls'", "line 2, column 8, key argv: invalid type: string \"ls\""),
        ("name = 'a'\nargv = [ 1 ]", "line 2, column 10, key argv: invalid type: integer `1`"),
        ("name = 1\ncommand = 'x'", "line 1, column 8, key name: invalid type"),
        ("command = 'x'", "line 1, column 1, key name: missing field `name`"),
        ("name = 'a'", "line 1, column 1, key command: write command = \"PROGRAM ARG\" or argv"),
        ("name = 'a'\ncommand = ''", "line 2, column 11, key command: it is empty"),
        ("name = 'a'\nargv = []", "line 2, column 8, key argv: it is empty"),
        ("argv = ['x']\ncommand = 'x'\nname = 'a'", "line 1, column 8, key argv: there is a com"),
        ("name = 'a'\nenabled = true", "line 2, column 11, key enabled: only a [[unit]] of"),
        ("name = 'a'\nname = 'b'", "line 2, column 1, key name: duplicate key"),
        ("name = 'a'\n\n[unit]\n", "line 3, column 2, key unit: unknown field `unit`"),
        ("# ä\nname = ", "line 2, column 8: string values must be quoted"),
        ("name = \"a", "line 1, column 10: invalid basic string"),
    ] {
        let error = read_unit(content.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{content}: {error}");
    }
    let error = read_unit(b"name = 'a'\n#\xff").unwrap_err().to_string();
    assert_eq!(error, "line 2, column 2: a byte that is not UTF-8; save it as UTF-8");
}

#[test]
fn faults_of_one_unit_among_many_name_line_column_and_key() {
    let first = "[[unit]]\nname = 'a'\nenabled = true\ncommand = 'x'\n";
    for (content, wanted) in [
        ("[[unit]]\nname = 'b'\ncommand = 'x'", "line 5, column 1, key unit.enabled: missing"),
        ("[[unit]]\nname = 'b'\nenabled = 1", "line 7, column 11, key unit.enabled: invalid ty"),
        ("[[unit]]\nname = 'b'\nenabled = true", "line 5, column 1, key unit.command: write c"),
        ("[[unit]]\nname = 'a'\nenabled = true", "line 6, column 8, key unit.name: \"a\" is th"),
        ("[[unit]]\nnaem = 'a'", "line 6, column 1, key unit.naem: unknown field `naem`"),
        ("[[unit]]\nenabled = true", "line 5, column 1, key unit.name: missing field `name`"),
        ("[[nuit]]\n", "line 5, column 3, key nuit: unknown field `nuit`"),
    ] {
        let error = read_units(format!("{first}{content}").as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{content}: {error}");
    }
}

#[test]
fn what_could_not_be_read_again_is_not_written() {
    let nothing = unit("a", "", &[]);
    assert_eq!(write_unit(&nothing), Err(Unwritable::NothingToExecute));
    assert_eq!(write_unit(&unit("", "x", &[])), Err(Unwritable::Nameless));
    assert_eq!(write_unit(&Executable::default()), Err(Unwritable::Nameless));
    assert_eq!(write_registration(&Registration::default()), Err(Unwritable::Empty));
    let running = registration(unit("a", "x", &[]), Status::Active);
    assert_eq!(write_registration(&running), Err(Unwritable::Status(3)));
}

#[test]
fn depth_and_size_are_no_danger() {
    let deep = format!("argv = {}", "[".repeat(100_000));
    assert!(read_unit(deep.as_bytes()).is_err());
    let long = unit("a", "", &["x".repeat(3_000_000).as_str()]);
    assert_eq!(read_unit(write_unit(&long).unwrap().as_bytes()).unwrap(), long);
}

fn any_unit() -> impl Strategy<Value = Executable> {
    // Texts of every character, and texts that are mostly what TOML must escape.
    let text =
        || prop_oneof![any::<String>(), "[\"'\\\\\\x00-\\x1f\\x7f-\\x9f#=🦀\u{2028} ]{0,20}"];
    let words = proptest::collection::vec(text(), 1..5);
    let what = prop_oneof![
        text().prop_filter("nothing", |text| !text.is_empty()).prop_map(|text| (text, Vec::new())),
        words.prop_map(|words| (String::new(), words)),
    ];
    let name = text().prop_filter("nothing", |text| !text.is_empty());
    (name, text(), what).prop_map(|(name, comment, (command, argv))| Executable {
        meta: Some(AuraeMeta { name, ..AuraeMeta::default() }),
        command,
        comment,
        argv,
        ..Executable::default()
    })
}

proptest! {
    #[test]
    fn every_unit_comes_back_as_it_was(unit in any_unit()) {
        let text = write_unit(&unit).unwrap();
        prop_assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
        prop_assert_eq!(read_unit(text.as_bytes()).unwrap(), unit);
    }

    #[test]
    fn every_file_of_units_comes_back_as_it_was(
        units in proptest::collection::btree_map(any::<String>(), (any_unit(), any::<bool>()), 0..5)
    ) {
        let mut text = String::new();
        let mut all = Vec::new();
        for (name, (mut unit, enabled)) in units {
            unit.meta = Some(AuraeMeta { name: format!("n{name}"), ..AuraeMeta::default() });
            let status = if enabled { Status::Standby } else { Status::Passive };
            let registration = registration(unit, status);
            text.push_str(&write_registration(&registration).unwrap());
            all.push(registration);
        }
        prop_assert_eq!(read_units(text.as_bytes()).unwrap(), all);
    }

    #[test]
    fn arbitrary_bytes_never_panic(content in any::<Vec<u8>>()) {
        read_unit(&content).ok();
        read_units(&content).ok();
    }

    #[test]
    fn near_misses_have_a_place(
        content in "((\\[\\[unit\\]\\]|name|enabled|comment|command|argv|unit)|\n|=|true|\\[|\\]| |'|\"|,|/ä|\\\\u|#){0,20}"
    ) {
        for fault in [read_unit(content.as_bytes()).err(), read_units(content.as_bytes()).err()] {
            prop_assert!(fault.is_none_or(|fault| fault.line >= 1 && fault.column >= 1));
        }
    }
}
