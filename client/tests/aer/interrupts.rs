//! Signals to aer, and readers that go away.

use std::{fs::File, io::Read};

use api::runtime::{
    ExecutableStatus, ExitRecord, StopRequest, exit_record::Cause, run_frame::Frame,
};
use nix::sys::signal::Signal;

use crate::{
    Running, aer_at, frame,
    peer::{Asked, Peer, Script, Then},
    started,
};

const RUN: &str = "0192f0c1-2c3d-4e5f-8a9b-0c1d2e3f4a5b";
const EXEC: [&str; 5] = ["exec", "--run-id", RUN, "--", "x"];

fn peer(then: Then) -> Peer {
    let frames = vec![started(), frame(Frame::Stdout("ready\n".into()))];
    Peer::new(Script { frames, then, ..Script::default() })
}

fn stop(signal: i32, kill: bool) -> StopRequest {
    StopRequest { run_id: RUN.into(), signal, kill, ..StopRequest::default() }
}

#[test]
fn a_byte_is_seen_while_the_run_goes_on() {
    let frames = vec![started(), frame(Frame::Stdout("prompt> ".into()))];
    let peer = Peer::new(Script { frames, then: Then::ObeyStops, ..Script::default() });
    let mut aer = Running::start(&peer, &EXEC);
    let mut seen = [0; 8];
    aer.stdout.as_mut().unwrap().read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"prompt> ");
    aer.signal(Signal::SIGTERM);
    assert_eq!(peer.stop(), stop(15, false));
    aer.signal(Signal::SIGTERM);
    assert_eq!(aer.ended().0, 137);
}

#[test]
fn the_first_signal_stops_and_the_second_kills_while_output_goes_on() {
    for (signal, number) in [(Signal::SIGINT, 2), (Signal::SIGTERM, 15)] {
        let peer = peer(Then::ObeyStops);
        let mut aer = Running::start(&peer, &EXEC);
        assert_eq!(aer.printed(), "ready\n");
        aer.signal(signal);
        assert_eq!(peer.stop(), stop(number, false));
        assert_eq!(aer.complained(), format!("signal {number} kill false\n"));
        aer.signal(Signal::SIGINT);
        assert_eq!(peer.stop(), stop(0, true));
        assert_eq!(aer.ended(), (137, "signal 0 kill true\n".into()));
    }
}

#[test]
fn the_third_signal_leaves_a_daemon_that_does_nothing() {
    let peer = peer(Then::IgnoreStops);
    let mut aer = Running::start(&peer, &EXEC);
    assert_eq!(aer.printed(), "ready\n");
    for _ in 0..2 {
        aer.signal(Signal::SIGINT);
        aer.complained();
    }
    aer.signal(Signal::SIGINT);
    assert_eq!(aer.ended(), (130, String::new()));
}

#[test]
fn signals_are_seen_while_nobody_reads_the_output() {
    let peer = peer(Then::PrintForever);
    let mut aer = Running::start(&peer, &EXEC);
    assert_eq!(aer.printed(), "ready\n");
    aer.signal(Signal::SIGINT);
    assert_eq!(peer.stop(), stop(2, false));
    aer.signal(Signal::SIGINT);
    assert_eq!(peer.stop(), stop(0, true));
    aer.signal(Signal::SIGTERM);
    assert_eq!(aer.ended(), (143, String::new()));
}

#[test]
fn with_json_a_signal_stops_the_run_and_the_answer_still_comes() {
    let exit = Some(ExitRecord { cause: Some(Cause::Signal(9)), ..ExitRecord::default() });
    let answer = ExecutableStatus { exit, ..ExecutableStatus::default() };
    let peer = Peer::new(Script { then: Then::ObeyStops, answer, ..Script::default() });
    let mut aer = Running::start(&peer, &[&["-o", "json"][..], &EXEC].concat());
    assert!(matches!(peer.asked(), Asked::Execute(..)));
    aer.signal(Signal::SIGINT);
    assert_eq!(peer.stop(), stop(2, false));
    aer.signal(Signal::SIGINT);
    assert!(aer.printed().contains("\"signal\":9"));
    assert_eq!(aer.ended(), (137, String::new()));
}

#[test]
fn a_reader_that_goes_away_stops_the_run_quietly() {
    let peer = peer(Then::PrintForever);
    let mut aer = Running::start(&peer, &EXEC);
    assert_eq!(aer.printed(), "ready\n");
    aer.stdout = None;
    assert_eq!(peer.stop(), stop(0, false));
    assert_eq!(aer.ended(), (141, String::new()));
}

#[test]
fn a_full_disk_stops_the_run_and_is_told() {
    let peer = peer(Then::PrintForever);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = aer_at(&peer, &EXEC).stdout(full).output().unwrap();
    assert_eq!(peer.stop(), stop(0, false));
    assert_eq!(output.status.code(), Some(125));
    let complaint = crate::complaint(&output);
    assert!(complaint.contains("writing standard output: No space left"), "{complaint}");
}

#[test]
fn a_daemon_that_dies_is_told_with_the_run_it_leaves() {
    let mut peer = peer(Then::IgnoreStops);
    let mut aer = Running::start(&peer, &[&["--reconnect", "200ms"][..], &EXEC].concat());
    assert_eq!(aer.printed(), "ready\n");
    peer.vanish();
    let (status, complaint) = aer.ended();
    assert_eq!(status, 125);
    assert!(complaint.starts_with("aer: running x: the connection to the daemon broke ("));
    assert!(complaint.contains("no daemon answered for 0.2 s"), "{complaint}");
    assert!(complaint.ends_with(&format!("; what it printed: aer logs {RUN}\n")), "{complaint}");
}
