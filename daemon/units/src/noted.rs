//! What is to be kept of a thing, and whether it may have changed since it was.
//!
//! It stands once: whoever writes it down gets it as it is, not a copy. Invariant: the only way to change it is the one
//! that marks it, so that no change is forgotten. What is marked and has not changed is kept once more, to no harm.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Noted<T> {
    /// Shared with who keeps it, until that is done; copied only where it changes before.
    now: Arc<T>,
    changed: bool,
}

impl<T> Noted<T> {
    /// Something new, which nobody has kept.
    pub(crate) fn new(now: T) -> Self {
        Self { now: Arc::new(now), changed: true }
    }

    /// Something that is kept as it is.
    pub(crate) fn kept(now: Arc<T>) -> Self {
        Self { now, changed: false }
    }

    /// What is to be kept, if it may have changed since it was asked for last.
    pub(crate) fn take_changed(&mut self) -> Option<Arc<T>> {
        std::mem::take(&mut self.changed).then(|| Arc::clone(&self.now))
    }
}

impl<T> Deref for Noted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.now
    }
}

impl<T: Clone> DerefMut for Noted<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.changed = true;
        Arc::make_mut(&mut self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_is_kept_once_and_what_is_read_is_not() {
        let mut noted = Noted::new(1);
        assert_eq!(noted.take_changed().as_deref(), Some(&1));
        assert_eq!((noted.take_changed(), *noted), (None, 1));
        *noted += 1;
        let kept = noted.take_changed().unwrap();
        *noted += 1;
        assert_eq!((*kept, noted.take_changed().as_deref()), (2, Some(&3)));
        let mut noted = Noted::kept(kept);
        assert_eq!(noted.take_changed(), None);
        *noted = 4;
        assert_eq!(noted.take_changed().as_deref(), Some(&4));
    }
}
