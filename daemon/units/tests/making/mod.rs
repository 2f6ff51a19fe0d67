//! Runs, people and ends, made from small numbers.

use std::{sync::Arc, time::Duration};

use units::{Argv, Cause, Door, Execution, Limits, Name, Origin, ProcessExit, ProcessUsage, RunId};

/// Every bound differs, so that no test passes by the wrong one.
pub(crate) const LIMITS: Limits = Limits {
    leftover_timeout: Duration::from_secs(2),
    stop_timeout: Duration::from_secs(10),
    start_timeout: Duration::from_secs(15),
    shut_down_timeout: Duration::from_secs(7),
    claim_timeout: Duration::from_secs(30),
    prepare_timeout: Duration::from_secs(5),
    live_runs: 4,
};

/// The run of this number.
pub(crate) fn run(number: u8) -> RunId {
    RunId::from_bytes([number; 16])
}

/// The name with this end.
pub(crate) fn name(end: u8) -> Name {
    let Ok(name) = format!("name-{end}").parse() else { unreachable!("it is a name") };
    name
}

/// One that is told from others by its `words`.
pub(crate) fn execution(number: u8, name_end: u8, words: u8) -> Execution {
    let Ok(argv) = Argv::new([b"program".to_vec(), vec![b'a' + words]]) else {
        unreachable!("these are words")
    };
    Execution {
        run: run(number),
        name: name(name_end),
        anonymous: false,
        program: b"/bin/program".to_vec(),
        argv,
        comment: String::new(),
        setting: Arc::default(),
    }
}

/// A person at the API.
pub(crate) fn person(identity: &str) -> Origin {
    Origin { door: Door::Grpc, identity: identity.to_owned(), reason: "because".to_owned() }
}

/// An end of a main process.
pub(crate) fn exit(cause: Cause, at: i64) -> ProcessExit {
    let usage = ProcessUsage { user_time: 1, system_time: 2 };
    ProcessExit { cause, at, usage }
}

/// Death by this signal.
pub(crate) fn by_signal(signal: i32) -> Cause {
    Cause::Signalled { signal, core_dumped: false }
}
