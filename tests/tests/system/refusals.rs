//! Configuration that is wrong is refused, by file and line.

use std::fs;

use tests::{House, Options};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[]; wrong_lines_are_named, a_missing_file_is_named, no_file_is_needed, unknown_flags, folders_that_cannot_be_made]
}

/// Unknown keys and sections, bad values and bad syntax each name the file, the line and the fault.
fn wrong_lines_are_named() {
    let cases = [
        ("\n\n[daemon]\nlogg = \"info\"\n", 4, "logg"),
        ("[sistem]\nnode = \"x\"\n", 1, "sistem"),
        ("nope = 1\n", 1, "nope"),
        ("[daemon]\nlog = \"info\"\nstop_timeout = \"ninety\"\n", 3, "stop_timeout"),
        ("[daemon]\nstart_timeout = 7.5\n", 2, "start_timeout"),
        ("[daemon]\nstop_timeout = \"-1s\"\n", 2, "stop_timeout"),
        ("[cgroup]\nmode = \"perhaps\"\n", 2, "mode"),
        ("[cgroup]\nparent = \"../x\"\n", 2, "parent"),
        ("[spawn]\nmethod = \"fork\"\n", 2, "method"),
        ("[system]\n\nstate_dir = \"relative\"\n", 3, "state_dir"),
        ("[system]\nnode = \"\"\n", 2, "node"),
        ("[system]\nnode = \"a\"\nnode = \"b\"\n", 3, "node"),
        ("[system\n", 1, ""),
        ("[daemon]\nlog = \"=nonsense=\"\n", 2, "log"),
    ];
    let house = House::prepare(Options::default());
    for (text, line, word) in cases {
        fs::write(house.config(), text).unwrap();
        let said = house.refused().err();
        assert!(said.contains(house.config().to_str().unwrap()), "{text:?}: no file in {said}");
        let numbers: Vec<&str> = said.split(|c: char| !c.is_ascii_digit()).collect();
        assert!(numbers.contains(&line.to_string().as_str()), "{text:?}: no line {line} in {said}");
        assert!(said.contains(word), "{text:?}: no {word:?} in {said}");
    }
}

/// A file that was named and is not there, or is not text, is an error.
fn a_missing_file_is_named() {
    let house = House::prepare(Options::default());
    fs::remove_file(house.config()).unwrap();
    assert!(house.refused().err().contains(house.config().to_str().unwrap()));
    fs::write(house.config(), b"\xff\xfe").unwrap();
    assert!(house.refused().err().contains(house.config().to_str().unwrap()));
}

/// Nothing needs to be configured.
fn no_file_is_needed() {
    let house = House::prepare(Options::default());
    fs::write(house.config(), "").unwrap();
    tests::Daemon::start_in(house).stop();
}

/// A flag that does not exist, or lacks its value, is named.
fn unknown_flags() {
    for flag in ["--sockt", "--socket", "extra"] {
        let house = House::prepare(Options::default());
        let mut command = house.command("auraed");
        command.arg(flag);
        let said = house.refuses(command).err();
        assert!(said.contains(flag), "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
        assert!(said.starts_with("auraed: ") && said.contains("auraed --help"), "{said}");
    }
}

/// A state folder that cannot be made is named.
fn folders_that_cannot_be_made() {
    let house = House::prepare(Options::default());
    fs::write(house.path().join("state"), "a file").unwrap();
    let said = house.refused().err();
    assert!(said.contains(house.state_dir().to_str().unwrap()), "{said}");
}
