//! What a schedule of ten thousand units costs to read, and what a change costs over the disk's own price.
//!
//! Each figure is taken in turns with its baseline in one run: for reading, a bare tonic server that streams the same
//! messages; for a change, a write and an fsync of as many bytes in the same file system. Fails where a bound is passed.
//! `-- read`, `-- change` and `-- boot` do one of the three only.

use std::{
    fs::File,
    io::Write,
    process::ExitCode,
    time::{Duration, Instant},
};

use api::{
    meta::Status as State,
    runtime::Executable,
    schedule::{
        ListRequest, Registration, Selection, ShowEnabledRequest, schedule_client::ScheduleClient,
        schedule_executable_client::ScheduleExecutableClient,
    },
};
use tests::{
    Daemon, Options, argv, eventually,
    rpc::named,
    schedule::{commented, name_of},
};
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Channel, Endpoint};

const UNITS: usize = 10_000;
const READS: usize = 50;
const CHANGES: usize = 300;
const WARM_UP: usize = 5;
/// List of ten thousand, median.
const LIST_BOUND: Duration = Duration::from_millis(50);
/// Enable over write and fsync, medians.
const ENABLE_BOUND: f64 = 2.0;
/// Units of the boot whose order is looked at.
const BOOT: usize = 500;

fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let is_wanted = |what: &str| wanted.is_empty() || wanted.iter().any(|it| it == what);
    let lists = !is_wanted("read") || read_many() <= LIST_BOUND;
    let changes = !is_wanted("change") || change() <= ENABLE_BOUND;
    let ordered = !is_wanted("boot") || boot_order();
    let fine = lists && changes && ordered;
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A client of one thread, as `aer` is, and its channel.
fn client(daemon: &Daemon) -> (Runtime, Channel) {
    let here = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let address = Endpoint::from_shared(format!("unix://{}", daemon.socket().display()));
    let channel = here.block_on(address.expect("a path is a URI here").connect());
    (here, channel.expect("the socket answers"))
}

fn unit(number: usize) -> Executable {
    let name = format!("unit-{number:05}");
    commented("one of ten thousand", named(&name, argv(&["/bin/echo", &name])))
}

/// Imports all of them, and reads them: the median of List.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn read_many() -> Duration {
    let daemon = Daemon::start(Options::default());
    let (here, channel) = client(&daemon);
    let mut change = ScheduleExecutableClient::new(channel.clone());
    let all = (0..UNITS).map(|number| Registration {
        executable: Some(unit(number)),
        status: State::Standby.into(),
        ..Registration::default()
    });
    let all: Vec<Registration> = all.collect();
    let begin = Instant::now();
    let answer = here.block_on(change.import(tokio_stream::iter(all))).expect("it is imported");
    println!("schedule: import of {UNITS} units {:?}", begin.elapsed());
    assert_eq!(answer.get_ref().enabled, UNITS as u64);
    let mut show = ScheduleClient::new(channel).max_decoding_message_size(64 << 20);
    let (mut lists, mut shows) = (Vec::new(), Vec::new());
    for round in 0..READS + WARM_UP {
        let begin = Instant::now();
        let listed = here.block_on(count(&mut show));
        let list = begin.elapsed();
        let begin = Instant::now();
        let shown = here.block_on(show.show_enabled(ShowEnabledRequest::default()));
        let shown = shown.expect("it is shown").into_inner().executables;
        let show = begin.elapsed();
        assert_eq!((listed, shown.len()), (UNITS, UNITS));
        assert_eq!(name_of(&shown[UNITS - 1]), format!("unit-{:05}", UNITS - 1));
        if round >= WARM_UP {
            lists.push(list);
            shows.push(show);
        }
    }
    let (list, show) = (median(lists), median(shows));
    println!(
        "schedule: List of {UNITS} {list:?} (bound {LIST_BOUND:?}), ShowEnabled {show:?}, which is one message of the same"
    );
    // Not a restart: ten thousand enabled units would start.
    daemon.stop();
    list
}

/// List to its end: how many there are.
async fn count(show: &mut ScheduleClient<Channel>) -> usize {
    let request = ListRequest { selection: Selection::All.into() };
    let mut stream = show.list(request).await.expect("it is listed").into_inner();
    let mut count = 0;
    while stream.message().await.expect("the stream is whole").is_some() {
        count += 1;
    }
    count
}

/// Enable and write + fsync in turns: the ratio of the medians.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn change() -> f64 {
    let daemon = Daemon::start(Options::default());
    let (here, channel) = client(&daemon);
    let mut change = ScheduleExecutableClient::new(channel);
    let mut file = File::create(daemon.state_dir().join("baseline")).expect("our folder");
    let (mut enables, mut writes, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..CHANGES + WARM_UP {
        let executable = unit(round);
        let begin = Instant::now();
        here.block_on(change.disable(named("unknown", Executable::default())))
            .expect_err("unknown");
        let refusal = begin.elapsed();
        let bytes = vec![1; prost::Message::encoded_len(&executable)];
        let begin = Instant::now();
        here.block_on(change.enable(executable)).expect("it is enabled");
        let enable = begin.elapsed();
        let begin = Instant::now();
        file.write_all(&bytes).and_then(|()| file.sync_all()).expect("the disk takes it");
        let write = begin.elapsed();
        if round >= WARM_UP {
            enables.push(enable);
            writes.push(write);
            refusals.push(refusal);
        }
    }
    let (enable, write) = (median(enables), median(writes));
    let ratio = enable.as_secs_f64() / write.as_secs_f64();
    println!(
        "schedule: Enable {enable:?}, write + fsync {write:?}, ratio {ratio:.2} (bound {ENABLE_BOUND}); a change that is refused, and touches no disk, {:?}",
        median(refusals)
    );
    daemon.stop();
    ratio
}

/// Two boots of many units: whether both started them in the order of their names, but for neighbours, since two
/// threads make processes.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn boot_order() -> bool {
    let mut daemon = Daemon::start(Options::default());
    let names: Vec<String> = (0..BOOT).map(|number| format!("unit-{number:05}")).collect();
    let mut change = daemon.change_client();
    let all = names.iter().map(|name| Registration {
        executable: Some(named(name, argv(&["/bin/echo", "up"]))),
        status: State::Standby.into(),
        ..Registration::default()
    });
    let all: Vec<Registration> = all.collect();
    daemon.block(change.import(tokio_stream::iter(all))).expect("it is imported");
    let mut fine = true;
    for boot in 1..=2 {
        daemon.shut_down();
        let begin = Instant::now();
        daemon.start_again();
        eventually("all have run", || {
            let status = daemon.status();
            status.runs_total == BOOT as u64 && status.runs_live == 0
        });
        let took = begin.elapsed();
        let began: Vec<i64> =
            names.iter().map(|name| daemon.newest_exit(name).started_at).collect();
        let mut order: Vec<usize> = (0..BOOT).collect();
        order.sort_by_key(|&place| began[place]);
        let furthest = order.iter().enumerate().map(|(at, &place)| at.abs_diff(place)).max();
        let moved = order.iter().enumerate().filter(|(at, place)| at != *place).count();
        let furthest = furthest.unwrap_or_default();
        println!(
            "schedule: boot {boot} of {BOOT} units in {took:?}: {moved} not at their place by name, none further than {furthest} from it"
        );
        fine &= furthest <= BOOT / 20;
    }
    daemon.stop();
    fine
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
