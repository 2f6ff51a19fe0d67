//! `aer watch`.

use api::{
    meta::AuraeMeta,
    runtime::{
        ChangeCause, ExitRecord, Origin, UnitChange, UnitState, WatchBegin, WatchGap, WatchRequest,
        WatchResponse, exit_record::Cause, watch_response::Event,
    },
};

use crate::{
    peer::{Asked, Peer, Script},
    run, status, text,
    unit_peer::{Called, Units},
};

const ENDED: &str = "aer: watching the units: the daemon ended the watch; check that auraed runs \
                     there, and watch again\n";

fn change(sequence: u64, to: UnitState) -> UnitChange {
    UnitChange {
        sequence,
        changed_at: 1_700_000_000_000_000_000,
        meta: Some(AuraeMeta { name: "web".into(), ..AuraeMeta::default() }),
        from: UnitState::Inactive.into(),
        to: to.into(),
        ..UnitChange::default()
    }
}

fn watching() -> Peer {
    let origin = Origin { door: "grpc".into(), identity: "uid:7".into(), reason: "a\nb".into() };
    let ordered = UnitChange {
        cause: ChangeCause::Order.into(),
        origin: Some(origin),
        pid: 71,
        ..change(8, UnitState::Starting)
    };
    let exit = Some(ExitRecord { cause: Some(Cause::Signal(11)), ..ExitRecord::default() });
    let exited =
        UnitChange { cause: ChangeCause::Exit.into(), exit, ..change(9, UnitState::Failed) };
    let gap = WatchGap { first: 3, last: 7, message: "they are not kept any more".into() };
    let events = [
        Some(Event::Begin(WatchBegin { series: "s1".into(), after: 2 })),
        Some(Event::Gap(gap)),
        Some(Event::Change(ordered)),
        // Of a newer daemon.
        None,
        Some(Event::Change(exited)),
    ];
    let events = events.into_iter().map(|event| WatchResponse { event }).collect();
    Peer::new(Script { units: Units { events, ..Units::default() }, ..Script::default() })
}

fn asked(peer: &Peer) -> WatchRequest {
    loop {
        // Names are asked about before.
        if let Asked::Unit(Called::Watch(request), _) = peer.asked() {
            return request;
        }
    }
}

#[test]
fn a_change_is_one_line_and_a_gap_is_told() {
    let peer = watching();
    let output = run(&peer, &["watch"]);
    let wanted = "\
8  2023-11-14T22:13:20Z  web  inactive -> starting  by order of uid:7 through grpc (a\\nb) [pid 71]
9  2023-11-14T22:13:20Z  web  inactive -> failed  ended by SIGSEGV
";
    assert_eq!(text(&output.stdout), wanted);
    let gap = "aer: changes 3 to 7 missing here: they are not kept any more\n";
    assert_eq!((status(&output), text(&output.stderr)), (1, &*format!("{gap}{ENDED}")));
    assert_eq!(asked(&peer), WatchRequest::default());
}

#[test]
fn as_json_everything_is_a_line() {
    let peer = watching();
    let output = run(&peer, &["-o", "json", "watch"]);
    let lines: Vec<serde_json::Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines[0], serde_json::json!({"begin": {"series": "s1", "after": 2}}));
    let wanted =
        serde_json::json!({"first": 3, "last": 7, "message": "they are not kept any more"});
    assert_eq!(lines[1]["gap"], wanted);
    assert_eq!(lines[2]["change"]["cause"], "order");
    assert_eq!(lines[2]["change"]["origin"]["reason"], "a\nb");
    assert_eq!(lines[3]["change"]["exit"]["signal"], 11);
    assert_eq!((status(&output), text(&output.stderr)), (1, ENDED));
}

#[test]
fn a_watch_begins_where_it_is_told_to() {
    let peer = watching();
    for (from, series, after) in
        [("0", "", 0), ("7", "", 7), ("s1:7", "s1", 7), ("a:b:7", "a:b", 7)]
    {
        run(&peer, &["watch", "--from", from, "a", "b"]);
        let names = vec!["a".into(), "b".into()];
        let wanted = WatchRequest { after: Some(after), series: series.into(), names };
        assert_eq!(asked(&peer), wanted);
    }
}
