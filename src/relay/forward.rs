//! One request: sent to the far end, again where that was lost meanwhile, within its time.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::answer::{Answered, end_to_end};
use super::line::{Line, LineError};
use super::upload::Upload;
use super::{Body, PAUSE, Relay};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// Its time is over.
    #[error("the far gateway is not reached: {0}")]
    Away(String),
    #[error("the far end was lost in the middle of an upload that is too large to be sent again")]
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
    #[error("its time is over")]
    Late,
    #[error("its client has gone")]
    Broken,
}

impl Relay {
    /// Forwards a request whose sender may come in, until `deadline`.
    pub async fn forward<B>(
        &self,
        mut head: Parts,
        body: B,
        deadline: Instant,
    ) -> Result<Response<Body>, ForwardError>
    where
        B: HttpBody<Data = Bytes, Error = io::Error> + Unpin,
    {
        end_to_end(&mut head.headers);
        // It has been asked for.
        head.headers.remove(header::EXPECT);
        let mut upload = Upload::new(body, self.0.intakes.clone());
        let (mut may_be_done, mut pause) = (false, PAUSE);
        loop {
            let line = self.line(deadline).await?;
            match send(&line, &head, &mut upload, deadline).await {
                Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => {
                    line.refuse();
                    if !upload.can_be_sent() {
                        return Err(ForwardError::Lost);
                    }
                }
                Ok(answer) => return Ok(if may_be_done { done(&head.method, answer) } else { answer }),
                Err(Failed::Broken) => return Err(ForwardError::Broken),
                Err(Failed::Late) => return Err(self.away()),
                Err(failed) => {
                    tracing::debug!(method = %head.method, %failed, "a request is sent again");
                    may_be_done |= matches!(failed, Failed::Unanswered(_));
                    self.0.doubt.notify_one();
                    if !upload.can_be_sent() {
                        return Err(ForwardError::Lost);
                    }
                }
            }
            if Instant::now() + pause > deadline {
                return Err(self.away());
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn line(&self, deadline: Instant) -> Result<Arc<Line>, ForwardError> {
        let mut line = self.0.line.subscribe();
        let waited = timeout_at(deadline, line.wait_for(Option::is_some)).await;
        match waited {
            Ok(Ok(line)) => line.clone().ok_or_else(|| self.away()),
            _ => Err(self.away()),
        }
    }

    fn away(&self) -> ForwardError {
        let trouble = self.trouble().map(|trouble| trouble.message);
        ForwardError::Away(trouble.unwrap_or_else(|| "it is being started".to_owned()))
    }
}

async fn send<B>(
    line: &Arc<Line>,
    head: &Parts,
    upload: &mut Upload<B>,
    deadline: Instant,
) -> Result<Response<Body>, Failed>
where
    B: HttpBody<Data = Bytes, Error = io::Error> + Unpin,
{
    let connecting = async {
        tokio::select! {
            connection = line.connection() => connection.map_err(Failed::Unsent),
            () = line.retired() => Err(Failed::Unsent(LineError::Io(io::ErrorKind::NotConnected.into()))),
        }
    };
    let mut connection = timeout_at(deadline, connecting).await.unwrap_or(Err(Failed::Late))?;
    let (body, feed) = upload.fed();
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
                // The body breaks off, and so does the connection.
                fed.map_err(|_| Failed::Broken)?;
            }
            () = line.retired() => return Err(Failed::Unanswered(None)),
            () = sleep_until(deadline) => return Err(Failed::Late),
        }
    };
    let answer = answer.map_err(|mut failed| match failed.take_message() {
        // The connection had been closed before.
        Some(_) => Failed::Unsent(LineError::Http(failed.into_error())),
        None => Failed::Unanswered(Some(failed.into_error())),
    })?;
    let (mut parts, body) = answer.into_parts();
    end_to_end(&mut parts.headers);
    Ok(Response::from_parts(parts, Answered::new(body, Arc::clone(line), connection).boxed_unsync()))
}

/// What was done by the first of several requests is not there for the last.
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
const LONGEST_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);
