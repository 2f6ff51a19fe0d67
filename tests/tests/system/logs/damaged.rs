//! Logs that cannot be read, or are not what they were: what is there is shown, and what is not is told.

use std::{
    fs,
    os::unix::fs::{FileExt, symlink},
    path::PathBuf,
};

use api::observe::{LogChannelType, LogSource, LogsRequest, log_source::Of};
use tests::{Daemon, Options, argv, rpc::named, wait::eventually};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        one_that_cannot_be_read_hides_no_other,
        a_program_has_its_status_without_its_log,
        what_was_taken_away_is_told,
        the_rest_of_a_line_is_told_from_a_whole_one,
        a_bit_that_flips_while_a_program_prints_is_told,
        many_equal_sources_are_one,
    ]
}

fn folder(daemon: &Daemon, name: &str) -> PathBuf {
    daemon.state_dir().join("logs/units").join(name)
}

/// Of several logs, and of all, one that cannot be read is told with its name, its path and the reason; the others are shown.
fn one_that_cannot_be_read_hides_no_other() {
    Daemon::with(Options::default(), |daemon| {
        for name in ["bad", "good"] {
            daemon.answer(named(name, daemon.probe(&["line", name])));
        }
        let (bad, elsewhere) = (folder(daemon, "bad"), daemon.path().join("elsewhere"));
        fs::rename(&bad, &elsewhere).unwrap();
        symlink(&elsewhere, &bad).unwrap();
        for arguments in
            [&["logs", "bad", "good"][..], &["logs", "--all"], &["logs", "good", "bad", "-n", "5"]]
        {
            let output = daemon.aer(arguments);
            assert_eq!(
                (output.out().as_str(), output.code()),
                ("good good\n", Some(1)),
                "{arguments:?}"
            );
            let told = output.err();
            assert_eq!(told.lines().count(), 1, "{told}");
            for word in ["aer: bad: ", &*bad.to_string_lossy(), "symbolic link"] {
                assert!(told.contains(word), "{word}: {told}");
            }
        }
        let output = daemon.aer(&["logs", "good", "never", "-o", "json"]);
        assert!(output.out().contains("\"failure\":{\"name\":\"never\""), "{}", output.out());
        let alone = daemon.aer(&["logs", "bad"]);
        assert_eq!((alone.out().as_str(), alone.code()), ("", Some(1)));
        assert!(alone.err().contains("symbolic link"), "{}", alone.err());
    });
}

/// A program whose log cannot be read has run all the same: its status is told, and on standard error what is missing.
fn a_program_has_its_status_without_its_log() {
    Daemon::with(Options::default(), |daemon| {
        let (bad, elsewhere) = (folder(daemon, "bad"), daemon.path().join("elsewhere"));
        fs::create_dir_all(&elsewhere).unwrap();
        fs::create_dir_all(bad.parent().unwrap()).unwrap();
        symlink(&elsewhere, &bad).unwrap();
        for (form, status) in [("table", 7), ("json", 7)] {
            let mut words = vec!["exec", "-o", form, "--name", "bad", "--"];
            let argv = daemon.probe(&["out", "x", "exit", "7"]).argv;
            words.extend(argv.iter().map(String::as_str));
            let output = daemon.aer(&words);
            assert_eq!(output.code(), Some(status), "{}", output.err());
            let told = format!("{}{}", output.out(), output.err());
            assert!(told.contains("cannot be shown") || told.contains("is missing"), "{told}");
        }
        assert_eq!(
            fs::read_dir(&elsewhere).unwrap().count(),
            0,
            "nothing is written behind a link"
        );
    });
}

/// A log whose file was emptied is no log of nothing: its readers are told, and so are Status and the daemon's log.
fn what_was_taken_away_is_told() {
    Daemon::with(Options::default(), |daemon| {
        daemon.answer(named("web", daemon.probe(&["line", "hello"])));
        fs::write(folder(daemon, "web").join("0000000000000000.log"), b"").unwrap();
        let output = daemon.aer(&["logs", "web"]);
        assert_eq!(output.out(), "");
        assert!(output.err().contains("6 bytes of output missing here"), "{}", output.err());
        // Whether its readers or its writer found it first.
        let problems = daemon.status().problems;
        assert!(problems.iter().any(|it| it.contains("units/web")), "{problems:?}");
        eventually("the daemon's log tells it", || daemon.log().contains("units/web"));
        daemon.answer(named("web", daemon.probe(&["line", "again"])));
        let output = daemon.aer(&["logs", "web"]);
        assert_eq!(output.out(), "again\n");
        eventually("it says who did not", || {
            daemon.status().problems.iter().any(|it| it.contains("not by auraed"))
        });
    });
}

/// What is asked for a thousand times is looked for and read once.
fn many_equal_sources_are_one() {
    Daemon::with(Options::default(), |daemon| {
        let run = daemon.answer(named("web", daemon.probe(&["line", "hello"]))).run_id;
        let sources = vec![LogSource { of: Some(Of::Name("web".to_owned())) }; 1024];
        let read = daemon.logs(LogsRequest { sources, ..LogsRequest::default() }).unwrap();
        assert_eq!(read.stdout, b"hello\n");
        let words: Vec<&str> =
            ["logs"].into_iter().chain(std::iter::repeat_n(&*run, 1024)).collect();
        assert_eq!(daemon.aer(&words).out(), "web hello\n");
    });
}

/// When the oldest output is gone the first line that is left may have lost its beginning. Every form says so, of that line and
/// of no other.
fn the_rest_of_a_line_is_told_from_a_whole_one() {
    let options = Options::default().config("logs.units.loud", "max_size = \"512KiB\"");
    Daemon::with(options, |daemon| {
        let words = ["/usr/bin/seq", "-f", "%099.0f", "30000"];
        let pid = daemon.answer(named("loud", argv(&words))).proc.unwrap().pid;
        let folder = folder(daemon, "loud");
        let size = || {
            let files =
                fs::read_dir(&folder).unwrap().filter_map(|file| file.ok()?.metadata().ok());
            files.map(|file| file.len()).sum::<u64>()
        };
        eventually("the log is within its bound", || size() <= 512 << 10);
        let out = |arguments: &[&str]| {
            let output = daemon.aer(&[&["logs", "loud"], arguments].concat());
            (output.out(), output.err())
        };
        let (raw, told) = out(&[]);
        let lines: Vec<&str> = raw.lines().collect();
        let is_cut = |line: &&&str| line.len() < 99;
        let cut = lines.iter().filter(is_cut).count();
        assert!(lines.len() > 2000 && (cut == 0 || is_cut(&&lines[0])), "{cut} of {}", lines.len());
        // Segments end at 64 KiB, which is no whole line, unless it is the twenty-fifth.
        let missing = 3_000_000 - raw.len();
        assert_eq!(cut, usize::from(!missing.is_multiple_of(100)), "{missing} bytes are missing");
        assert_eq!(told.matches("the rest of a line").count(), cut, "{told}");
        let (short, _) = out(&["-o", "short"]);
        assert_eq!(short.lines().filter(|line| line.starts_with('…')).count(), cut);
        assert_eq!(short.strip_prefix('…').unwrap_or(&short), raw);
        let (json, _) = out(&["-o", "json", "-g", "0"]);
        assert_eq!(json.lines().filter(|line| line.contains("\"continues\":true")).count(), cut);
        let items = daemon.lines(pid, LogChannelType::ChannelStdout).unwrap();
        let items: Vec<_> = items.iter().filter(|item| item.gap.is_none()).collect();
        let told: Vec<_> = items.iter().filter(|item| item.cut).map(|item| &item.line).collect();
        assert_eq!((items.len(), told.len()), (lines.len(), cut));
        assert!(told.iter().all(|line| line.as_str() == lines[0]));
    });
}

/// A bit flips in what a living program has printed, and the daemon is killed: the next one finds it, tells it as a problem, and
/// readers are given all but the block in which it flipped.
fn a_bit_that_flips_while_a_program_prints_is_told() {
    let options = Options::default().config("logs", "sync_interval = \"50ms\"");
    Daemon::with(options, |daemon| {
        daemon.up(named("steady", daemon.probe(&["bytes", "200000", "line", "", "pause"])));
        let segment = folder(daemon, "steady").join("0000000000000000.log");
        // 16 bytes for the head and for each block, the last of which says how far they go.
        let summed = || {
            let running = fs::read(segment.with_extension("crc")).unwrap_or_default();
            running.get(4 * 16..4 * 16 + 8).is_some_and(|to| to == 200_001_u64.to_le_bytes())
        };
        eventually("there are checksums of what it has printed", summed);
        let data = fs::File::options().write(true).open(&segment).unwrap();
        data.write_all_at(b"X", 100_000).unwrap();
        daemon.replace();
        let problem = || daemon.status().problems.iter().any(|told| told.contains("not what was"));
        eventually("the next daemon tells it", problem);
        let read = || daemon.aer(&["logs", "steady"]);
        let is_told = || read().err().contains("65536 bytes of output missing here");
        eventually("readers are told", is_told);
        let output = read();
        assert!(output.err().contains("the file of the log is damaged"), "{}", output.err());
        let told: Vec<usize> = output.out().lines().map(str::len).collect();
        assert_eq!(told, [65_536, 200_000 - 2 * 65_536], "all but one block, which ends a line");
        assert!(!output.out().contains('X'));
    });
}
