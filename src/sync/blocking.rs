//! Work that blocks, off the runtime's threads. A test may have it done in turn instead, so that one seed has one history.

use tokio::task::JoinError;

#[cfg(test)]
use super::in_turn;

/// Does `work` on a thread of its own; it is done to its end, also where nobody waits for it any more.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    #[cfg(test)]
    if let Some(turns) = in_turn::current() {
        return in_turn::take(turns, work).await;
    }
    tokio::task::spawn_blocking(work).await
}

/// The same for whoever does not wait for it.
pub fn blocking_aside(work: impl FnOnce() + Send + 'static) {
    #[cfg(test)]
    if in_turn::current().is_some() {
        return work();
    }
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}
