//! Files that are closed off the runtime's threads.

use std::sync::Arc;

/// An open file. Closing one may take long: on a network file system it writes what is left and waits for the
/// server, and a large one without a name is deleted by it.
#[derive(Debug)]
pub struct Open<F: Send + Sync + 'static>(Option<Arc<F>>);

impl<F: Send + Sync + 'static> Open<F> {
    pub fn new(file: F) -> Self {
        Self(Some(Arc::new(file)))
    }

    /// The file, for a thread that may block.
    pub fn share(&self) -> Self {
        Self(self.0.clone())
    }

    /// Closes it here, on a thread that may block, if it is not shared.
    pub fn close(mut self) {
        drop(self.0.take());
    }
}

impl<F: Send + Sync + 'static> std::ops::Deref for Open<F> {
    type Target = Arc<F>;

    fn deref(&self) -> &Arc<F> {
        // Taken by `drop` alone.
        match &self.0 {
            Some(file) => file,
            None => unreachable!("it is open until it is dropped"),
        }
    }
}

impl<F: Send + Sync + 'static> Drop for Open<F> {
    fn drop(&mut self) {
        let Some(file) = self.0.take().and_then(Arc::into_inner) else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(file))),
            Err(_) => drop(file),
        }
    }
}
