//! Units: what is kept up, or brought to its end, by rules of its own.
//!
//! A unit is a specification ([`UnitSpec`]) and what has become of it. It has no processes itself: it orders
//! *runs* (`crate::run`), one of its program and at most one of a command beside it, and is told how they
//! began and ended. It is *loaded* from its first start until it is forgotten, and as long its name is its own.
//!
//! **What is wanted is apart from what is.** [`Desired`] is up or down, and who wants it so. Only people
//! change it, and a unit's own rules when they give up: what is down for good is wanted down. [`UnitState`]
//! is where it stands:
//!
//! ```text
//!                 before      executed or ready    after
//! Inactive ---> Before(0..) ---> Starting ---> After(0..) ---> Running <---> Reloading
//!  Failed                           |              |    \____     |              |
//!    ^  ^                           |              |         \    |              |
//!    |  |                           v              v          v   v              |
//!    |  +--------- Waiting <---- Stopping <------- + <---- Exited  <-------------+
//!    |                |             |               (a oneshot that remains)
//!    +----------------+-------------+
//! ```
//!
//! - *Inactive*, *Failed*: nothing of it runs, and nothing will by itself. Failed, where something went
//!   wrong; the [`UnitResult`] says what, and it is the first thing that did.
//! - *Before(n)*, *Starting*, *After(n)*: it is on the way up, in this order; each step has `start_timeout`.
//!   Starting is over when the program has been executed, has said `READY=1`, or, of a oneshot, has ended well.
//! - *Running*, *Reloading*, *Exited*: it is up.
//! - *Stopping*: it is on the way down. First commands on stop, where it is up and its program (or what it left
//!   set up) is to hear of it; then it is *asked*: every live run of it is told to end, as `stop` says. A program
//!   that ends by itself leads here too, until what it left behind has ended.
//! - *Waiting*: it is down until its next restart.
//!
//! Without live runs it never stays in any state but the two dead ones, Exited and Waiting.
//!
//! **What events do** (nothing, where nothing is said):
//!
//! | | dead | Before, Starting, After | Running, Reloading, Exited | Stopping | Waiting |
//! |---|---|---|---|---|---|
//! | start | begins, or is refused by the start limit | is joined | is answered | begins again when down | begins at once |
//! | restart | as start | stops, begins again | stops, begins again | as start | as start |
//! | stop | is answered | stops | stops | gets harder; never begins again | Inactive |
//! | kill | is answered | stops at once | stops at once, without commands on stop | is killed | Inactive |
//! | reload | is refused | is refused | Reloading; in Reloading once more after it | is refused | is refused |
//! | executed, `READY=1` | | Starting is over | | | |
//! | program ends | | ends the start; of a oneshot that ended well, Starting | Stopping, then by the rules | goes on | |
//! | command ends well | | the next step | the next command, or Running | the next command, or asked | |
//! | command fails | | before: by the rules; after: Stopping | the reload failed, and it goes on | asked | |
//! | moment comes | | Stopping, a time-out | run limit: Stopping, a time-out; the reload's command is ended | asked | begins |
//! | forget | its name is free | is refused | is refused | is refused | is refused |
//!
//! *By the rules*, when nothing of it runs any more: what somebody has ordered to begin again begins;
//! otherwise, where it is wanted up and `restart` applies to the result, it waits; otherwise it is dead. The
//! order in which rules count is [`Restart::applies`]'s: a stop before all, what prevents, what forces, the table.
//!
//! **Precedence of wishes.** The last wish counts. A stop answers those who wait for the start with
//! [`crate::Refusal::Superseded`]; a start during the way down does not hasten it; a restart joins those who
//! wait for a start. An end only gets harder, as a run's does. The end of everything stops all units, the last
//! to start first, spares nobody, and nothing begins after it.
//!
//! **Time.** A unit has one moment at most at which something is to be done about it, and none when it is dead
//! or Exited. How long a signal is heeded is the business of its runs.

mod check;
mod environment;
mod exit_set;
mod machine;
mod restart;
mod setting;
mod spec;
mod state;
mod view;

pub use check::InvalidSpec;
pub use environment::{EnvironmentText, EnvironmentWarning, InvalidVariable, check_variable};
pub use exit_set::{ExitSet, InvalidExitWord};
pub use restart::{Restart, RestartWhen, StartLimit, StartWindow};
pub use setting::{EnvironmentFile, ResourceLimits, Setting, Stdin};
pub use spec::{
    CommandSpec, Ended, KillMode, Kind, Owner, Readiness, Role, StopSpec, Told, UnitSpec,
};
pub use state::{Change, ChangeCause, Desired, Status, UnitResult, UnitState, Wanted};
pub use view::{UnitDetail, UnitView};

pub(crate) use machine::{Deed, Draw, START_STAGE_DEADLINE, Turn, Unit};
