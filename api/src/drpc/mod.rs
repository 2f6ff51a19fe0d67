//! DAOS dRPC: its messages, and how they lie in packets. Used by both ends, the daemon's door and the client.
//!
//! Modules are numbered, and so are their methods; by convention a method's number begins with its module's.

pub mod framing;

/// The protobuf package `drpc`: envelopes, and module 0.
#[expect(clippy::all, reason = "generated code")]
pub mod envelope {
    include!(concat!(env!("OUT_DIR"), "/drpc/drpc.rs"));
}

/// The protobuf package `srv`: as much of DAOS's modules 2 and 3 as is answered.
pub mod srv {
    include!(concat!(env!("OUT_DIR"), "/drpc/srv.rs"));
}

/// The protobuf package `process`: module 16, which is ours.
pub mod process {
    include!(concat!(env!("OUT_DIR"), "/drpc/process.rs"));
}

/// The numbers of modules.
pub mod module {
    /// Greetings.
    pub const HELLO: i32 = 0;
    /// DAOS's management, from a server to its engines.
    pub const MGMT: i32 = 2;
    /// DAOS's, from an engine to its server.
    pub const SRV: i32 = 3;
    /// Ours.
    pub const PROCESS: i32 = 16;
}

/// The numbers of methods.
pub mod method {
    /// Of module 0.
    pub const GREETING: i32 = 0;
    /// Of module 2: the rank is to be ended soon.
    pub const PREP_SHUTDOWN: i32 = 218;
    /// Of module 2: does the rank answer?
    pub const PING_RANK: i32 = 225;
    /// Of module 3: an engine serves.
    pub const NOTIFY_READY: i32 = 301;
    /// Of module 3: something has happened.
    pub const CLUSTER_EVENT: i32 = 304;
    /// Of module 16, as those that follow.
    pub const START: i32 = 1601;
    /// See above.
    pub const STOP: i32 = 1602;
    /// See above.
    pub const RESTART: i32 = 1603;
    /// See above.
    pub const SIGNAL: i32 = 1604;
    /// See above.
    pub const STATUS: i32 = 1605;
    /// See above.
    pub const LIST: i32 = 1606;
    /// See above.
    pub const LOGS: i32 = 1607;
    /// See above.
    pub const ENABLE: i32 = 1608;
    /// See above.
    pub const DISABLE: i32 = 1609;
}

/// What came of a method, as DAOS numbers it (DER codes).
pub mod der {
    /// It was done.
    pub const SUCCESS: i32 = 0;
    /// Whoever calls may not do that.
    pub const NO_PERM: i32 = -1001;
    /// A field is wrong.
    pub const INVAL: i32 = -1003;
    /// It is there already.
    pub const EXIST: i32 = -1004;
    /// There is no such thing.
    pub const NONEXIST: i32 = -1005;
    /// There is no room.
    pub const NOMEM: i32 = -1009;
    /// It cannot be done here.
    pub const NOSYS: i32 = -1010;
    /// It took too long.
    pub const TIMEDOUT: i32 = -1011;
    /// Not now.
    pub const BUSY: i32 = -1012;
    /// Anything else; the message says what.
    pub const MISC: i32 = -1025;
}
