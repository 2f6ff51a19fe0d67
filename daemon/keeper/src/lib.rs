//! What keeper and daemon say to each other.
//!
//! The keeper is the binary `auraed`: small, single-threaded, without policy. It is the parent and only
//! reaper of every run, holds the descriptors that must outlive a daemon, owns the listeners and starts
//! the next daemon when one dies. This library is the border between the two: [`protocol`] has the
//! messages, [`channel`] moves them. [`succession`] is what one keeper hands to the next, and [`bequest`] what a daemon
//! hands to it whose keeper was killed. [`mountinfo`] both read, and nothing else has a reader of it;
//! [`kernel_log`] both write.

pub mod bequest;
pub mod channel;
pub mod kernel_log;
pub mod mountinfo;
pub mod protocol;
pub mod succession;
