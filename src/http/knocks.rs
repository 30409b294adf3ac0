//! How a command finds out that the server at an address is the gateway whose control socket it knows.
//!
//! It sends a nonce to the address, then asks the gateway over the socket, which only its user can have made,
//! whether that nonce came there. A program that took the address in the gateway's place cannot have it
//! arrive, so it is shown no credentials.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The latest nonces, and the addresses of this gateway that they came to. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Knocks(Arc<Mutex<VecDeque<(String, SocketAddr)>>>);

impl Knocks {
    /// Remembers one.
    pub(super) fn hear(&self, nonce: &str, local: SocketAddr) {
        if nonce.is_empty() || nonce.len() > MOST_BYTES {
            return;
        }
        let mut heard = self.0.lock();
        if heard.len() == MOST {
            heard.pop_front();
        }
        heard.push_back((nonce.to_owned(), local));
    }

    /// Whether it came to that address.
    pub fn heard(&self, nonce: &str, local: SocketAddr) -> bool {
        self.0.lock().iter().any(|(known, at)| known == nonce && *at == local)
    }
}

/// Nonces that are remembered: commands ask at once.
const MOST: usize = 64;
/// Of a nonce.
const MOST_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_there_was_heard() {
        let (here, there) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        let knocks = Knocks::default();
        knocks.hear("a", here);
        assert!(knocks.heard("a", here) && !knocks.heard("a", there) && !knocks.heard("b", here));
        (0..MOST).for_each(|n| knocks.hear(&n.to_string(), there));
        assert!(!knocks.heard("a", here), "long ago");
        knocks.hear(&"x".repeat(MOST_BYTES + 1), here);
        assert!(!knocks.heard(&"x".repeat(MOST_BYTES + 1), here));
    }
}
