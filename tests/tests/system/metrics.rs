//! Metrics for Prometheus: what a scrape is told agrees with what the API tells.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    time::Duration,
};

use tests::{Daemon, Fifo, House, Options, PATIENCE, argv, eventually, rpc::named};

use crate::{Case, cases};

pub(crate) fn cases() -> Vec<Case> {
    cases![[]; a_scrape_agrees_with_the_api, who_scrapes_badly_harms_nobody, a_listener_that_cannot_be_had_is_told]
}

/// What a request is answered: the head and the body.
fn ask(mut stream: impl Read + Write, request: &str) -> (String, String) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("it is HTTP");
    (head.to_owned(), body.to_owned())
}

fn scrape(stream: impl Read + Write) -> String {
    let (head, body) = ask(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    body
}

/// The value of a sample.
fn value(page: &str, sample: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))?;
    Some(line.parse().expect("a number"))
}

#[track_caller]
fn is(page: &str, sample: &str, wanted: f64) {
    let found = value(page, sample);
    assert!(
        found.is_some_and(|found| (found - wanted).abs() < 1e-9),
        "{sample}: {found:?} in\n{page}"
    );
}

/// Over a socket of its own: units by state, restarts, usage, log bytes, calls, and ourselves; also by the next daemon.
fn a_scrape_agrees_with_the_api() {
    let house = House::prepare(Options::default());
    let socket = house.path().join("metrics.sock");
    let text = std::fs::read_to_string(house.config()).unwrap();
    let listen = format!("[metrics]\nlisten = \"unix:{}\"\n", socket.display());
    std::fs::write(house.config(), format!("{text}{listen}")).unwrap();
    let daemon = Daemon::start_in(house);
    eventually("it listens", || UnixStream::connect(&socket).is_ok());
    let page = || scrape(UnixStream::connect(&socket).unwrap());
    let mut go = Fifo::make(daemon.path(), "go");
    daemon.up(named("web", daemon.probe(&["line", "hello", "pause"])));
    daemon.up(named("done", daemon.probe(&["await", go.path(), "exit", "3"])));
    go.release();
    daemon.wait_down("done");
    daemon.until_logged("web", "hello\n");
    daemon.enable(named("later", argv(&["/bin/true"])));
    let (first, status) = (page(), daemon.status());
    is(&first, "aurae_units{state=\"running\"}", 1.0);
    is(&first, "aurae_units{state=\"failed\"}", 1.0);
    is(&first, "aurae_units{state=\"waiting\"}", 0.0);
    is(&first, "aurae_unit_state{unit=\"web\",state=\"running\"}", 1.0);
    is(&first, "aurae_unit_restarts_total{unit=\"web\"}", 0.0);
    is(&first, "aurae_unit_log_bytes_total{unit=\"web\"}", 6.0);
    is(&first, "aurae_unit_log_gaps_total{unit=\"web\"}", 0.0);
    is(&first, "aurae_unit_log_lost_bytes{unit=\"done\"}", 0.0);
    is(&first, "aurae_runs", f64::from(u32::try_from(status.runs_live).unwrap()));
    is(&first, "aurae_runs_total", f64::from(u32::try_from(status.runs_total).unwrap()));
    is(&first, "aurae_schedule_units{status=\"enabled\"}", 1.0);
    is(&first, "aurae_problems", 0.0);
    is(&first, "aurae_daemon_starts_total", 1.0);
    for process in ["daemon", "keeper"] {
        let sample = format!("aurae_process_resident_memory_bytes{{process=\"{process}\"}}");
        assert!(value(&first, &sample).is_some_and(|bytes| bytes > 100_000.0), "{first}");
    }
    let usage = daemon.inspect("web").unwrap().unit.unwrap().usage.unwrap_or_default();
    let pids = value(&first, "aurae_unit_pids{unit=\"web\"}");
    assert_eq!(pids.is_some(), usage.pids.is_some(), "{first}");
    let calls = |page: &str| {
        value(page, "aurae_rpc_duration_seconds_count{method=\"/runtime.Runtime/Start\"}")
    };
    assert_eq!(calls(&first), Some(2.0), "{first}");
    is(
        &first,
        "aurae_rpc_duration_seconds_bucket{method=\"/runtime.Runtime/Start\",le=\"+Inf\"}",
        2.0,
    );
    well_formed(&first);
    daemon.replace();
    eventually("the next daemon listens", || UnixStream::connect(&socket).is_ok());
    let next = page();
    is(&next, "aurae_daemon_starts_total", 2.0);
    is(&next, "aurae_units{state=\"running\"}", 1.0);
    daemon.stop();
}

/// Each sample belongs to the metric that was declared last, and each has a number.
#[track_caller]
fn well_formed(page: &str) {
    let mut metric = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            rest.split(' ').next().unwrap().clone_into(&mut metric);
        } else if !line.starts_with("# HELP ") {
            assert!(line.starts_with(&metric), "{line} is not of {metric}");
            let number = line.rsplit(' ').next().unwrap();
            assert!(number.parse::<f64>().is_ok(), "{line}");
        }
    }
}

/// Over TCP: other paths, other methods, nonsense, silence and half a request.
fn who_scrapes_badly_harms_nobody() {
    // Free a moment ago, and nobody else's in a moment, as a rule.
    let address: SocketAddr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let options = Options::default().config("metrics", &format!("listen = \"{address}\""));
    Daemon::with(options, |daemon| {
        eventually("it listens", || TcpStream::connect(address).is_ok());
        let connect = || {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream
        };
        for (request, wanted) in [
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("nonsense\r\n\r\n", "400"),
        ] {
            let (head, _) = ask(connect(), request);
            assert!(head.starts_with(&format!("HTTP/1.1 {wanted}")), "{head}");
        }
        // Fewer than are answered at a time: they are given up later.
        let silent = connect();
        let mut half = connect();
        half.write_all(b"GET /met").unwrap();
        assert!(scrape(connect()).contains("aurae_build_info"));
        drop((silent, half));
        assert!(daemon.status().healthy);
    });
}

/// It is a problem in Status, stops nothing, and is over by itself.
fn a_listener_that_cannot_be_had_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let options = Options::default().config("metrics", &format!("listen = \"{address}\""));
    Daemon::with(options, |daemon| {
        eventually("it is told", || !daemon.status().healthy);
        let problem = daemon.status().problems.concat();
        assert!(
            problem.contains(&address.to_string()) && problem.contains("[metrics]"),
            "{problem}"
        );
        assert_eq!(daemon.answer(argv(&["/bin/echo", "on"])).stdout, "on\n");
        drop(taken);
        eventually("it is had", || daemon.status().healthy);
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
        assert!(scrape(stream).contains("aurae_build_info"));
    });
}
