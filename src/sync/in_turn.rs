//! Blocking work on the runtime's own thread, at the turns that a test gives.

use std::cell::RefCell;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::task::JoinError;

/// Who says when it is done.
pub(crate) trait Turns: Send + Sync {
    /// Before a piece of work, and after it.
    fn turn(&self) -> BoxFuture<'static, ()>;
}

thread_local! {
    static TURNS: RefCell<Option<Arc<dyn Turns>>> = const { RefCell::new(None) };
}

/// From now on on this thread; `None`: on threads of its own, as in the program.
pub(crate) fn set(turns: Option<Arc<dyn Turns>>) {
    TURNS.with(|cell| *cell.borrow_mut() = turns);
}

pub(super) fn current() -> Option<Arc<dyn Turns>> {
    TURNS.with(|cell| cell.borrow().clone())
}

pub(super) async fn take<T: Send + 'static>(
    turns: Arc<dyn Turns>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    let done = tokio::spawn(async move {
        turns.turn().await;
        let value = work();
        turns.turn().await;
        value
    });
    done.await
}
