//! What requests wait for each other with: one at a time by name, folders that somebody changes, and what there is
//! only so much of; and work that blocks.

mod blocking;
mod budget;
mod keyed_lock;
mod tree_lock;

pub use blocking::{blocking, blocking_aside};
pub use budget::{Budget, Portion};
pub use keyed_lock::{KeyedGuard, KeyedLock};
pub use tree_lock::{Entered, TreeConflict, TreeLock, Use};

#[cfg(test)]
pub(crate) mod in_turn;
