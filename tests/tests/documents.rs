//! The documents name what exists: tests, files, keys of the configuration.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tests::{Daemon, House, Options, Process};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// Every document of the project.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    for folder in ["docs", "docs/decisions"] {
        let entries = fs::read_dir(root().join(folder)).expect("a folder of documents");
        let paths = entries.map(|entry| entry.expect("readable").path());
        found.extend(paths.filter(|path| path.extension().is_some_and(|kind| kind == "md")));
    }
    found
}

/// The lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let fence = line.starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// The code block after a mark.
fn block(text: &str, mark: &str) -> String {
    let (_, after) = text.split_once(&format!("<!-- {mark} -->\n")).expect("the mark is there");
    let lines = after.lines().skip_while(|line| !line.starts_with("```")).skip(1);
    lines.take_while(|line| !line.starts_with("```")).flat_map(|line| [line, "\n"]).collect()
}

/// Every test that the specification names is there.
#[test]
fn every_test_that_is_named_exists() {
    let specification = read("docs/specification.md");
    let mut named = 0;
    for line in prose(&specification) {
        for words in line.split('`').skip(1).step_by(2) {
            let Some((place, name)) = words.rsplit_once("::").filter(|(_, name)| !name.is_empty())
            else {
                continue;
            };
            let file = match place.ends_with(".rs") {
                true => place.to_owned(),
                false => format!("tests/tests/system/{place}.rs"),
            };
            assert!(read(&file).contains(&format!("fn {name}(")), "{file} has no test {name}");
            named += 1;
        }
    }
    assert!(named > 100, "the specification names {named} tests: is it still read rightly?");
}

/// Every file that a document links to is there.
#[test]
fn every_link_leads_somewhere() {
    for document in documents() {
        let folder = document.parent().expect("a folder");
        for line in prose(&read(&document)) {
            for link in line.split("](").skip(1) {
                let target = link.split([')', '#']).next().unwrap_or_default();
                let outside = target.is_empty() || target.contains("://");
                let there = outside || folder.join(target).exists();
                assert!(there, "{}: {target} is not there", document.display());
            }
        }
    }
}

/// The two commands of the README are marked, so that .ci/run finds them.
#[test]
fn the_two_commands_are_marked() {
    let readme = read("README.md");
    assert_eq!(block(&readme, "ci: demo"), "cargo demo\n");
    assert_eq!(block(&readme, "ci: test"), "cargo test --workspace --locked\n");
}

/// Has `auraed` look at a configuration: what it complains of, or nothing.
fn complaint(house: &House, text: &str) -> String {
    fs::write(house.config(), text).expect("our folder");
    let mut command = house.command("auraed-core");
    command.arg("configure").arg("--config").arg(house.config());
    let checked = Process::start(command, || {}).finish();
    assert_eq!(checked.status.success(), checked.stderr.is_empty(), "{}", checked.err());
    checked.err()
}

/// Whoever checks a configuration may have files open of which we know nothing.
#[test]
fn a_configuration_is_checked_whatever_is_open() {
    let house = House::prepare(Options::default());
    fs::write(house.config(), "").expect("our folder");
    let mut command = house.command("/bin/sh");
    let checker = house.binary("auraed-core");
    command.args(["-c", "exec \"$0\" configure --config \"$1\" 3< \"$1\"", &checker]);
    command.arg(house.config());
    let checked = Process::start(command, || {}).finish();
    assert_eq!((checked.code(), checked.err().as_str()), (Some(0), ""));
}

/// The configuration of the documents is accepted, and has every key that there is.
#[test]
fn the_documented_configuration_is_whole() {
    let documented = read("docs/configuration.md");
    let house = House::prepare(Options::default());
    let auraed = block(&documented, "checked: auraed.toml");
    assert_eq!(complaint(&house, &auraed), "");
    for section in auraed.lines().filter(|line| line.starts_with('[')) {
        // An unknown key is answered with those that there are.
        let said = complaint(&house, &format!("{section}\nnonesuch = 1\n"));
        let (_, keys) = said.split_once("expected").expect("it says what it would take");
        for key in keys.split('`').skip(1).step_by(2) {
            let table = format!("\n{}.{key}", section.trim_end_matches(']'));
            let documented = auraed.contains(&format!("\n{key} = ")) || auraed.contains(&table);
            assert!(documented, "{section} {key} is not documented");
        }
    }
    let said = complaint(&house, "[nonesuch]\n");
    let (_, sections) = said.split_once("expected").expect("it says what it would take");
    for section in sections.split('`').skip(1).step_by(2) {
        assert!(auraed.contains(&format!("[{section}]\n")), "[{section}] is not documented");
    }
}

/// Units of docs/examples are accepted as they stand, and say so of themselves.
#[test]
fn the_units_of_the_examples_are_accepted() {
    let entries = fs::read_dir(root().join("docs/examples")).expect("a folder of examples");
    let mut units: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    units.retain(|path| path.extension().is_some_and(|kind| kind == "toml"));
    assert!(units.len() >= 3, "{units:?}");
    Daemon::with(Options::default(), |daemon| {
        for unit in &units {
            let file = unit.to_str().expect("UTF-8");
            let said = daemon.aer(&["enable", "-f", file]);
            assert!(said.status.success(), "{file}: {}", said.err());
            let name = unit.file_stem().and_then(|name| name.to_str()).expect("UTF-8");
            assert!(daemon.aer(&["show", name]).status.success(), "{file} is called otherwise");
        }
    });
}

/// So is that of `aer`: it goes on to connect, in vain.
#[test]
fn the_documented_configuration_of_aer_is_accepted() {
    let documented = read("docs/configuration.md");
    let house = House::prepare(Options::default());
    fs::create_dir(house.path().join(".aurae")).expect("our folder");
    let text = block(&documented, "checked: aer").replace("/run/aurae", "/nonexistent");
    fs::write(house.path().join(".aurae/config"), text).expect("our folder");
    let mut command = house.command("aer");
    command.arg("status");
    let said = Process::start(command, || {}).finish().err();
    assert!(said.contains("/nonexistent/aurae.sock"), "{said}");
}
