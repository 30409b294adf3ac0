//! A large body, and how it was taken.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use parking_lot::Mutex;
use tokio::time::Instant;

const PIECE: usize = 64 << 10;
pub const PIECES: usize = 1024;

/// How the pieces of a body were taken.
#[derive(Clone, Default)]
pub struct Taking(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    pieces: usize,
    latest: Option<Instant>,
    longest: Duration,
}

impl Taking {
    /// Pieces that were taken.
    pub fn pieces(&self) -> usize {
        self.0.lock().pieces
    }

    /// The longest that the sender had to wait between two of them.
    pub fn longest_pause(&self) -> Duration {
        self.0.lock().longest
    }

    fn took(&self) {
        let mut state = self.0.lock();
        let now = Instant::now();
        let pause = state.latest.replace(now).map(|latest| now - latest);
        state.longest = state.longest.max(pause.unwrap_or_default());
        state.pieces += 1;
    }
}

/// 64 MiB in pieces of 64 KiB, none alike; unless it `ends`, nothing more comes then, but no end either.
pub fn body(ends: bool) -> (reqwest::Body, Taking) {
    let taking = Taking::default();
    let counter = taking.clone();
    let pieces = stream::iter((0..PIECES).map(move |number| {
        counter.took();
        Ok::<_, std::io::Error>(piece(number))
    }));
    let more = stream::iter(std::iter::once(())).filter_map(move |()| async move {
        if !ends {
            std::future::pending::<()>().await;
        }
        None
    });
    (reqwest::Body::wrap_stream(pieces.chain(more)), taking)
}

fn piece(number: usize) -> Bytes {
    (0..PIECE).map(|at| (at ^ number ^ (number >> 8)) as u8).collect::<Vec<_>>().into()
}

/// All of it.
pub fn whole() -> Bytes {
    (0..PIECES).map(piece).collect::<Vec<_>>().concat().into()
}
