//! The first line of a program that is gone at once: there, of the right unit and the right run, each time.

use api::observe::{LogSource, LogsRequest, log_source::Of};
use tests::{
    Daemon, Options,
    rpc::{argv, fresh_id, identified, named},
};

const TIMES: usize = 10_000;
const UNITS: usize = 10;

pub(crate) fn run() -> bool {
    let daemon = Daemon::start(Options::default());
    let mut observe = daemon.observe_client();
    let mut runtime = daemon.runtime_client();
    let mut there = 0;
    for number in 0..TIMES {
        let (name, run_id) = (format!("fast{}", number % UNITS), fresh_id());
        let echo = identified(&run_id, named(&name, argv(&["/bin/sh", "-c", "echo x"])));
        there += usize::from(daemon.block(async {
            runtime.exec(echo).await.expect("it runs");
            let sources = vec![LogSource { of: Some(Of::RunId(run_id.clone())) }];
            let request = LogsRequest { sources, ..LogsRequest::default() };
            let mut stream = observe.logs(request).await.expect("it is there").into_inner();
            let mut chunks = Vec::new();
            while let Some(batch) = stream.message().await.expect("it goes on") {
                chunks.extend(batch.chunks);
            }
            let [chunk] = chunks.as_slice() else { return false };
            (chunk.name == name) && (chunk.run_id == run_id) && (*chunk.data == *b"x\n")
        }));
    }
    daemon.stop();
    println!("logs: the first line of a fast program: {there} of {TIMES}");
    there == TIMES
}
