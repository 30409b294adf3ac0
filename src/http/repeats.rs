//! Requests that come twice: a relay sends anew what had no answer, and cannot know whether it was carried out.
//!
//! Each has an ID. What has one is carried out in a task of its own, which goes on when the connection breaks; its
//! answer is kept for a while. The same request is then not carried out again: it waits for the first one's end, and
//! has its answer. Only a request whose body never came whole is begun anew.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, Uri, request, response};
use http_body::Body as _;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::body::BodyLease;
use crate::dav::{Body, full, text};
use crate::relay;
use crate::tally::carried;

/// The requests of late that have an ID.
#[derive(Default)]
pub(super) struct Repeats(Mutex<VecDeque<Entry>>);

/// What is the same request: nobody has another's answer, even by an ID that is not theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: HeaderValue,
    pub(super) principal: Option<String>,
    pub(super) method: Method,
    pub(super) uri: Uri,
}

impl Identity {
    /// Takes a relay's ID off a request that changes something.
    pub(super) fn take(head: &mut request::Parts, principal: Option<&String>) -> Option<Self> {
        let id = head.headers.remove(&relay::REQUEST).filter(|id| id.len() <= LONGEST_ID)?;
        relay::changes(&head.method).then(|| {
            let (method, uri) = (head.method.clone(), head.uri.clone());
            Self { id, principal: principal.cloned(), method, uri }
        })
    }
}

struct Entry {
    identity: Identity,
    lease: BodyLease,
    outcome: watch::Receiver<Outcome>,
    task: AbortOnDropHandle<()>,
}

#[derive(Clone)]
enum Outcome {
    Running,
    Kept(Kept),
    /// It has not been carried out, or its answer was too large to be kept.
    Unknown,
}

#[derive(Clone)]
struct Kept {
    head: response::Parts,
    body: Bytes,
    since: Instant,
}

/// What is to be done with a request.
enum Found {
    First(oneshot::Receiver<Response<Body>>),
    Repeat(watch::Receiver<Outcome>),
    /// The first one waits for a body that comes no more.
    Cut(AbortOnDropHandle<()>),
    /// There is no room to remember it.
    Crowded,
}

impl Repeats {
    /// Carries a request out, whose body is `lease`'s, if that has not been done.
    pub(super) async fn once<F>(&self, identity: Identity, lease: &BodyLease, carry: F) -> Response<Body>
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let mut carry = Some(carry);
        loop {
            match self.look(&identity, lease, &mut carry) {
                Found::First(answer) => {
                    return answer.await.unwrap_or_else(|_| {
                        // A panic has told of itself.
                        tracing::debug!(method = %identity.method, "a request has no answer: its repeat was begun anew");
                        text(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
                    });
                }
                Found::Repeat(mut outcome) => {
                    let over = outcome.wait_for(|outcome| !matches!(outcome, Outcome::Running)).await;
                    if let Ok(Outcome::Kept(kept)) = over.as_deref() {
                        tracing::debug!(method = %identity.method, "a request has its first answer");
                        // It is answered at once, whatever is left of its body.
                        lease.keep_connection();
                        return kept.answer(&identity);
                    }
                }
                Found::Cut(task) => {
                    task.abort();
                    // It is cancelled, or was just over.
                    let _ = task.await;
                }
                Found::Crowded => {
                    if let Some(carry) = carry.take() {
                        return carry.await;
                    }
                }
            }
        }
    }

    fn look<F>(&self, identity: &Identity, lease: &BodyLease, carry: &mut Option<F>) -> Found
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let mut entries = self.0.lock();
        entries.retain(Entry::is_of_use);
        if let Some(at) = entries.iter().position(|entry| entry.identity == *identity) {
            if entries[at].is_running() && !entries[at].lease.is_whole() {
                return entries.remove(at).map_or(Found::Crowded, |entry| Found::Cut(entry.task));
            }
            return Found::Repeat(entries[at].outcome.clone());
        }
        if entries.len() >= MOST {
            match entries.iter().position(|entry| !entry.is_running()) {
                Some(oldest) => drop(entries.remove(oldest)),
                None => return Found::Crowded,
            }
        }
        let Some(carry) = carry.take() else { return Found::Crowded };
        let (tell, outcome) = watch::channel(Outcome::Running);
        let (hand, answer) = oneshot::channel();
        let (identity, whose) = (identity.clone(), lease.clone());
        let task = AbortOnDropHandle::new(tokio::spawn(carried(async move {
            let answer = carry.await;
            let (answer, outcome) = match whose.failure() {
                Some(_) => (answer, Outcome::Unknown),
                None => keep(answer).await,
            };
            tell.send_replace(outcome);
            // Its connection may be gone.
            let _ = hand.send(answer);
        })));
        entries.push_back(Entry { identity, lease: lease.clone(), outcome, task });
        Found::First(answer)
    }
}

impl Entry {
    fn is_running(&self) -> bool {
        matches!(*self.outcome.borrow(), Outcome::Running)
    }

    fn is_of_use(&self) -> bool {
        match &*self.outcome.borrow() {
            // One that panicked tells nothing.
            Outcome::Running => !self.task.is_finished(),
            Outcome::Kept(kept) => kept.since.elapsed() < KEPT,
            Outcome::Unknown => false,
        }
    }
}

impl Kept {
    fn answer(&self, identity: &Identity) -> Response<Body> {
        let mut answer = Response::from_parts(self.head.clone(), full(self.body.clone()));
        answer.headers_mut().insert(&relay::REQUEST, identity.id.clone());
        answer
    }
}

/// Keeps a copy of an answer that is small.
async fn keep(answer: Response<Body>) -> (Response<Body>, Outcome) {
    if answer.body().size_hint().upper().is_none_or(|length| length > MOST_BODY) {
        return (answer, Outcome::Unknown);
    }
    let (head, body) = answer.into_parts();
    match body.collect().await {
        Ok(body) => {
            let body = body.to_bytes();
            let kept = Kept { head: head.clone(), body: body.clone(), since: Instant::now() };
            (Response::from_parts(head, full(body)), Outcome::Kept(kept))
        }
        Err(error) => {
            tracing::error!(%error, "an answer was cut off");
            (text(StatusCode::INTERNAL_SERVER_ERROR, "internal error"), Outcome::Unknown)
        }
    }
}

/// Requests that are remembered: more than a relay has under way at once.
const MOST: usize = 256;
/// Bytes: twice as long as a relay's are.
const LONGEST_ID: usize = 64;
/// Bytes of an answer's body that are kept: that of a LOCK is about 1 KiB, and those of all together are 2 MiB.
const MOST_BODY: u64 = 8 << 10;
/// After its end: a relay finds out within a minute that a line is dead, and waits about as long for the next one.
const KEPT: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    fn identity(id: &'static str) -> Identity {
        let (id, method) = (HeaderValue::from_static(id), Method::PUT);
        Identity { id, principal: None, method, uri: Uri::from_static("/a") }
    }

    /// Counts how often it is carried out, and waits for a permit.
    fn carrying(
        times: &Arc<AtomicUsize>,
        gate: &Arc<Semaphore>,
    ) -> impl Future<Output = Response<Body>> + Send + 'static {
        let (times, gate) = (Arc::clone(times), Arc::clone(gate));
        async move {
            let time = times.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            text(StatusCode::CREATED, &format!("{time}"))
        }
    }

    async fn content(answer: Response<Body>) -> Bytes {
        answer.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_repeat_waits_for_the_end_of_one_whose_connection_is_gone() {
        let (repeats, times) = (Arc::new(Repeats::default()), Arc::default());
        let gate = Arc::new(Semaphore::new(0));
        let whole = BodyLease::default();
        whole.note_whole();
        let first = repeats.once(identity("1"), &whole, carrying(&times, &gate));
        assert!(tokio::time::timeout(Duration::ZERO, first).await.is_err(), "its connection is gone");
        let second = tokio::spawn({
            let (repeats, carry) = (Arc::clone(&repeats), carrying(&times, &gate));
            async move { repeats.once(identity("1"), &BodyLease::default(), carry).await }
        });
        tokio::task::yield_now().await;
        gate.add_permits(1);
        let answer = second.await.unwrap();
        assert_eq!(answer.headers()[&relay::REQUEST], "1");
        assert_eq!(content(answer).await, "0\n", "the first one's");
        assert_eq!(times.load(Ordering::SeqCst), 1);
        gate.add_permits(1);
        let other = repeats.once(identity("2"), &whole, carrying(&times, &gate)).await;
        assert!(!other.headers().contains_key(&relay::REQUEST));
        assert_eq!(content(other).await, "1\n", "another request is carried out");
    }

    #[tokio::test]
    async fn one_whose_body_never_came_is_begun_anew() {
        let (repeats, times) = (Repeats::default(), Arc::default());
        let gate = Arc::new(Semaphore::new(0));
        let lease = BodyLease::default();
        let first = repeats.once(identity("1"), &lease, carrying(&times, &gate));
        assert!(tokio::time::timeout(Duration::from_millis(10), first).await.is_err());
        gate.add_permits(1);
        let answer = repeats.once(identity("1"), &BodyLease::default(), carrying(&times, &gate)).await;
        assert!(!answer.headers().contains_key(&relay::REQUEST));
    }

    #[tokio::test]
    async fn few_answers_are_kept_and_small_ones() {
        let (repeats, lease) = (Repeats::default(), BodyLease::default());
        for id in 0..MOST + 10 {
            let mut own = identity("1");
            own.id = HeaderValue::from(id);
            repeats.once(own, &lease, async { text(StatusCode::CREATED, "") }).await;
        }
        assert_eq!(repeats.0.lock().len(), MOST);
        let large = "a".repeat(MOST_BODY as usize + 1);
        for expected in ["1", "2"] {
            let large = large.clone();
            let carry = async move { Response::new(full(format!("{expected}{large}"))) };
            let answer = repeats.once(identity("large"), &lease, carry).await;
            assert!(content(answer).await.starts_with(expected.as_bytes()));
        }
    }
}
