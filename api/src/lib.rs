//! The node API, generated from `api/proto`.
//!
//! One module per protobuf package; the packages' names are bare (`meta`, `runtime`, …) because the wire
//! says so. Additions only: new fields from number 16 up, new calls, new messages; nothing that is there
//! is renamed, renumbered or given another meaning.

pub mod drpc;
pub mod drunc;
pub mod socket;

/// The protobuf package `meta`: what every object has in common.
#[expect(clippy::all, reason = "generated code")]
pub mod meta {
    tonic::include_proto!("meta");
}

/// The protobuf package `runtime`: executing things.
#[expect(clippy::all, reason = "generated code")]
pub mod runtime {
    tonic::include_proto!("runtime");
}

/// The protobuf package `observe`: status and logs.
#[expect(clippy::all, reason = "generated code")]
pub mod observe {
    tonic::include_proto!("observe");
}

/// The protobuf package `schedule`: what starts at boot.
#[expect(clippy::all, reason = "generated code")]
pub mod schedule {
    tonic::include_proto!("schedule");
}

/// The protobuf package `daemon`: replacing the daemon.
#[expect(clippy::all, reason = "generated code")]
pub mod daemon {
    tonic::include_proto!("daemon");
}

/// The compiled .proto files, as gRPC reflection serves them.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// The metadata key in which any call may say why it is made. Shown wherever the change is shown.
pub const REASON_KEY: &str = "aurae-reason";
