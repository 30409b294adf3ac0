//! What a wrong password costs.
//!
//! Each answer to one is put off, so that at most [`PER_SECOND`] come in a second for an address and a name,
//! and it is the last one on its connection. A right password is never put off: many people may come from the
//! address of one proxy. So whoever does not wait for answers is held up by no more than a connection for each
//! try, and a password that a person has chosen should be long.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep, sleep_until};

use crate::logging::Rarely;

/// Counts wrong passwords. Cloning shares the counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Guesses(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// When the next answer may come, by address and name.
    next: Mutex<HashMap<(IpAddr, String), Instant>>,
    warned: Rarely,
}

/// There are so many wrong passwords that this one was put off for long, and gets no better answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Guesses {
    /// Waits until a wrong password may be answered.
    pub(super) async fn wrong(&self, address: IpAddr, name: &str) -> Result<(), TooMany> {
        if let Some(before) = self.0.warned.now() {
            tracing::warn!(%address, before, "wrong user name or password");
        }
        match self.turn(address, name) {
            Ok(turn) => {
                sleep_until(turn).await;
                Ok(())
            }
            Err(many) => {
                sleep(LONG_WAIT).await;
                Err(many)
            }
        }
    }

    fn turn(&self, address: IpAddr, name: &str) -> Result<Instant, TooMany> {
        let now = Instant::now();
        let name = name.chars().take(MOST_NAME).collect();
        let mut next = self.0.next.lock();
        if next.len() >= MOST_KEPT {
            next.retain(|_, turn| *turn > now);
        }
        if next.len() >= MOST_KEPT {
            return Err(TooMany);
        }
        let turn = next.entry((network(address), name)).or_insert(now);
        *turn = (*turn).max(now) + PACE;
        if *turn > now + MOST_WAIT {
            *turn -= PACE;
            return Err(TooMany);
        }
        Ok(*turn)
    }
}

/// What one person has of addresses: in IPv6 a whole network.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

/// Answers to wrong passwords, for an address and a name.
const PER_SECOND: u32 = 20;
const PACE: Duration = Duration::from_millis(1000 / PER_SECOND as u64);
/// Nobody who mistypes a password meets this; the others' connections are needed.
const MOST_WAIT: Duration = Duration::from_secs(1);
/// Their connections make room for others' meanwhile.
const LONG_WAIT: Duration = Duration::from_secs(10);
/// Addresses and names that are remembered, about 100 bytes each.
const MOST_KEPT: usize = 4096;
/// Characters of a name.
const MOST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wrong_passwords_are_answered_slowly_by_address_and_name() {
        let guesses = Guesses::default();
        let (here, there) = ("127.0.0.1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let begun = Instant::now();
        for _ in 0..PER_SECOND {
            guesses.wrong(here, "me").await.unwrap();
        }
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
        guesses.wrong(here, "you").await.unwrap();
        guesses.wrong(there, "me").await.unwrap();
        assert_eq!(begun.elapsed(), Duration::from_secs(1) + 2 * PACE);
        let at_once: Vec<_> = (0..100).filter_map(|_| guesses.turn(here, "me").ok()).collect();
        assert_eq!(at_once.len(), PER_SECOND as usize, "no more than a second's worth waits");
        guesses.wrong(there, "me").await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn one_network_is_one_person() {
        let guesses = Guesses::default();
        let many = (0..100_u128).map(|n| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) + n)));
        let turns: Vec<_> = many.map(|address| guesses.turn(address, "me")).collect();
        assert!(turns.contains(&Err(TooMany)));
    }

    #[tokio::test(start_paused = true)]
    async fn names_without_end_take_no_memory_without_end() {
        let guesses = Guesses::default();
        let here = "127.0.0.1".parse().unwrap();
        (0..3 * MOST_KEPT).for_each(|n| drop(guesses.turn(here, &n.to_string())));
        assert!(guesses.0.next.lock().len() <= MOST_KEPT);
        tokio::time::advance(PACE).await;
        assert!(guesses.turn(here, "later").is_ok());
    }
}
