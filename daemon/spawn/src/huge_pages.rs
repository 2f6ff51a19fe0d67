//! Huge pages: this process can do without, and the programs that it executes get them as ever.
//!
//! Where a kernel gives transparent huge pages unasked, as Debian's does, it rounds up whatever memory we have touched: a
//! daemon at rest was found with as much again. prctl(2) `PR_SET_THP_DISABLE` forgoes them for a whole address space, and
//! execve(2) hands that on. A child that is being made has our address space, so they are allowed in it for as long as any
//! child is: what the kernel rounds up meanwhile is no great harm.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::prctl::{get_thp_disable, set_thp_disable};

/// Of this address space.
struct State {
    /// They are forgone, but for children that are being made.
    forgone: bool,
    /// So many of those.
    children: usize,
}

static STATE: Mutex<State> = Mutex::new(State { forgone: false, children: 0 });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forgoes transparent huge pages from now on, for this process alone. Where somebody has forbidden them already it stays as
/// it is, also for programs; where the kernel has none to give, there is nothing to forgo.
pub fn forgo_huge_pages() {
    let mut state = state();
    if !state.forgone && get_thp_disable() == Ok(false) {
        state.forgone = set_thp_disable(state.children == 0).is_ok();
    }
}

/// A child that is being made: what it executes may have them.
pub(crate) struct Allowed(());

impl Allowed {
    pub(crate) fn begin() -> Self {
        let mut state = state();
        if state.forgone && state.children == 0 {
            set_thp_disable(false).ok();
        }
        state.children = state.children.saturating_add(1);
        Self(())
    }
}

impl Drop for Allowed {
    fn drop(&mut self) {
        let mut state = state();
        state.children = state.children.saturating_sub(1);
        if state.forgone && state.children == 0 {
            set_thp_disable(true).ok();
        }
    }
}
