//! Units by example: each row of the tables of `shared/spec/service-semantics.md`, and of the theory in
//! `src/unit/mod.rs`.
//!
//! Everything here is a test; clippy is told so module by module.

#[path = "../making/mod.rs"]
mod making;

#[cfg(test)]
mod again;
#[cfg(test)]
mod asking;
#[cfg(test)]
mod down;
mod end_of_all;
mod environment;
mod keeper_lost;
mod limits;
mod listening;
#[cfg(test)]
mod nameless;
mod refused;
mod reload;
mod start;
#[cfg(test)]
mod town;
mod words;
