//! How fast one client gets what it follows: in batches, and line by line, against a bare tonic stream of the same bytes.

use std::time::Duration;

use api::observe::{
    GetSubProcessStreamRequest, LogChannelType, LogsRequest, observe_client::ObserveClient,
};
use tests::{Daemon, Options};
use tonic::transport::{Channel, Endpoint};

use crate::{LINE, bare, measure, median, of_name, print};

const LINES: usize = 2_000_000;
const ITEMS: usize = 500_000;
const ROUNDS: usize = 5;
/// Lines a second.
const IN_BATCHES: f64 = 1_000_000.0;
const LINE_BY_LINE: f64 = 200_000.0;
const LONG: Duration = Duration::from_secs(120);

pub(crate) fn run() -> bool {
    let daemon = Daemon::start(Options::default());
    print(&daemon, "batches", LINES);
    let (_, pid) = print(&daemon, "items", ITEMS);
    let (batches, items) = (daemon.path().join("batches"), daemon.path().join("items"));
    bare::serve(batches.clone(), LINES);
    bare::serve(items.clone(), ITEMS);
    let connect = |path: std::path::PathBuf| {
        let endpoint = Endpoint::from_shared(format!("unix://{}", path.display())).expect("a URI");
        ObserveClient::new(daemon.block(endpoint.connect()).expect("it answers"))
    };
    let (bare_batches, bare_items) = (connect(batches), connect(items));
    let ours = daemon.observe_client();
    let mut times = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        times[0].push(in_batches(&daemon, ours.clone()));
        times[1].push(in_batches(&daemon, bare_batches.clone()));
        times[2].push(line_by_line(&daemon, ours.clone(), pid));
        times[3].push(line_by_line(&daemon, bare_items.clone(), pid));
    }
    daemon.stop();
    let [ours, bare, our_items, bare_items] = times.map(median);
    tell("in batches", (ours, bare), LINES, IN_BATCHES)
        & tell("line by line", (our_items, bare_items), ITEMS, LINE_BY_LINE)
}

fn tell(how: &str, (ours, bare): (Duration, Duration), lines: usize, bound: f64) -> bool {
    let rate = |time: Duration| lines as f64 / time.as_secs_f64();
    println!(
        "logs: followed {how}: {:.0} lines/s (bound {bound:.0}), a bare stream {:.0}, ratio {:.2}",
        rate(ours),
        rate(bare),
        rate(ours) / rate(bare)
    );
    rate(ours) >= bound
}

fn in_batches(daemon: &Daemon, mut client: ObserveClient<Channel>) -> Duration {
    let request =
        LogsRequest { sources: of_name("batches"), follow: true, ..LogsRequest::default() };
    measure(|| {
        daemon.block_for(LONG, async {
            let mut stream = client.logs(request).await.expect("it is there").into_inner();
            let mut bytes = 0;
            // A bare stream has whole batches only.
            while bytes < LINES / bare::LINES * bare::LINES * LINE {
                let batch = stream.message().await.expect("it goes on").expect("it has no end");
                bytes += batch.chunks.iter().map(|chunk| chunk.data.len()).sum::<usize>();
            }
        });
    })
    .0
}

fn line_by_line(daemon: &Daemon, mut client: ObserveClient<Channel>, pid: i32) -> Duration {
    let channel_type = LogChannelType::ChannelStdout.into();
    let request = GetSubProcessStreamRequest { channel_type, process_id: pid.into() };
    measure(|| {
        daemon.block_for(LONG, async {
            let stream = client.get_sub_process_stream(request).await;
            let mut stream = stream.expect("it is there").into_inner();
            let mut lines = 0;
            while stream.message().await.expect("it goes on").is_some() {
                lines += 1;
            }
            assert_eq!(lines, ITEMS);
        });
    })
    .0
}
