//! Finding runs, in memory and on disk.

use std::io::Write;

use logs::{LogName, Options, Position};

use crate::fixture::{Store, exited, run, unit};

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
