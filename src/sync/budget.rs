//! What there is only so much of: memory, room on disk, connections, threads.

use std::sync::Arc;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// A number of places or bytes that many use together. Whoever waits gets his in turn. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    permits: Arc<Semaphore>,
    /// How many units one permit stands for.
    unit: u64,
    /// Units.
    all: u64,
    returned: Notify,
}

/// A part of a budget, given back when it is dropped.
#[derive(Debug)]
pub struct Portion {
    permit: Option<OwnedSemaphorePermit>,
    budget: Budget,
}

impl Budget {
    /// Of `most` places, each taken by one; there is always one.
    pub fn of_places(most: usize) -> Self {
        Self::new(most.clamp(1, Semaphore::MAX_PERMITS) as u64, 1)
    }

    /// Of so many bytes, counted in KiB.
    pub fn of_bytes(most: u64) -> Self {
        Self::new(most, KIB)
    }

    fn new(all: u64, unit: u64) -> Self {
        let permits = usize::try_from(all.div_ceil(unit)).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let all = (permits as u64).saturating_mul(unit);
        Self(Arc::new(Shared {
            permits: Arc::new(Semaphore::new(permits)),
            unit,
            all,
            returned: Notify::new(),
        }))
    }

    /// What nobody uses.
    pub fn left(&self) -> u64 {
        (self.0.permits.available_permits() as u64).saturating_mul(self.0.unit)
    }

    /// What is used.
    pub fn used(&self) -> u64 {
        self.0.all.saturating_sub(self.left())
    }

    /// Waits for one place.
    pub async fn place(&self) -> Portion {
        self.take(self.0.unit).await
    }

    /// Waits for so much of it, or for all of it where it is smaller.
    pub async fn take(&self, amount: u64) -> Portion {
        let permits = self.permits(amount.min(self.0.all));
        // The semaphore is never closed.
        let permit = Arc::clone(&self.0.permits).acquire_many_owned(permits).await.ok();
        Portion { permit, budget: self.clone() }
    }

    /// So much of it, if it is there at once.
    pub fn try_take(&self, amount: u64) -> Option<Portion> {
        let permit = Arc::clone(&self.0.permits).try_acquire_many_owned(self.permits(amount)).ok()?;
        Some(Portion { permit: Some(permit), budget: self.clone() })
    }

    /// When somebody gives something back, once this is enabled.
    pub fn returned(&self) -> Notified<'_> {
        self.0.returned.notified()
    }

    fn permits(&self, amount: u64) -> u32 {
        u32::try_from(amount.div_ceil(self.0.unit)).unwrap_or(u32::MAX)
    }
}

impl Portion {
    /// How much it is.
    pub fn amount(&self) -> u64 {
        self.permit.as_ref().map_or(0, |permit| permit.num_permits() as u64 * self.budget.0.unit)
    }

    /// Adds what was taken of the same budget.
    pub fn merge(&mut self, mut other: Self) {
        if let (Some(own), Some(other)) = (&mut self.permit, other.permit.take()) {
            own.merge(other);
        }
    }

    /// Takes so much of it off, if it has as much.
    pub fn split(&mut self, amount: u64) -> Option<Self> {
        let permits = self.budget.permits(amount) as usize;
        let permit = self.permit.as_mut()?.split(permits)?;
        Some(Self { permit: Some(permit), budget: self.budget.clone() })
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            // First it is there, then it is told.
            drop(permit);
            self.budget.0.returned.notify_waiters();
        }
    }
}

const KIB: u64 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_taken_is_given_back() {
        let budget = Budget::of_bytes(8 * KIB);
        let mut held = budget.take(3 * KIB - 1).await;
        assert_eq!((held.amount(), budget.left(), budget.used()), (3 * KIB, 5 * KIB, 3 * KIB));
        assert!(budget.try_take(6 * KIB).is_none());
        held.merge(budget.try_take(5 * KIB).unwrap());
        let part = held.split(2 * KIB).unwrap();
        assert_eq!((held.amount(), part.amount(), budget.left()), (6 * KIB, 2 * KIB, 0));
        assert!(held.split(7 * KIB).is_none());
        drop(held);
        assert_eq!(budget.left(), 6 * KIB);
        drop(part);
        assert_eq!((budget.left(), budget.used()), (8 * KIB, 0));
    }

    #[tokio::test]
    async fn more_than_there_is_means_all_of_it() {
        let budget = Budget::of_bytes(2 * KIB);
        assert_eq!(budget.take(u64::MAX).await.amount(), 2 * KIB);
        assert!(budget.try_take(3 * KIB).is_none(), "at once there is not so much");
        assert_eq!(Budget::of_bytes(0).take(1).await.amount(), 0);
        assert!(Budget::of_bytes(u64::MAX).left() >= 1 << 50);
        assert_eq!(Budget::of_places(0).left(), 1);
    }

    #[tokio::test]
    async fn whoever_waits_is_told_what_comes_back() {
        let places = Budget::of_places(1);
        let place = places.place().await;
        let mut returned = std::pin::pin!(places.returned());
        returned.as_mut().enable();
        let waiting = tokio::spawn({
            let places = places.clone();
            async move { places.place().await.amount() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(place);
        returned.await;
        assert_eq!(waiting.await.unwrap(), 1);
    }
}
