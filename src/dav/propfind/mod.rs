//! PROPFIND, our own: the engine drops unknown properties, swallows errors of listings and asks the
//! file system many times per entry. Here the first page of a listing is there before the status
//! line, the rest is streamed, and an error midway breaks the body off.

mod live;
mod request;
mod response;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, ReadyChunks, StreamExt};
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::href::{child_href, own_href};
use super::locks::RequestLocks;
use super::told::Told;
use super::{Body, full, refuse, report, text};
use crate::fs::context::{Depth, RequestContext};
use crate::fs::{Children, Failure, FileSystem, Resource};

pub use request::PropertyRequest;
use response::Writer;

/// Answers a PROPFIND. `body` has passed [`super::check_xml`].
pub(super) async fn handle(
    context: &Arc<RequestContext>,
    fs: Arc<dyn FileSystem>,
    told: &Told,
    locks: RequestLocks,
    headers: &HeaderMap,
    body: &[u8],
) -> Response<Body> {
    let wanted = match PropertyRequest::parse(body) {
        Ok(wanted) => wanted,
        Err(message) => return text(StatusCode::BAD_REQUEST, &message),
    };
    let found = match context.depth {
        Some(Depth::Infinity) => return infinite_depth(),
        Some(Depth::Zero) => fs.stat(&context.path).await.map(|resource| (resource, None)),
        // Infinity would be the letter of the RFC; a level is what those who omit it want.
        Some(Depth::One) | None => {
            let listed = fs.list(&context.path).await;
            listed.map(|(folder, children)| (folder, Some(told.watch(context, children))))
        }
    };
    let (resource, children) = match found {
        Ok(found) => found,
        Err(failure) => return refuse(context, failure),
    };
    let minimal = wants_minimal(headers);
    let base = own_href(context, resource.is_folder);
    let multistatus = Multistatus { fs, writer: Writer::new(wanted, locks, minimal), base };
    multistatus.answer(Arc::clone(context), resource, children).await
}

/// A listing being written.
struct Multistatus {
    fs: Arc<dyn FileSystem>,
    writer: Writer,
    /// The folder's own href, as the client spelled it.
    base: String,
}

impl Multistatus {
    async fn answer(
        self,
        context: Arc<RequestContext>,
        resource: Resource,
        children: Option<Children>,
    ) -> Response<Body> {
        let mut head = self.writer.head();
        if !context.omits_root
            && let Err(failure) = self.write(&mut head, &self.base, resource).await
        {
            return refuse(&context, failure);
        }
        let body = match children {
            None => {
                head.push_str(response::TAIL);
                full(head)
            }
            Some(children) => self.stream(context, head, children),
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = StatusCode::MULTI_STATUS;
        let xml = header::HeaderValue::from_static("application/xml; charset=utf-8");
        answer.headers_mut().insert(header::CONTENT_TYPE, xml);
        answer
    }

    fn stream(self, context: Arc<RequestContext>, head: String, children: Children) -> Body {
        let streamed = Streamed {
            multistatus: self,
            context,
            text: head,
            children: children.ready_chunks(BATCH),
            batch: Vec::new().into_iter(),
            has_ended: false,
        };
        let chunks = stream::try_unfold(streamed, |mut this| async move {
            if this.has_ended {
                return Ok(None);
            }
            this.fill().await?;
            let chunk = Frame::data(Bytes::from(std::mem::take(&mut this.text)));
            Ok(Some((chunk, this)))
        });
        StreamBody::new(chunks).boxed_unsync()
    }

    async fn write(&self, text: &mut String, href: &str, mut resource: Resource) -> Result<(), Failure> {
        let dead = self.fs.properties(&resource.id).await?;
        if self.writer.wants_export() {
            resource.export = self.fs.export(&resource).await?;
        }
        self.writer.write(text, href, &resource, &dead);
        Ok(())
    }
}

/// A listing under way.
struct Streamed {
    multistatus: Multistatus,
    context: Arc<RequestContext>,
    /// What has been written and not sent.
    text: String,
    children: ReadyChunks<Children>,
    /// Entries that are there and not written.
    batch: std::vec::IntoIter<Result<Resource, Failure>>,
    has_ended: bool,
}

impl Streamed {
    /// Writes entries until there is enough to send, or no more is there yet.
    async fn fill(&mut self) -> io::Result<()> {
        if self.batch.len() == 0 {
            let Some(next) = self.children.next().await else {
                self.text.push_str(response::TAIL);
                self.has_ended = true;
                return Ok(());
            };
            self.batch = next.into_iter();
        }
        while self.text.len() < CHUNK {
            let Some(child) = self.batch.next() else { break };
            if let Err(failure) = self.write(child).await {
                let message = failure.to_string();
                report(&self.context, failure);
                return Err(io::Error::other(message));
            }
        }
        Ok(())
    }

    async fn write(&mut self, child: Result<Resource, Failure>) -> Result<(), Failure> {
        let (child, this) = (child?, &self.multistatus);
        if self.context.prefix.hides(&self.context.path, &child.name) {
            return Ok(());
        }
        this.write(&mut self.text, &child_href(&this.base, &child), child).await
    }
}

fn infinite_depth() -> Response<Body> {
    let xml = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
               <D:error xmlns:D=\"DAV:\"><D:propfind-finite-depth/></D:error>\n";
    let mut answer = text(StatusCode::FORBIDDEN, "");
    *answer.body_mut() = full(xml);
    let xml = header::HeaderValue::from_static("application/xml; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, xml);
    answer
}

/// Whether the client wants to hear nothing of properties that are not there.
fn wants_minimal(headers: &HeaderMap) -> bool {
    let says = |name: &str, value: &str| {
        headers.get(name).and_then(|v| v.to_str().ok()).is_some_and(|v| v.eq_ignore_ascii_case(value))
    };
    says("brief", "t") || says("prefer", "return=minimal")
}

/// Entries that are taken at once, if they are there.
const BATCH: usize = 256;
/// Bytes of the answer that are sent at once, whatever an entry takes: its memory is bounded by this.
const CHUNK: usize = 64 << 10;
