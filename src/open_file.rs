//! Files that are closed off the runtime's threads, and what is written to them in pieces.

use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;

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

/// Writes the pieces, one behind the other, with as few calls as there can be: the file system then handles many pages
/// at a time. `write` is told how much was written before, in bytes; returns how much it is in all. Blocks.
pub fn write_pieces(
    pieces: &[Bytes],
    mut write: impl FnMut(&[IoSlice<'_>], u64) -> io::Result<usize>,
) -> io::Result<u64> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let (mut left, mut written) = (&mut slices[..], 0);
    // Those that are empty go first: with nothing else there is nothing to write.
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match write(left, written) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                written += count as u64;
                IoSlice::advance_slices(&mut left, count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// Asks the system to forget bytes of a file that are on the disk, and to begin with writing those that are not. Advice:
/// it need not follow.
#[cfg(target_os = "linux")]
pub fn forget(file: &File, position: u64, length: u64) {
    use rustix::fs::{Advice, fadvise};

    if let Some(length) = std::num::NonZeroU64::new(length) {
        let _ = fadvise(file, position, Some(length), Advice::DontNeed);
    }
}

#[cfg(not(target_os = "linux"))]
pub fn forget(_: &File, _: u64, _: u64) {}
