//! Writes that go out only while a look still counts. Where an endpoint ignores a condition, the object is looked at
//! first; whatever holds the write up from then on (its turn, a connection, an attempt that failed) must not make
//! that look an old one.

use tokio::time::Instant;

tokio::task_local! {
    /// Until when what this task sends may go out.
    static UNTIL: Instant;
}

/// Why a request was not sent.
#[derive(Debug, thiserror::Error)]
#[error("the object was looked at too long ago")]
pub struct LookTooOld;

/// What `write` sends goes out until then, or the moment that holds already, each attempt of it, or fails with [`LookTooOld`].
pub async fn until<T>(until: Instant, write: impl Future<Output = T>) -> T {
    let until = UNTIL.try_with(|earlier| until.min(*earlier)).unwrap_or(until);
    UNTIL.scope(until, write).await
}

/// Whether what this task sends relies on a look: a second attempt would rely on what was there before the first.
pub(super) fn is_relied_on() -> bool {
    UNTIL.try_with(|_| ()).is_ok()
}

/// Whether it is too late to send what this task has to send.
pub(super) fn is_too_late() -> bool {
    UNTIL.try_with(|until| Instant::now() > *until).unwrap_or(false)
}
