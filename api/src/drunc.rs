//! The wires of drunc's process manager, one module for each generation that is served.
//!
//! Written from tables of numbers and names (docs/drunc.md), which are drunc's: nothing here is ours to change. What two
//! generations have in common has the same numbers, so that the older message is the newer one without its last fields.

/// The first generation (2023-05). Its envelopes are in no package.
pub mod first {
    include!(concat!(env!("OUT_DIR"), "/drunc/first/_.rs"));

    /// The protobuf package `DUNEProcessManager`.
    #[expect(clippy::all, non_camel_case_types, reason = "generated code")]
    pub mod dune_process_manager {
        include!(concat!(env!("OUT_DIR"), "/drunc/first/dune_process_manager.rs"));
    }
}

/// The third generation (drunc 0.7 to 0.10.6): the protobuf package `dunedaq.druncschema`.
#[expect(clippy::all, non_camel_case_types, reason = "generated code")]
pub mod third {
    include!(concat!(env!("OUT_DIR"), "/drunc/third/dunedaq.druncschema.rs"));
}

/// The fourth generation (since 2025): the protobuf package `dunedaq.druncschema.process_manager`.
#[expect(clippy::all, reason = "generated code")]
pub mod fourth {
    include!(concat!(env!("OUT_DIR"), "/drunc/fourth/dunedaq.druncschema.process_manager.rs"));
}
