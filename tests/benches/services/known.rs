//! Whether one among ten thousand costs what it costs among ten.

use std::time::{Duration, Instant};

use api::{
    meta::Status as State,
    runtime::{Executable, RestartPolicy, UnitKind, UnitState},
    schedule::Registration,
};
use tests::{
    Daemon, Options, argv, procfs,
    rpc::named,
    services::{Calls, names, sleeper},
};

use crate::{load, median};

const FEW: usize = 10;
const MANY: usize = 10_000;
const ROUNDS: usize = 300;
const WARM_UP: usize = 10;
/// Among many over among few, medians: what two runs of the same differ by.
const BOUND: f64 = 1.1;

pub(crate) fn run() -> bool {
    let (few, many) = (Town::with(FEW), Town::with(MANY));
    let (mut starts, mut stops) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 0..ROUNDS + WARM_UP {
        for (place, town) in [&few, &many].into_iter().enumerate() {
            let (start, stop) = town.turn();
            if round >= WARM_UP {
                starts[place].push(start);
                stops[place].push(stop);
            }
        }
    }
    few.daemon.stop();
    many.daemon.stop();
    let [start_few, start_many] = starts.map(median);
    let [stop_few, stop_many] = stops.map(median);
    let (starts, stops) = (crate::ratio(start_many, start_few), crate::ratio(stop_many, stop_few));
    println!(
        "services: Start of one among {MANY} {start_many:?}, among {FEW} {start_few:?}, ratio {starts:.2} (bound {BOUND})"
    );
    println!(
        "services: Stop of one among {MANY} {stop_many:?}, among {FEW} {stop_few:?}, ratio {stops:.2} (bound {BOUND}), load average {}",
        load()
    );
    starts <= BOUND && stops <= BOUND
}

/// A daemon that knows so many units, all of which are registered and have run, and one more.
struct Town {
    daemon: Daemon,
    calls: Calls,
}

impl Town {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    fn with(count: usize) -> Self {
        let daemon = Daemon::start(Options::default());
        let calls = Calls::to(&daemon);
        let names = names(count);
        let units = names.iter().map(|name| Executable {
            kind: UnitKind::Oneshot.into(),
            ..named(name, argv(&["/bin/true"]))
        });
        let unlimited = RestartPolicy { start_limit: Some(0), ..RestartPolicy::default() };
        let measured = Executable { restart: Some(unlimited), ..sleeper("measured") };
        let all = units.chain([measured]).map(|executable| Registration {
            executable: Some(executable),
            status: State::Standby.into(),
            ..Registration::default()
        });
        let all: Vec<Registration> = all.collect();
        let mut change = daemon.change_client();
        daemon.block(change.import(tokio_stream::iter(all))).expect("they are registered");
        let begin = Instant::now();
        calls.start_all_named(&names);
        let took = begin.elapsed();
        let known = calls.list();
        assert!(known.iter().all(|view| view.state() == UnitState::Inactive));
        assert_eq!(known.len(), count);
        let pss = procfs::pss_kib(daemon.status().daemon_pid).unwrap_or_default();
        println!(
            "services: {count} oneshots of /bin/true in {took:?}; then the daemon {pss} KiB PSS"
        );
        Self { daemon, calls }
    }

    /// How long Start and Stop take.
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    fn turn(&self) -> (Duration, Duration) {
        let begin = Instant::now();
        self.calls.start_named("measured").expect("it starts");
        let start = begin.elapsed();
        let begin = Instant::now();
        self.calls.stop("measured").expect("it stops");
        (start, begin.elapsed())
    }
}
