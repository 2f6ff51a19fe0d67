//! What the bodies of entries are: protobuf, in which fields are only ever added. Times on the monotonic clock are
//! nanoseconds of CLOCK_MONOTONIC, which every daemon of one boot of the machine has in common.

use prost::Message;

/// A word of a set, with a number that some have: a state, a role, an end.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct Word {
    #[prost(uint32, tag = "1")]
    pub(super) word: u32,
    #[prost(int64, tag = "2")]
    pub(super) number: i64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Head {
    /// Whose runs these are.
    #[prost(int32, tag = "1")]
    pub(super) keeper_pid: i32,
    #[prost(uint64, tag = "2")]
    pub(super) keeper_began: u64,
    /// Which numbers the changes have.
    #[prost(string, tag = "3")]
    pub(super) series: String,
    /// Since when the machine, or the container, is up: no process of another start of it is there.
    #[prost(string, tag = "4")]
    pub(super) machine: String,
    /// Whether this keeper began with what one had left that was killed.
    #[prost(bool, tag = "5")]
    pub(super) after_kill: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct Numbers {
    #[prost(uint64, tag = "1")]
    pub(super) changes: u64,
    #[prost(uint64, tag = "2")]
    pub(super) starts: u64,
    #[prost(uint64, tag = "3")]
    pub(super) runs: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Origin {
    #[prost(string, tag = "1")]
    pub(super) door: String,
    #[prost(string, tag = "2")]
    pub(super) identity: String,
    #[prost(string, tag = "3")]
    pub(super) reason: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Cause {
    /// 1 exited, 2 killed, 3 killed with a core, 4 failed, 5 lost.
    #[prost(uint32, tag = "1")]
    pub(super) how: u32,
    /// Status, signal or stage.
    #[prost(int32, tag = "2")]
    pub(super) number: i32,
    #[prost(int32, tag = "3")]
    pub(super) errno: i32,
    #[prost(string, tag = "4")]
    pub(super) text: String,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Exit {
    #[prost(message, optional, tag = "1")]
    pub(super) cause: Option<Cause>,
    #[prost(int64, tag = "2")]
    pub(super) at: i64,
    #[prost(uint64, tag = "3")]
    pub(super) user_time: u64,
    #[prost(uint64, tag = "4")]
    pub(super) system_time: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Account {
    #[prost(uint64, optional, tag = "1")]
    pub(super) user_time: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) system_time: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    pub(super) memory_peak: Option<u64>,
    #[prost(bool, optional, tag = "4")]
    pub(super) out_of_memory: Option<bool>,
    #[prost(uint64, optional, tag = "5")]
    pub(super) read_bytes: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub(super) written_bytes: Option<u64>,
    #[prost(uint64, tag = "7")]
    pub(super) stdout_total: u64,
    #[prost(uint64, tag = "8")]
    pub(super) stderr_total: u64,
    #[prost(uint64, tag = "9")]
    pub(super) lost: u64,
    #[prost(uint64, tag = "10")]
    pub(super) log_first: u64,
    #[prost(uint64, tag = "11")]
    pub(super) log_end: u64,
    #[prost(bytes = "vec", optional, tag = "12")]
    pub(super) last_line: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Record {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) run: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, tag = "3")]
    pub(super) comment: String,
    #[prost(int32, tag = "4")]
    pub(super) pid: i32,
    #[prost(message, optional, tag = "5")]
    pub(super) end: Option<Exit>,
    #[prost(int64, tag = "6")]
    pub(super) started_at: i64,
    #[prost(message, optional, tag = "7")]
    pub(super) account: Option<Account>,
    #[prost(uint32, tag = "8")]
    pub(super) leftovers: u32,
    #[prost(uint32, tag = "9")]
    pub(super) restarts: u32,
    #[prost(message, optional, tag = "10")]
    pub(super) started_by: Option<Origin>,
    #[prost(message, optional, tag = "11")]
    pub(super) stopped_by: Option<Origin>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Identity {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) run: Vec<u8>,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(bool, tag = "3")]
    pub(super) anonymous: bool,
    #[prost(string, tag = "4")]
    pub(super) comment: String,
    #[prost(fixed64, tag = "5")]
    pub(super) fingerprint: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Ended {
    #[prost(message, optional, tag = "1")]
    pub(super) identity: Option<Identity>,
    #[prost(message, optional, tag = "2")]
    pub(super) record: Option<Record>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Run {
    #[prost(message, optional, tag = "1")]
    pub(super) identity: Option<Identity>,
    #[prost(message, optional, tag = "2")]
    pub(super) started_by: Option<Origin>,
    #[prost(message, optional, tag = "3")]
    pub(super) stopped_by: Option<Origin>,
    #[prost(uint32, tag = "4")]
    pub(super) stage: u32,
    #[prost(message, optional, tag = "5")]
    pub(super) end: Option<Word>,
    #[prost(int32, tag = "6")]
    pub(super) pid: i32,
    #[prost(int64, tag = "7")]
    pub(super) started_at: i64,
    #[prost(message, optional, tag = "8")]
    pub(super) exit: Option<Exit>,
    #[prost(bool, tag = "9")]
    pub(super) empty: bool,
    #[prost(int64, tag = "10")]
    pub(super) gone_at: i64,
    #[prost(message, optional, tag = "11")]
    pub(super) failure: Option<Cause>,
    #[prost(string, optional, tag = "12")]
    pub(super) lost: Option<String>,
    #[prost(uint32, tag = "13")]
    pub(super) leftovers: u32,
    #[prost(uint64, optional, tag = "14")]
    pub(super) timer: Option<u64>,
    #[prost(bool, tag = "15")]
    pub(super) unclaimed: bool,
    #[prost(message, optional, tag = "16")]
    pub(super) role: Option<Word>,
    #[prost(uint32, tag = "17")]
    pub(super) restarts: u32,
    #[prost(bool, tag = "18")]
    pub(super) entirely: bool,
    #[prost(message, optional, tag = "19")]
    pub(super) listener: Option<Listener>,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Listener {
    #[prost(string, tag = "1")]
    pub(super) socket: String,
    #[prost(uint32, tag = "2")]
    pub(super) rank: u32,
    #[prost(bool, tag = "3")]
    pub(super) chunked: bool,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Part {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) run: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub(super) role: Option<Word>,
    #[prost(int32, tag = "3")]
    pub(super) pid: i32,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Unit {
    #[prost(uint32, tag = "1")]
    pub(super) wanted: u32,
    #[prost(message, optional, tag = "2")]
    pub(super) wanted_by: Option<Origin>,
    #[prost(int64, tag = "3")]
    pub(super) wanted_at: i64,
    #[prost(message, optional, tag = "4")]
    pub(super) state: Option<Word>,
    #[prost(int64, tag = "5")]
    pub(super) since: i64,
    #[prost(uint32, tag = "6")]
    pub(super) result: u32,
    #[prost(string, optional, tag = "7")]
    pub(super) failure: Option<String>,
    #[prost(message, optional, tag = "8")]
    pub(super) failure_record: Option<Record>,
    #[prost(bytes = "vec", optional, tag = "9")]
    pub(super) first_run: Option<Vec<u8>>,
    #[prost(message, optional, tag = "10")]
    pub(super) main: Option<Part>,
    #[prost(message, optional, tag = "11")]
    pub(super) control: Option<Part>,
    #[prost(message, optional, tag = "12")]
    pub(super) last: Option<Record>,
    #[prost(bool, tag = "13")]
    pub(super) ran: bool,
    #[prost(bool, tag = "14")]
    pub(super) said_ready: bool,
    #[prost(bool, tag = "15")]
    pub(super) unready: bool,
    #[prost(bool, tag = "16")]
    pub(super) overdue: bool,
    #[prost(uint64, optional, tag = "17")]
    pub(super) up_since: Option<u64>,
    #[prost(message, optional, tag = "18")]
    pub(super) by: Option<Origin>,
    #[prost(message, optional, tag = "19")]
    pub(super) how: Option<Word>,
    #[prost(bool, tag = "20")]
    pub(super) asked: bool,
    /// Who wants it to begin again, as the next specification says.
    #[prost(message, optional, tag = "21")]
    pub(super) next_by: Option<Origin>,
    #[prost(uint32, tag = "22")]
    pub(super) restarts: u32,
    #[prost(uint32, tag = "23")]
    pub(super) streak: u32,
    #[prost(uint64, tag = "24")]
    pub(super) window_opened: u64,
    #[prost(uint32, tag = "25")]
    pub(super) window_starts: u32,
    #[prost(uint64, optional, tag = "26")]
    pub(super) timer: Option<u64>,
    #[prost(string, optional, tag = "27")]
    pub(super) status_text: Option<String>,
    #[prost(uint64, tag = "28")]
    pub(super) started: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Change {
    #[prost(uint64, tag = "1")]
    pub(super) sequence: u64,
    #[prost(int64, tag = "2")]
    pub(super) at: i64,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(message, optional, tag = "4")]
    pub(super) from: Option<Word>,
    #[prost(message, optional, tag = "5")]
    pub(super) to: Option<Word>,
    #[prost(bytes = "vec", optional, tag = "6")]
    pub(super) run: Option<Vec<u8>>,
    #[prost(int32, tag = "7")]
    pub(super) pid: i32,
    /// 1 order, 2 policy, 3 readiness, 4 exit, 5 time-out, 6 out of memory.
    #[prost(uint32, tag = "8")]
    pub(super) cause: u32,
    #[prost(string, tag = "9")]
    pub(super) cause_text: String,
    #[prost(message, optional, tag = "10")]
    pub(super) cause_origin: Option<Origin>,
    #[prost(uint32, tag = "11")]
    pub(super) result: u32,
    #[prost(message, optional, tag = "12")]
    pub(super) record: Option<Record>,
}
