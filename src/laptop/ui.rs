//! The user's side of a connect: who is told what happens, and who is asked.

use std::sync::Arc;

use futures_util::future::LocalBoxFuture;

use super::event::Event;
use crate::ssh::include::IncludePlan;

/// Asks whether something may be done to the user's ssh configuration.
pub type Confirm = dyn for<'a> Fn(&'a IncludePlan) -> LocalBoxFuture<'a, bool>;

/// The user's side of it.
pub struct Ui {
    /// Takes what happens.
    pub tell: Arc<dyn Fn(Event) + Send + Sync>,
    /// Whether this may be done to the user's ssh configuration. Dropped when a signal comes
    /// meanwhile.
    pub confirm: Box<Confirm>,
}

impl Ui {
    pub(super) fn tell(&self, event: Event) {
        (self.tell)(event);
    }
}
