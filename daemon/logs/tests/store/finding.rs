//! Finding runs, in memory and on disk.

use std::{env, fs, io::Write};

use logs::{Filter, Item, LogName, Options, Position};

use crate::fixture::{Store, exited, rest, run, unit};

#[test]
fn a_run_is_found_from_its_attachment_on() {
    let store = Store::new();
    assert_eq!(store.logs.locate(run(1)).unwrap(), None);
    let mut program = store.start(run(7), &LogName::Commands);
    program.stdout.write_all(b"12345").unwrap();
    store.end(program);

    let program = store.attach(run(1), &LogName::Commands);
    let located = store.logs.locate(run(1)).unwrap().unwrap();
    assert_eq!((located.first, located.pid, located.ended), (Position(5), None, None));
    store.logs.started(run(1), 77, 9).unwrap();
    let located = store.logs.locate_pid(77).unwrap().unwrap();
    assert_eq!((located.run, located.pid, located.started), (run(1), Some(77), Some(9)));
    store.end(program);
    let located = store.logs.locate(run(1)).unwrap().unwrap();
    assert_eq!(located.ended, Some(exited(0)));
    assert_eq!(store.logs.locate_newest(&LogName::Commands).unwrap().unwrap().run, run(1));
    assert_eq!(store.logs.locate_newest(&unit("web")).unwrap(), None);
}

/// Nothing in memory: the indexes say the same.
#[test]
fn runs_are_found_on_disk() {
    for remembered in [1, 1_000] {
        let options = Options { segment_bytes: 50, remembered, ..Options::default() };
        let mut store = Store::with(options);
        for number in 0..20 {
            let log = if number % 2 == 0 { LogName::Commands } else { unit("web") };
            let program = store.attach(run(number), &log);
            let pid = i32::try_from(number % 6).unwrap();
            store.logs.started(run(number), pid, 100 + number).unwrap();
            writeln!(&program.stdout, "this is number {number}").unwrap();
            store.end(program);
        }
        let check = |store: &Store| {
            for number in 0..20 {
                let located = store.logs.locate(run(number)).unwrap().unwrap();
                assert_eq!(located.started, Some(100 + number));
                assert_eq!(located.ended, Some(exited(0)));
                let items = store.items(&located.log, crate::fixture::of(run(number)));
                assert!(!items.is_empty());
            }
            assert_eq!(store.logs.locate_pid(5).unwrap().unwrap().run, run(17));
            assert_eq!(store.logs.locate_pid(0).unwrap().unwrap().run, run(18));
            assert_eq!(store.logs.locate_pid(6).unwrap(), None);
            assert_eq!(store.logs.locate_newest(&LogName::Commands).unwrap().unwrap().run, run(18));
            assert_eq!(store.logs.locate_newest(&unit("web")).unwrap().unwrap().run, run(19));
            assert_eq!(store.logs.logs().unwrap(), [LogName::Commands, unit("web")]);
            (0..20).map(|number| store.logs.locate(run(number)).unwrap()).collect::<Vec<_>>()
        };
        let in_memory = check(&store);
        store.reopen(options);
        assert_eq!(check(&store), in_memory);
    }
}

/// Bytes that this thread has read, and calls by which it has.
fn read_so_far() -> [u64; 2] {
    let told = fs::read_to_string("/proc/thread-self/io").expect("the kernel counts what is read");
    ["rchar: ", "syscr: "].map(|key| {
        let line = told.lines().find_map(|line| line.strip_prefix(key)).expect("it is there");
        line.parse().expect("a number")
    })
}

/// A GiB or ten cost no more than a MiB: what is read for the last lines are those lines, and the index behind them. Counted
/// and not timed. 64 MiB; other sizes by LOGS_TEST_LARGE_MIB in the environment.
#[test]
fn the_last_lines_of_a_large_log_cost_no_more() {
    const LINE: usize = 64;
    let large = env::var("LOGS_TEST_LARGE_MIB").map_or(64, |size| size.parse().expect("a number"));
    let store = Store::with(Options { segment_bytes: 1 << 20, ..Options::default() });
    let mut costs = Vec::new();
    for (number, (name, size)) in [("small", 1), ("large", large)].into_iter().enumerate() {
        let log = unit(name);
        let mut program = store.start(run(number as u64), &log);
        let mib: String = (0..(1 << 20) / LINE).map(|line| format!("{line:063}\n")).collect();
        for _ in 0..size {
            program.stdout.write_all(mib.as_bytes()).unwrap();
        }
        store.end(program);
        let before = read_so_far();
        let place = store.logs.place(&log, (&[], None), None, Some(10)).unwrap().unwrap();
        let mut reader = store.logs.reader(log, place.position, Filter::default());
        let lines: usize = rest(&mut reader)
            .iter()
            .map(|item| if let Item::Chunk { bytes, .. } = item { bytes.len() } else { 0 })
            .sum();
        assert_eq!(lines, 10 * LINE);
        let after = read_so_far();
        costs.push([after[0] - before[0], after[1] - before[1]]);
    }
    // Where the last piece begins is not the same; one block of data and of the index more or less.
    let [small, large] = [costs[0], costs[1]];
    assert!(
        large[0] <= small[0] + (256 << 10) && large[1] <= small[1] + 32,
        "{small:?}, {large:?}"
    );
}
