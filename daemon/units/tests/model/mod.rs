//! What the state machine is tested in and against: a world that carries out what it says, and a judge.

mod facts;
mod judge;
pub(crate) mod specs;
mod units;
mod world;

pub(crate) use judge::Judge;
pub(crate) use world::{Leaves, Nature, Spawner, World};
