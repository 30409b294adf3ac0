//! How a command finds out that the server at an address is the gateway whose control socket it knows.
//!
//! It tells the gateway a nonce over the socket, which only its user can have made, sends the nonce to the
//! address, then asks the gateway whether it came there. A program that took the address in the gateway's place
//! cannot have it arrive, so it is shown no credentials. Nonces that no command has told are not remembered:
//! whoever sends many cannot push out those that count.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The latest nonces that commands have told, and the address of this gateway that each came to. Cloning shares
/// them.
#[derive(Debug, Clone, Default)]
pub struct Challenges(Arc<Mutex<VecDeque<Expected>>>);

/// A nonce, and where it came to.
type Expected = (String, Option<SocketAddr>);

impl Challenges {
    /// Waits for one from now on.
    pub fn expect(&self, nonce: String) {
        if nonce.is_empty() || nonce.len() > MOST_BYTES {
            return;
        }
        let mut expected = self.0.lock();
        if expected.len() == MOST {
            expected.pop_front();
        }
        expected.push_back((nonce, None));
    }

    /// Remembers where one came to, if it is waited for.
    pub(super) fn hear(&self, nonce: &str, local: SocketAddr) {
        if let Some((_, at)) = self.0.lock().iter_mut().find(|(expected, _)| expected == nonce) {
            *at = Some(local);
        }
    }

    /// Whether it came to that address.
    pub fn heard(&self, nonce: &str, local: SocketAddr) -> bool {
        self.0.lock().iter().any(|(expected, at)| expected == nonce && *at == Some(local))
    }
}

/// Nonces that are waited for: commands ask at once.
const MOST: usize = 64;
/// Of a nonce.
const MOST_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_there_was_heard() {
        let (here, there) = ("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        let challenges = Challenges::default();
        challenges.expect("a".to_owned());
        assert!(!challenges.heard("a", here), "not yet");
        challenges.hear("a", here);
        assert!(challenges.heard("a", here) && !challenges.heard("a", there) && !challenges.heard("b", here));
        (0..10 * MOST).for_each(|n| challenges.hear(&n.to_string(), there));
        assert!(challenges.heard("a", here) && !challenges.heard("0", there), "nobody waits for those");
        (0..MOST).for_each(|n| challenges.expect(n.to_string()));
        assert!(!challenges.heard("a", here), "long ago");
        challenges.expect("x".repeat(MOST_BYTES + 1));
        challenges.hear(&"x".repeat(MOST_BYTES + 1), here);
        assert!(!challenges.heard(&"x".repeat(MOST_BYTES + 1), here));
    }
}
