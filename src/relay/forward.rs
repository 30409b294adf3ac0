//! One request: sent to the far end, again where that was lost meanwhile.
//!
//! Its time is for waiting alone: for the far end, for a connection, for the next try. What is under way ends by itself:
//! when its body is not taken any more, or when the line is lost.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, error::Elapsed, sleep, timeout};
use uuid::Uuid;

use super::answer::{Answered, end_to_end};
use super::line::{Connection, Line, LineError};
use super::upload::{FeedError, Upload};
use super::{Body, PAUSE, REQUEST, Relay, changes};
use crate::logging::with_causes;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// Its time is over.
    #[error("the remote gateway cannot be reached: {0}")]
    Away(String),
    /// It is there all the same.
    #[error("the remote gateway is too slow: {0}")]
    Slow(&'static str),
    #[error("the remote gateway was lost during an upload that is too large to be sent again")]
    Lost,
    #[error("the body did not arrive whole")]
    Broken,
}

/// Why a request has to be sent again.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// Nothing of it has been heard there.
    #[error(transparent)]
    Unsent(#[from] LineError),
    /// It may have been carried out.
    #[error("the connection broke")]
    Unanswered(#[source] Option<hyper::Error>),
    #[error("nothing more of its body is taken")]
    Stalled,
    #[error("its client has gone")]
    Broken,
}

impl Relay {
    /// Forwards a request whose sender may come in, and which may wait for `patience`.
    pub async fn forward<B>(
        &self,
        mut head: Parts,
        body: B,
        patience: Duration,
    ) -> Result<Response<Body>, ForwardError>
    where
        B: HttpBody<Data = Bytes, Error = io::Error> + Unpin,
    {
        end_to_end(&mut head.headers);
        // It has been asked for.
        head.headers.remove(header::EXPECT);
        identify(&mut head);
        let mut upload = Upload::new(body, self.0.intakes.clone());
        let (mut may_be_done, mut pause, mut patience) = (false, PAUSE, Patience(patience));
        loop {
            let line = patience.wait(self.line()).await.ok().flatten().ok_or_else(|| self.away())?;
            let connected = patience.wait(connect(&line)).await.map_err(|_| ForwardError::Slow(CROWDED))?;
            let sent = match connected {
                Ok(connection) => send(&line, connection, &head, &mut upload).await,
                Err(error) => Err(Failed::Unsent(error)),
            };
            match sent {
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => {
                    line.refuse();
                    if !upload.can_be_sent() {
                        return Err(ForwardError::Lost);
                    }
                }
                Ok(mut answer) => {
                    let is_first = answer.headers_mut().remove(&REQUEST).is_some() || !may_be_done;
                    return Ok(if is_first { answer } else { done(&head.method, answer) });
                }
                Err(Failed::Broken) => return Err(ForwardError::Broken),
                Err(Failed::Stalled) => return Err(ForwardError::Slow(STALLED)),
                Err(failed) => {
                    let why = with_causes(&failed);
                    tracing::debug!(method = %head.method, why, "a request is sent again");
                    may_be_done |= matches!(failed, Failed::Unanswered(_));
                    self.0.doubt.notify_one();
                    if !upload.can_be_sent() {
                        return Err(ForwardError::Lost);
                    }
                }
            }
            patience.wait(sleep(pause)).await.map_err(|_| self.away())?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn line(&self) -> Option<Arc<Line>> {
        let mut line = self.0.line.subscribe();
        let found = line.wait_for(Option::is_some).await;
        found.ok().and_then(|line| line.clone())
    }

    fn away(&self) -> ForwardError {
        match self.trouble() {
            Some(trouble) => ForwardError::Away(trouble.message),
            None if self.is_reached() => ForwardError::Slow(BREAKING),
            None => ForwardError::Away("it is being started".to_owned()),
        }
    }
}

/// What is left of the time that a request may wait while it is not under way.
struct Patience(Duration);

impl Patience {
    async fn wait<F: Future>(&mut self, awaited: F) -> Result<F::Output, Elapsed> {
        let begun = Instant::now();
        let awaited = timeout(self.0, awaited).await;
        self.0 = self.0.saturating_sub(begun.elapsed());
        awaited
    }
}

/// Gives what changes something its ID; a client's own is none of the far end's.
fn identify(head: &mut Parts) {
    head.headers.remove(&REQUEST);
    if changes(&head.method)
        && let Ok(id) = HeaderValue::try_from(Uuid::new_v4().simple().to_string())
    {
        head.headers.insert(&REQUEST, id);
    }
}

async fn connect(line: &Line) -> Result<Connection, LineError> {
    tokio::select! {
        connection = line.connection() => connection,
        () = line.retired() => Err(LineError::Io(io::ErrorKind::NotConnected.into())),
    }
}

async fn send<B>(
    line: &Arc<Line>,
    mut connection: Connection,
    head: &Parts,
    upload: &mut Upload<B>,
) -> Result<Response<Body>, Failed>
where
    B: HttpBody<Data = Bytes, Error = io::Error> + Unpin,
{
    let (body, feed) = upload.fed(Arc::clone(line));
    let held = feed.clone();
    let mut request = Request::from_parts(head.clone(), body.boxed_unsync());
    request.headers_mut().insert(header::AUTHORIZATION, line.authorization());
    let sending = connection.sender.try_send_request(request);
    let mut feeding = std::pin::pin!(upload.feed(feed));
    let mut is_fed = false;
    tokio::pin!(sending);
    let answer = loop {
        tokio::select! {
            answer = &mut sending => break answer,
            fed = &mut feeding, if !is_fed => {
                is_fed = true;
                match fed {
                    Ok(()) | Err(FeedError::Unwanted) => {}
                    // The body breaks off, and so does the connection.
                    Err(FeedError::Broken) => return Err(Failed::Broken),
                    Err(FeedError::Stalled) => return Err(Failed::Stalled),
                    Err(FeedError::Unreadable) => return Err(Failed::Unanswered(None)),
                }
            }
            () = line.retired() => return Err(Failed::Unanswered(None)),
        }
    };
    let answer = answer.map_err(|mut failed| match failed.take_message() {
        // The connection had been closed before.
        Some(_) => Failed::Unsent(LineError::Http(failed.into_error())),
        None => Failed::Unanswered(Some(failed.into_error())),
    })?;
    line.note_movement();
    let (mut parts, body) = answer.into_parts();
    end_to_end(&mut parts.headers);
    let body = Answered::new(body, Arc::clone(line), connection, held);
    Ok(Response::from_parts(parts, body.boxed_unsync()))
}

/// What was done by the first of several requests is not there for the last, where the far gateway has been started anew
/// between them and knows nothing of the first.
fn done(method: &Method, mut answer: Response<Body>) -> Response<Body> {
    let now = match (method.as_str(), answer.status()) {
        ("DELETE", StatusCode::NOT_FOUND) => StatusCode::NO_CONTENT,
        ("MKCOL", StatusCode::METHOD_NOT_ALLOWED) => StatusCode::CREATED,
        _ => return answer,
    };
    *answer.status_mut() = now;
    *answer.body_mut() = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
    for name in [header::CONTENT_TYPE, header::ALLOW] {
        answer.headers_mut().remove(name);
    }
    answer.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    answer
}

/// Between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const CROWDED: &str = "it could not be connected to in time";
const BREAKING: &str = "its connections break";
const STALLED: &str = "it stopped reading what is sent";
