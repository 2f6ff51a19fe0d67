//! Several logs read and followed as one, from any cursor, by time, and from their last lines.

use std::collections::BTreeMap;

use api::observe::{LogBatch, LogChunk, LogSource, LogsRequest, log_source::Of};
use client::{Client, LogSource as Source, LogsQuery};
use tests::{
    Daemon, Fifo, Options,
    rpc::{self, argv, named},
    wait::wall_clock,
};
use tonic::{Code, Status};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[];
        several_units_are_followed_while_the_daemon_dies,
        every_cursor_goes_on,
        the_newest_run_and_the_one_before,
        a_span_of_time,
        the_last_lines_and_what_comes,
        wrong_requests_name_the_field,
        a_thousand_units_to_one_client,
        the_first_line_is_there_with_its_unit_and_run,
        runs_end_with_their_exits_behind_their_last_bytes,
    ]
}

fn source(of: Of) -> LogSource {
    LogSource { of: Some(of) }
}

fn names(names: &[&str]) -> Vec<LogSource> {
    names.iter().map(|name| source(Of::Name((*name).to_owned()))).collect()
}

fn batches(daemon: &Daemon, request: LogsRequest) -> Result<Vec<LogBatch>, Status> {
    let mut client = daemon.observe_client();
    daemon.block(async {
        let mut stream = client.logs(request).await?.into_inner();
        let mut batches = Vec::new();
        while let Some(batch) = stream.message().await? {
            batches.push(batch);
        }
        Ok(batches)
    })
}

type Outputs = BTreeMap<String, Vec<u8>>;

/// What each name has printed.
fn add<'a>(outputs: &mut Outputs, chunks: impl IntoIterator<Item = &'a LogChunk>) {
    for chunk in chunks {
        outputs.entry(chunk.name.clone()).or_default().extend(&chunk.data);
    }
}

fn all_of(batches: &[LogBatch]) -> Outputs {
    let mut outputs = Outputs::new();
    add(&mut outputs, batches.iter().flat_map(|batch| &batch.chunks));
    outputs
}

fn text(outputs: &Outputs, name: &str) -> String {
    String::from_utf8(outputs.get(name).cloned().unwrap_or_default()).unwrap()
}

fn numbers(last: u32) -> String {
    (1..=last).map(|number| format!("{number}\n")).collect()
}

/// Three units that print all the time, one client, and a daemon that is killed again and again: each line once, in order.
fn several_units_are_followed_while_the_daemon_dies() {
    Daemon::with(Options::default().restart_delay("10ms"), |daemon| {
        let script =
            "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo $i; sleep 0.005; done; sleep 1000";
        for name in ["a", "b", "c"] {
            daemon.up(named(name, argv(&["/bin/sh", "-c", script])));
        }
        let sources = ["a", "b", "c"].map(|name| Source::Name(name.to_owned())).to_vec();
        let query = LogsQuery { sources, follow: true, ..LogsQuery::default() };
        let socket = daemon.socket();
        let reading = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let endpoint = client::Endpoint::Socket(socket);
                let client = Client::connect(endpoint).await.unwrap();
                let mut stream = client.logs(query).await.unwrap();
                let mut outputs = Outputs::new();
                while !["a", "b", "c"].iter().all(|name| text(&outputs, name).ends_with("\n400\n"))
                {
                    let batch = stream.next().await.unwrap().unwrap();
                    assert_eq!(batch.gap, None);
                    add(&mut outputs, &batch.chunks);
                }
                outputs
            })
        });
        for _ in 0..4 {
            daemon.replace();
        }
        let outputs = reading.join().unwrap();
        for name in ["a", "b", "c"] {
            assert_eq!(text(&outputs, name), numbers(400), "{name}");
            daemon.down(name);
        }
    });
}

/// Read as one and broken off after any batch: what follows is what was missing, of the last lines too.
fn every_cursor_goes_on() {
    Daemon::with(Options::default(), |daemon| {
        let script = "i=0; while [ $i -lt 8000 ]; do i=$((i+1)); printf '%0100d\\n' $i; \
                      [ $((i%3)) = 0 ] && echo $i >&2; done";
        for name in ["a", "b"] {
            daemon.answer(named(name, argv(&["/bin/sh", "-c", script])));
        }
        for last in [None, Some(5432)] {
            let request = LogsRequest { sources: names(&["a", "b"]), last, ..Default::default() };
            let whole = batches(daemon, request.clone()).unwrap();
            let outputs = all_of(&whole);
            if let Some(last) = last {
                let count = |name| text(&outputs, name).lines().count();
                assert_eq!((count("a"), count("b")), (last as usize, last as usize));
            }
            assert!(whole.len() > 1, "one batch has no middle");
            for (number, batch) in whole.iter().enumerate() {
                let cursor = batch.cursor.clone();
                let rest = batches(daemon, LogsRequest { cursor, ..request.clone() }).unwrap();
                let mut joined = whole[..=number].to_vec();
                joined.extend(rest);
                assert_eq!(all_of(&joined), outputs, "from batch {number}");
            }
        }
    });
}

/// Of a name that has run twice: the newest run, the one before it, and all.
fn the_newest_run_and_the_one_before() {
    Daemon::with(Options::default(), |daemon| {
        for text in ["one\n", "two\n", "three\n"] {
            daemon.answer(named("job", daemon.probe(&["out", text])));
        }
        let read = |of| {
            let request = LogsRequest { sources: vec![source(of)], ..Default::default() };
            batches(daemon, request)
        };
        let newest = read(Of::Newest("job".into())).unwrap();
        assert_eq!(text(&all_of(&newest), "job"), "three\n");
        assert_eq!(newest[0].run_ids, [newest[0].chunks[0].run_id.clone()]);
        assert!(newest.last().unwrap().exit.is_some());
        let previous = read(Of::Previous("job".into())).unwrap();
        assert_eq!(text(&all_of(&previous), "job"), "two\n");
        daemon.answer(named("once", daemon.probe(&["out", "x"])));
        let refused = read(Of::Previous("once".into())).unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        assert!(refused.message().contains("once has no run before"), "{refused}");
        assert_eq!(read(Of::Newest("never".into())).unwrap_err().code(), Code::NotFound);
    });
}

/// Since and until a time that lies between two lines; and followed until a time, the log ends by itself.
fn a_span_of_time() {
    Daemon::with(Options::default(), |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let mut run = daemon.run(named(
            "job",
            daemon.probe(&["line", "one", "await", gate.path(), "line", "two", "line", "three"]),
        ));
        run.read_until("one\n");
        let between = wall_clock();
        gate.release();
        run.finish();
        let read = |since, until, follow| {
            let sources = names(&["job"]);
            let request = LogsRequest { sources, since, until, follow, ..Default::default() };
            text(&all_of(&batches(daemon, request).unwrap()), "job")
        };
        assert_eq!(read(between, 0, false), "two\nthree\n");
        assert_eq!(read(0, between, false), "one\n");
        assert_eq!(read(0, between, true), "one\n");
        assert_eq!(read(wall_clock(), 0, false), "");
        // Followed until a time that is still to come.
        assert_eq!(read(between, wall_clock() + 200_000_000, true), "two\nthree\n");
    });
}

/// The last lines, and what comes after them.
fn the_last_lines_and_what_comes() {
    Daemon::with(Options::default(), |daemon| {
        let mut gate = Fifo::make(daemon.path(), "gate");
        let mut words = vec!["line", "1", "line", "2", "line", "3", "out", "4 be", "await"];
        words.extend([gate.path(), "line", "gun", "line", "5"]);
        let mut run = daemon.run(named("job", daemon.probe(&words)));
        run.read_until("4 be");
        let open = |last| {
            let sources = vec![source(Of::Newest("job".into()))];
            let request =
                LogsRequest { sources, last: Some(last), follow: true, ..Default::default() };
            daemon.block(daemon.observe_client().logs(request)).unwrap().into_inner()
        };
        let (mut three, mut none) = (open(3), open(0));
        // The first batch says which run it is: the stream has begun.
        let first = daemon.block(none.message()).unwrap().unwrap();
        assert_eq!((first.chunks.len(), first.run_ids.len()), (0, 1));
        gate.release();
        run.finish();
        let read = |stream: &mut tonic::Streaming<LogBatch>| {
            let mut outputs = Outputs::new();
            while let Some(batch) = daemon.block(stream.message()).unwrap() {
                add(&mut outputs, &batch.chunks);
            }
            text(&outputs, "job")
        };
        assert_eq!(read(&mut three), "2\n3\n4 begun\n5\n");
        assert_eq!(read(&mut none), "gun\n5\n");
    });
}

/// What cannot be is refused, with the field that is wrong; what is not there is NOT_FOUND, with what to do.
fn wrong_requests_name_the_field() {
    Daemon::with(Options::default(), |daemon| {
        daemon.answer(named("job", daemon.probe(&["out", "x"])));
        let refused = |request| batches(daemon, request).unwrap_err();
        let base = LogsRequest { sources: names(&["job"]), ..Default::default() };
        for (field, request) in [
            ("since", LogsRequest { since: -1, ..base.clone() }),
            ("until", LogsRequest { since: 7, until: 7, ..base.clone() }),
            ("cursor", LogsRequest { cursor: "units/other@0".into(), ..base.clone() }),
            ("cursor", LogsRequest { cursor: "units/job@0,x".into(), ..base.clone() }),
            ("sources", LogsRequest { sources: vec![LogSource::default()], ..base.clone() }),
            ("sources", LogsRequest { sources: names(&["job"; 1025]), ..base.clone() }),
            ("newest", LogsRequest { sources: vec![source(Of::Newest("/".into()))], ..base }),
        ] {
            let status = refused(request);
            assert_eq!(status.code(), Code::InvalidArgument, "{field}");
            assert!(status.message().starts_with(&format!("{field}: ")), "{status}");
        }
        let status =
            refused(LogsRequest { sources: names(&["job", "never"]), ..Default::default() });
        assert_eq!(status.code(), Code::NotFound);
        assert!(status.message().contains("nothing of the name never has run here"), "{status}");
    });
}

/// A thousand units, each of which prints, and one client that reads them all while they begin.
fn a_thousand_units_to_one_client() {
    Daemon::with(Options::default(), |daemon| {
        const UNITS: usize = 1000;
        let request = LogsRequest { all: true, follow: true, ..Default::default() };
        let mut client = daemon.observe_client();
        let mut stream = daemon.block(client.logs(request)).unwrap().into_inner();
        let reading = daemon.runtime().spawn(async move {
            let mut outputs = Outputs::new();
            let whole = |outputs: &Outputs| {
                let whole = |output: &Vec<u8>| output.ends_with(b"20\n");
                outputs.len() == UNITS && outputs.values().all(whole)
            };
            while !whole(&outputs) {
                let batch = stream.message().await.unwrap().expect("it has no end");
                assert_eq!(batch.gap, None);
                add(&mut outputs, &batch.chunks);
            }
            outputs
        });
        let script = "i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo $i; done";
        let mut begun = std::collections::VecDeque::new();
        for number in 0..UNITS {
            let executable = named(&format!("u{number}"), argv(&["/bin/sh", "-c", script]));
            begun.push_back(daemon.begin(executable));
            if begun.len() >= 50 {
                daemon.wait_for(begun.pop_front().unwrap());
            }
        }
        begun.into_iter().for_each(|begun| drop(daemon.wait_for(begun)));
        let outputs = daemon.block(reading).unwrap();
        for number in 0..UNITS {
            assert_eq!(text(&outputs, &format!("u{number}")), numbers(20), "u{number}");
        }
    });
}

/// A program that prints one line and is gone: the line is there, of this unit and this run, each time.
fn the_first_line_is_there_with_its_unit_and_run() {
    Daemon::with(Options::default(), |daemon| {
        for number in 0..300 {
            let name = format!("fast{}", number % 7);
            let run_id = rpc::fresh_id();
            let executable = named(&name, argv(&["/bin/sh", "-c", "echo x"]));
            daemon.answer(rpc::identified(&run_id, executable));
            let sources = vec![source(Of::RunId(run_id.clone()))];
            let read = batches(daemon, LogsRequest { sources, ..Default::default() }).unwrap();
            let chunks: Vec<_> = read.iter().flat_map(|batch| &batch.chunks).collect();
            let [chunk] = chunks.as_slice() else { panic!("{number}: {chunks:?}") };
            assert_eq!((&chunk.name, &chunk.run_id), (&name, &run_id));
            assert_eq!(&*chunk.data, b"x\n");
            assert_eq!(rpc::code(read.last().unwrap().exit.as_ref().unwrap()), Some(0));
        }
    });
}

/// Several runs are followed until all have ended: each with its exit, after its last byte.
fn runs_end_with_their_exits_behind_their_last_bytes() {
    Daemon::with(Options::default(), |daemon| {
        let mut gates: Vec<_> =
            ["a", "b"].map(|name| Fifo::make(daemon.path(), name)).into_iter().collect();
        let mut sources = Vec::new();
        for (gate, (name, status)) in gates.iter().zip([("a", "3"), ("b", "4")]) {
            let words = ["line", "x", "await", gate.path(), "out", "last", "exit", status];
            let up = daemon.up(named(name, daemon.probe(&words)));
            sources.push(source(Of::RunId(up.run_id)));
        }
        let request = LogsRequest { sources, follow: true, ..Default::default() };
        let mut stream = daemon.block(daemon.observe_client().logs(request)).unwrap().into_inner();
        gates.reverse();
        gates.iter_mut().for_each(Fifo::release);
        let (mut outputs, mut exits) = (Outputs::new(), BTreeMap::new());
        while let Some(batch) = daemon.block(stream.message()).unwrap() {
            for chunk in &batch.chunks {
                assert!(!exits.contains_key(&chunk.name), "{} has ended", chunk.name);
            }
            add(&mut outputs, &batch.chunks);
            if let Some(exit) = batch.exit {
                assert_eq!(text(&outputs, &exit.name), "x\nlast");
                exits.insert(exit.name.clone(), rpc::code(&exit).unwrap());
            }
        }
        assert_eq!(exits.into_iter().collect::<Vec<_>>(), [("a".into(), 3), ("b".into(), 4)]);
    });
}
