//! What `aer logs` shows on a terminal: names in colours, and lines of JSON as people read them.

use api::observe::{LogBatch, LogChunk};
use nix::pty::openpty;

use crate::{
    aer_at,
    peer::{Peer, Script},
    run, text,
    units::read_terminal,
};

const NAMES: [&str; 3] = ["web", "db", "cache"];

fn peer() -> Peer {
    let of = |name: &str, data: &str| LogChunk {
        run_id: name.to_owned(),
        name: name.to_owned(),
        data: data.to_owned().into_bytes().into(),
        ..LogChunk::default()
    };
    let mut chunks: Vec<LogChunk> = Vec::new();
    for number in 0..3 {
        chunks.extend(NAMES.iter().map(|name| of(name, &format!("line {number}\n"))));
    }
    chunks.push(of("web", "{\"level\":\"warn\",\"msg\":\"slow\",\"ms\":5.10}\n"));
    chunks.push(of("db", "\x1b[31mred\n"));
    Peer::new(Script {
        batches: vec![LogBatch { chunks, ..LogBatch::default() }],
        ..Script::default()
    })
}

/// What stands on a terminal then.
fn on_a_terminal(words: &[&str], variables: &[(&str, &str)]) -> Vec<String> {
    let peer = peer();
    let terminal = openpty(None, None).unwrap();
    let mut aer = aer_at(&peer, words);
    let mut child = aer.envs(variables.iter().copied()).stdout(terminal.slave).spawn().unwrap();
    // The test's own copy of the terminal's end.
    drop(aer);
    assert!(child.wait().unwrap().success());
    read_terminal(terminal.master).lines().map(str::to_owned).collect()
}

/// Each line begins with its unit's name in the unit's colour, the same each time; what a program colours ends with its line.
#[test]
fn names_have_colours_on_a_terminal() {
    for words in [&["logs", "web", "db", "cache"][..], &["logs", "--all", "-o", "short"]] {
        let lines = on_a_terminal(words, &[]);
        assert_eq!(lines.len(), 11, "{lines:?}");
        let mut colours = std::collections::BTreeMap::new();
        for line in &lines {
            let (colour, rest) = line.strip_prefix("\x1b[").unwrap().split_once('m').unwrap();
            let (name, text) = rest.split_once("\x1b[0m ").unwrap();
            assert!(NAMES.contains(&name) && !text.is_empty(), "{line:?}");
            let before = colours.insert(name.to_owned(), colour.to_owned());
            assert!(before.is_none_or(|before| before == colour), "{line:?}");
        }
        let different: std::collections::BTreeSet<&String> = colours.values().collect();
        assert_eq!((colours.len(), different.len()), (3, 3), "each has its own: {colours:?}");
        assert!(lines[9].ends_with(" WARN slow ms=5.10"), "{:?}", lines[9]);
        assert!(lines[10].ends_with(" \x1b[31mred\x1b[0m"), "{:?}", lines[10]);
    }
}

/// Nor does what a program prints have any then.
#[test]
fn there_are_no_colours_where_they_are_refused_or_in_a_pipe() {
    let words = ["logs", "web", "db", "cache"];
    let refused = on_a_terminal(&words, &[("NO_COLOR", "1")]);
    let peer = peer();
    let output = run(&peer, &words);
    let piped: Vec<&str> = text(&output.stdout).lines().collect();
    assert_eq!(refused, piped);
    assert_eq!((piped.len(), piped[0], piped[9]), (11, "web line 0", "web WARN slow ms=5.10"));
    assert!(!text(&output.stdout).contains('\x1b'), "{piped:?}");
    // An empty one refuses nothing (no-color.org).
    let empty = on_a_terminal(&words, &[("NO_COLOR", "")]);
    assert!(empty[0].contains("\x1b["), "{empty:?}");
}
