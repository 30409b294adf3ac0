//! Room for connections, and who has to go where there is none.
//!
//! Every connection has a place. When all are taken, one that nobody uses makes room: first of those that
//! never asked for anything, then of the user and the address that have most, and of these the one that has
//! been idle for longest. Strangers, who have shown no password yet, have few places of their own. They make room
//! for one another whatever they do, and for everybody else first of all; nobody known goes for a stranger.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// Whose a connection is, as far as that is known: an address, and a user of this machine.
pub(super) type Holder = (IpAddr, Option<u32>);

/// The places of a server. Cloning shares them.
#[derive(Clone)]
pub(super) struct Places(Arc<Inner>);

struct Inner {
    most: usize,
    most_strangers: usize,
    seats: Mutex<Seats>,
    freed: Notify,
    waiting: AtomicUsize,
}

/// By the order in which they were taken.
#[derive(Default)]
struct Seats {
    taken: BTreeMap<u64, Arc<Guest>>,
    next: u64,
    /// Those who were sent away and are not gone yet.
    leaving: usize,
}

/// A taken place; it is free again when this is dropped.
pub(super) struct Place {
    places: Places,
    number: u64,
    guest: Arc<Guest>,
}

/// Who has a place.
#[derive(Debug)]
pub(super) struct Guest {
    holder: Holder,
    state: Mutex<State>,
    leave: Notify,
}

#[derive(Debug)]
struct State {
    is_stranger: bool,
    has_asked: bool,
    /// Requests that are not answered to their last byte.
    under_way: usize,
    /// When the latest request ended; before the first one, when the place was taken.
    idle_since: Instant,
}

/// A request under way, until this is dropped.
pub(super) struct UnderWay(Arc<Guest>);

impl Places {
    /// `most` at once, of which `most_strangers` may be strangers'.
    pub(super) fn new(most: usize, most_strangers: usize) -> Self {
        Self(Arc::new(Inner {
            most,
            most_strangers,
            seats: Mutex::default(),
            freed: Notify::new(),
            waiting: AtomicUsize::new(0),
        }))
    }

    /// A place, if one is free or can be made free.
    pub(super) fn take(&self, holder: Holder, is_stranger: bool) -> Option<Place> {
        let mut seats = self.0.seats.lock();
        let strangers = seats.taken.values().filter(|guest| guest.state.lock().is_stranger).count();
        if is_stranger && seats.leaving >= self.0.most_strangers {
            return None;
        }
        if is_stranger && strangers >= self.0.most_strangers {
            seats.make_room(|state| state.is_stranger)?;
        }
        if seats.taken.len() >= self.0.most {
            // Nobody known goes for a stranger.
            seats.make_room(|state| state.is_stranger || (!is_stranger && state.under_way == 0))?;
        }
        let state = State { is_stranger, has_asked: false, under_way: 0, idle_since: Instant::now() };
        let guest = Arc::new(Guest { holder, state: Mutex::new(state), leave: Notify::new() });
        let number = seats.next;
        seats.next += 1;
        seats.taken.insert(number, Arc::clone(&guest));
        Some(Place { places: self.clone(), number, guest })
    }

    /// The same for somebody known, who waits until there is one.
    pub(super) async fn wait(&self, holder: Holder) -> Place {
        loop {
            let freed = self.0.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(place) = self.take(holder, false) {
                return place;
            }
            let _waiting = Waiting::new(&self.0.waiting);
            tokio::select! {
                () = freed => {}
                // Somebody may have been silent for long enough by then.
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Whether somebody waits, so that no connection is kept for later requests.
    pub(super) fn are_awaited(&self) -> bool {
        self.0.waiting.load(Ordering::Relaxed) > 0
    }
}

impl Seats {
    /// Sends one of those away who may be; `None` if there is none yet.
    fn make_room(&mut self, may_go: impl Fn(&State) -> bool) -> Option<()> {
        let mut held: HashMap<Holder, usize> = HashMap::new();
        self.taken.values().for_each(|guest| *held.entry(guest.holder).or_default() += 1);
        let candidates = self.taken.iter().filter_map(|(number, guest)| {
            let state = guest.state.lock();
            let most_held = usize::MAX - held.get(&guest.holder).copied().unwrap_or_default();
            // A stranger who has just come may be about to show the password.
            let (is_known, is_fresh) = (!state.is_stranger, state.is_stranger && state.has_just_come());
            let use_of_it = (is_known, is_fresh, state.under_way > 0, state.has_asked);
            may_go(&state).then_some((use_of_it, most_held, state.idle_since, *number))
        });
        let (.., number) = candidates.min()?;
        let state = self.taken.get(&number)?.state.lock();
        if !state.is_stranger && state.has_just_come() {
            return None;
        }
        drop(state);
        self.taken.remove(&number)?.leave.notify_one();
        self.leaving += 1;
        Some(())
    }
}

impl State {
    /// Whether they will ask in a moment.
    fn has_just_come(&self) -> bool {
        !self.has_asked && self.idle_since.elapsed() < TIME_TO_ASK
    }
}

impl Place {
    pub(super) fn guest(&self) -> Arc<Guest> {
        Arc::clone(&self.guest)
    }

    /// Waits until somebody else needs the place, or a stranger has been silent for `patience`.
    pub(super) async fn is_over(&self, patience: Duration) {
        tokio::select! {
            () = self.guest.leave.notified() => {}
            () = self.guest.overstays(patience) => {}
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut seats = self.places.0.seats.lock();
        if seats.taken.remove(&self.number).is_none() {
            seats.leaving -= 1;
        }
        drop(seats);
        self.places.0.freed.notify_one();
    }
}

impl Guest {
    /// Says that the password has been shown.
    pub(super) fn make_known(&self) {
        self.state.lock().is_stranger = false;
    }

    /// The user of this machine whose program has the connection, where that was asked.
    pub(super) fn uid(&self) -> Option<u32> {
        self.holder.1
    }

    pub(super) fn is_stranger(&self) -> bool {
        self.state.lock().is_stranger
    }

    /// Whether a request is under way that must be answered.
    pub(super) fn is_busy(&self) -> bool {
        let state = self.state.lock();
        state.under_way > 0 && !state.is_stranger
    }

    /// Begins a request.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        let mut state = self.state.lock();
        state.has_asked = true;
        state.under_way += 1;
        drop(state);
        UnderWay(Arc::clone(self))
    }

    async fn overstays(&self, patience: Duration) {
        loop {
            let left = {
                let state = self.state.lock();
                let is_silent = state.is_stranger && state.under_way == 0;
                let silence = if is_silent { state.idle_since.elapsed() } else { Duration::ZERO };
                patience.saturating_sub(silence)
            };
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.under_way -= 1;
        state.idle_since = Instant::now();
    }
}

/// Somebody who waits, until this is dropped.
struct Waiting<'c>(&'c AtomicUsize);

impl<'c> Waiting<'c> {
    fn new(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// From a connection to its first request, where others wait.
const TIME_TO_ASK: Duration = Duration::from_millis(500);
/// While somebody waits.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn of(uid: u32) -> Holder {
        (HERE, Some(uid))
    }

    fn must_go(place: &Place) -> bool {
        place.is_over(Duration::from_secs(60)).now_or_never().is_some()
    }

    /// A request, a second before now.
    async fn asked(place: &Place) {
        drop(place.guest().begin());
        tokio::time::advance(Duration::from_secs(1)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_asked_goes_first_then_who_has_most_then_who_is_idle_for_longest() {
        let places = Places::new(5, 5);
        let mut taken: Vec<Place> =
            [1, 2, 2, 2, 1].iter().map(|uid| places.take(of(*uid), false).unwrap()).collect();
        for place in taken.iter().take(4) {
            asked(place).await;
        }
        tokio::time::advance(TIME_TO_ASK).await;
        let next = places.take(of(3), false).unwrap();
        let gone: Vec<bool> = taken.iter().map(must_go).collect();
        assert_eq!(gone, [false, false, false, false, true], "it never asked");
        asked(&next).await;
        taken.push(next);
        let _busy = taken[1].guest().begin();
        let _next = places.take(of(3), false).unwrap();
        assert!(!must_go(&taken[0]) && !must_go(&taken[1]), "the second user has more, and one is busy");
        assert!(must_go(&taken[2]) && !must_go(&taken[3]), "idle for longest");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_just_come_is_given_the_time_to_ask() {
        let places = Places::new(1, 1);
        let begun = Instant::now();
        let first = places.take(of(1), false).unwrap();
        let _next = places.wait(of(1)).await;
        assert!(must_go(&first) && begun.elapsed() >= TIME_TO_ASK);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_busy_is_waited_for() {
        let places = Places::new(1, 1);
        let first = places.take(of(1), false).unwrap();
        let busy = first.guest().begin();
        assert!(places.take(of(1), false).is_none() && !places.are_awaited());
        let waiting = tokio::spawn({
            let places = places.clone();
            async move { drop(places.wait(of(2)).await) }
        });
        while !places.are_awaited() {
            tokio::task::yield_now().await;
        }
        drop((busy, first));
        waiting.await.unwrap();
        assert!(!places.are_awaited());
        let _first = places.take(of(1), false).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_make_room_for_strangers() {
        let places = Places::new(4, 2);
        let own = places.take(of(1), false).unwrap();
        asked(&own).await;
        let first = places.take(of(2), true).unwrap();
        let second = places.take(of(2), true).unwrap();
        let _busy = (first.guest().begin(), second.guest().begin());
        let third = places.take(of(2), true).unwrap();
        assert!(must_go(&first) && !must_go(&second) && !must_go(&own), "busy or not");
        drop(first);
        let fourth = places.take(of(2), true).unwrap();
        assert!(must_go(&second) && !must_go(&third), "who has just come stays");
        let _fifth = places.take(of(2), true);
        assert!(places.take(of(2), true).is_none(), "too many are still on their way out");
        drop((second, fourth));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_known_goes_for_a_stranger() {
        let places = Places::new(2, 1);
        let own: Vec<Place> = (0..2).map(|_| places.take(of(1), false).unwrap()).collect();
        asked(&own[0]).await;
        asked(&own[1]).await;
        assert!(places.take(of(2), true).is_none());
        drop(own);
        let stranger = places.take(of(2), true).unwrap();
        let _first = places.take(of(1), false).unwrap();
        let _second = places.take(of(1), false).unwrap();
        assert!(must_go(&stranger), "but a stranger for anybody");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_has_little_time_until_he_is_known() {
        let places = Places::new(4, 2);
        let (stays, goes) = (places.take(of(2), true).unwrap(), places.take(of(2), true).unwrap());
        let begun = Instant::now();
        let patience = Duration::from_secs(15);
        asked(&goes).await;
        stays.guest().make_known();
        goes.is_over(patience).await;
        assert_eq!(begun.elapsed(), patience);
        assert!(stays.is_over(patience).now_or_never().is_none());
    }
}
