//! A container from the moment it is asked for, as the undo has to know it.
//!
//! A request that is cut off may still be fulfilled: whoever undoes then waits for one more
//! container than there are. Shared, since this one is made while another is.

use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::ContainerId;

/// A container that may be asked for at this moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked(Arc<Mutex<State>>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Nothing,
    OnItsWay,
    There(ContainerId),
}

impl Asked {
    /// It is asked for from now on.
    pub(super) fn ask(&self) {
        self.set(State::OnItsWay);
    }

    /// It was made.
    pub(super) fn is_there(&self, id: &ContainerId) {
        self.set(State::There(id.clone()));
    }

    /// Whether it may appear at any moment.
    pub(super) fn is_on_its_way(&self) -> bool {
        self.with(|state| matches!(state, State::OnItsWay))
    }

    /// Its id, once it was made.
    pub(super) fn id(&self) -> Option<ContainerId> {
        self.with(|state| match state {
            State::There(id) => Some(id.clone()),
            State::Nothing | State::OnItsWay => None,
        })
    }

    fn set(&self, state: State) {
        self.with(|own| *own = state);
    }

    fn with<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
