//! `Runtime.Watch`: every change, in order, from a number on.

use api::runtime::{
    Executable, RestartWhen, UnitChange, UnitState, WatchRequest, watch_response::Event,
};
use tests::{
    Daemon, Options, argv, eventually,
    rpc::named,
    units::{again, name_in},
};
use tonic::Code;

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        from_now_from_the_oldest_and_from_a_number,
        only_these_units,
        numbers_of_another_daemon_are_a_gap,
        who_does_not_read_hurts_nobody,
        what_cannot_be_watched,
        a_watch_ends_with_the_daemon,
    ]
}

fn from(after: u64) -> WatchRequest {
    WatchRequest { after: Some(after), ..WatchRequest::default() }
}

fn begun(daemon: &Daemon, name: &str) {
    daemon.up(named(name, daemon.probe(&["pause"])));
}

/// From now on what was before is not told; from 0 all of it; from a number what came after it, whether it is past or
/// yet to come: nothing twice, nothing left out.
fn from_now_from_the_oldest_and_from_a_number() {
    Daemon::with(Options::default(), |daemon| {
        begun(daemon, "a");
        let mut now = daemon.watch(WatchRequest::default()).unwrap();
        assert_eq!(now.begin.after, 2);
        begun(daemon, "b");
        daemon.down("a");
        let seen = now.until_state("a", UnitState::Inactive);
        let numbers: Vec<u64> = seen.iter().map(|change| change.sequence).collect();
        assert_eq!(numbers, [3, 4, 5, 6]);

        let mut oldest = daemon.watch(from(0)).unwrap();
        assert_eq!(oldest.begin.after, 0);
        let all: Vec<UnitChange> = (1..=6).map(|_| oldest.change()).collect();
        assert_eq!(all[2..], seen);
        assert_eq!((all[0].from(), all[0].to()), (UnitState::Inactive, UnitState::Starting));

        for after in 1..=6 {
            let series = now.begin.series.clone();
            let mut resumed = daemon.watch(WatchRequest { series, ..from(after) }).unwrap();
            let index = usize::try_from(after).unwrap();
            let rest: Vec<UnitChange> = all[index..].iter().map(|_| resumed.change()).collect();
            assert_eq!(rest, all[index..]);
        }
        let mut newest = daemon.watch(from(6)).unwrap();
        daemon.down("b");
        assert_eq!(newest.change().sequence, 7);
        assert_eq!(oldest.change().sequence, 7);
    });
}

/// A watch of some units tells of no other; the numbers are those of all.
fn only_these_units() {
    Daemon::with(Options::default(), |daemon| {
        let names = vec!["b".to_owned(), "d".to_owned()];
        let mut watch = daemon.watch(WatchRequest { names, ..from(0) }).unwrap();
        for name in ["a", "b", "c", "d"] {
            begun(daemon, name);
        }
        let seen = watch.until_state("d", UnitState::Running);
        let told: Vec<(u64, &str)> =
            seen.iter().map(|it| (it.sequence, name_in(it.meta.as_ref()))).collect();
        assert_eq!(told, [(3, "b"), (4, "b"), (7, "d"), (8, "d")]);
    });
}

/// Numbers of a keeper that has ended are told as a gap, and all that its successor has follows.
fn numbers_of_another_daemon_are_a_gap() {
    let mut daemon = Daemon::start(Options::default());
    begun(&daemon, "a");
    let series = daemon.watch(WatchRequest::default()).unwrap().begin.series;
    daemon.restart();
    begun(&daemon, "b");
    let mut watch = daemon.watch(WatchRequest { series: series.clone(), ..from(2) }).unwrap();
    assert_ne!(watch.begin.series, series);
    assert_eq!(watch.begin.after, 0);
    let Event::Gap(gap) = watch.event() else { panic!("no gap") };
    assert_eq!((gap.first, gap.last), (0, 0));
    assert!(!gap.message.is_empty());
    let change = watch.change();
    assert_eq!((change.sequence, name_in(change.meta.as_ref())), (1, "b"));
    daemon.stop();
}

/// A watcher that does not read delays nobody, loses nothing that is kept, and is told what is not as a gap.
fn who_does_not_read_hurts_nobody() {
    Daemon::with(Options::default(), |daemon| {
        let mut slow = daemon.watch(from(0)).unwrap();
        let flapping = Executable {
            restart: Some(again(RestartWhen::Always)),
            ..named("flapping", argv(&["/bin/true"]))
        };
        drop(daemon.try_up(flapping));
        daemon.until("flapping", "it has flapped 100 times", |unit| unit.restarts >= 100);
        assert_eq!(daemon.answer(argv(&["/bin/echo", "x"])).stdout, "x\n");
        daemon.down("flapping");
        let newest = daemon.changes("flapping").pop().unwrap().sequence;
        let mut last = 0;
        while last < newest {
            match slow.event() {
                Event::Change(change) => {
                    assert_eq!(change.sequence, last + 1);
                    last = change.sequence;
                }
                Event::Gap(gap) => {
                    assert_eq!(gap.first, last + 1);
                    last = gap.last;
                }
                Event::Begin(begin) => panic!("again {begin:?}"),
            }
        }
    });
}

/// A number that is yet to come, and a name that is none: refused by field.
fn what_cannot_be_watched() {
    Daemon::with(Options::default(), |daemon| {
        let names = vec!["no/name".to_owned()];
        for (request, field) in [(from(1), "after"), (WatchRequest { names, ..from(0) }, "names")] {
            let refused = daemon.watch(request).map(drop).unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
            assert!(refused.message().starts_with(field), "{refused}");
        }
    });
}

/// A watch does not hold up the end of the daemon, and tells it.
fn a_watch_ends_with_the_daemon() {
    let daemon = Daemon::start(Options::default());
    let mut client = daemon.runtime_client();
    let mut stream = daemon.block(client.watch(from(0))).unwrap().into_inner();
    begun(&daemon, "a");
    let reading =
        daemon.runtime().spawn(async move { while let Ok(Some(_)) = stream.message().await {} });
    assert!(!reading.is_finished());
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    daemon.block(reading).unwrap();
    eventually("nobody answers", || daemon.status_if_there().is_none());
    daemon.ends();
}
