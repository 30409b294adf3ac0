//! One request, as the layers below the front see it: what the engine does not pass on to a file
//! system, and what a file system has to tell that the engine cannot.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::error::Failure;
use super::resource_path::ResourcePath;
use super::url_prefix::UrlPrefix;
use crate::client::Client;
use crate::object::{ByteRange, ETag};
use crate::path_key::PathKey;
use crate::state::Coming;

/// The `Depth` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Zero,
    One,
    Infinity,
}

/// A request.
#[derive(Debug)]
pub struct RequestContext {
    pub method: Method,
    pub path: ResourcePath,
    /// Before the paths of all addresses in the answer.
    pub prefix: UrlPrefix,
    /// The path in the client's own spelling, for the hrefs of the answer, where that has empty segments: some
    /// clients tell a folder from its children by the length of the href.
    pub spelling: Option<String>,
    /// Of COPY and MOVE.
    pub destination: Option<ResourcePath>,
    pub depth: Option<Depth>,
    /// A listing is wanted without the folder itself.
    pub omits_root: bool,
    /// `Overwrite`, true unless it says `F`.
    pub overwrite: bool,
    /// A single range; several are ignored.
    pub range: Option<ByteRange>,
    /// The one strong ETag of `If-Match`, if it has just one.
    pub if_match: Option<ETag>,
    /// Whether the client says what a write's target must be like, and is told when it is not.
    pub has_own_condition: bool,
    /// Whether a header may make the answer one without content, or one whose first byte is known
    /// only with the size.
    pub is_conditional: bool,
    pub content_type: Option<String>,
    /// Whether a PUT has a body that is not empty.
    pub has_content: bool,
    /// Bytes of a body that comes in chunks, as macOS expects them to be: a hint.
    pub streamed_length: Option<u64>,
    /// Bytes of a body, however the client tells of them in advance.
    pub declared: Option<u64>,
    /// MD5 that the body must have, if the client told one.
    pub content_md5: Option<Vec<u8>>,
    /// Lock tokens in the `If` header.
    pub tokens: Vec<String>,
    /// `X-OC-Mtime`: seconds since 1970.
    pub mtime: Option<String>,
    pub client: Client,
    /// How long the request may take, and until when.
    pub budget: Duration,
    pub deadline: Instant,
    pub outcome: ResponseHints,
}

/// What became of a request, beyond what the engine can express.
#[derive(Debug, Default)]
pub struct ResponseHints(Mutex<HintState>);

#[derive(Debug, Default)]
struct HintState {
    failure: Option<Arc<Failure>>,
    content_type: Option<String>,
    mtime_kept: bool,
    date_is_no_proof: bool,
    coming: Option<Coming>,
    hints: Hints,
    lost: bool,
    offered: Option<Offered>,
    exists: HashMap<PathKey, bool>,
}

/// What is known of the client's view of the request's target.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints {
    /// It was told that nothing is there, and nothing else since.
    pub was_told_absent: bool,
    /// The same of what it moves.
    pub source_was_absent: bool,
    /// It was told what is there since this gateway began.
    pub has_looked: bool,
    /// It believes to make a file, and does not mean to empty one.
    pub makes: bool,
}

/// A version that an answer holds, or a part of it.
#[derive(Debug, Clone)]
pub struct Offered {
    pub key: String,
    pub etag: ETag,
    /// Bytes of all of it.
    pub size: u64,
    /// What the client had seen until then.
    pub known: Option<ETag>,
}

impl RequestContext {
    /// Whether it reads the file at `path`, if one is there, and nothing can make the content needless.
    pub fn surely_reads(&self, path: &ResourcePath) -> bool {
        self.method == Method::GET
            && !self.is_conditional
            && !path.has_trailing_slash()
            && path.same_resource(&self.path)
    }

    /// Whether it is a PUT of no content and under no lock, as a file is made that is written later.
    pub fn makes_empty(&self) -> bool {
        self.method == Method::PUT && !self.has_content && self.tokens.is_empty()
    }

    /// A file with a content is not emptied by who believes to make it: macOS takes any failure of a look for an
    /// absence. Who was told of an absence has what comes later kept beside.
    pub fn refuse_to_empty(&self, size: u64) -> Result<(), Failure> {
        let hints = self.outcome.hints();
        if hints.makes && !hints.was_told_absent && size > 0 { Err(Failure::Unexpected) } else { Ok(()) }
    }

    /// Notes that `bytes` of the request's body are going to be accepted.
    pub fn accepting(&self, bytes: u64) {
        self.outcome.0.lock().coming.iter().for_each(|coming| coming.accepting(bytes));
    }

    /// Notes that `bytes` of the request's body are accepted: what the disk has of that tells it.
    pub fn accepted(&self, bytes: u64) {
        if let Some(coming) = self.outcome.take_coming() {
            coming.accepted(bytes);
        }
    }

    /// Notes that `bytes` of the request's body are stored.
    pub async fn stored(&self, bytes: u64) {
        if let Some(coming) = self.outcome.take_coming() {
            coming.stored(bytes).await;
        }
    }
}

impl ResponseHints {
    /// Whether a failure is kept: nothing else is to be done for the request.
    pub fn has_failed(&self) -> bool {
        self.0.lock().failure.is_some()
    }

    /// The failure to report instead of the engine's status.
    pub fn failure(&self) -> Option<Arc<Failure>> {
        self.0.lock().failure.clone()
    }

    /// Keeps a failure for the answer, the first one.
    pub fn set_failure(&self, failure: Failure) {
        self.0.lock().failure.get_or_insert_with(|| Arc::new(failure));
    }

    /// Whether it failed since the file was replaced under it, or deleted; it is as if it had not then.
    pub fn take_replaced(&self) -> bool {
        let replaced = |failure: &mut Arc<Failure>| matches!(**failure, Failure::ReplacedWhileRead);
        self.0.lock().failure.take_if(replaced).is_some()
    }

    /// The stored content type of what is sent.
    pub fn content_type(&self) -> Option<String> {
        self.0.lock().content_type.clone()
    }

    pub fn set_content_type(&self, content_type: Option<String>) {
        self.0.lock().content_type = content_type;
    }

    /// Whether the modification time that the client sent was stored.
    pub fn mtime_kept(&self) -> bool {
        self.0.lock().mtime_kept
    }

    pub fn set_mtime_kept(&self) {
        self.0.lock().mtime_kept = true;
    }

    /// Whether the file may have changed though its date has not.
    pub fn date_is_no_proof(&self) -> bool {
        self.0.lock().date_is_no_proof
    }

    pub fn set_date_is_no_proof(&self) {
        self.0.lock().date_is_no_proof = true;
    }

    pub fn hints(&self) -> Hints {
        self.0.lock().hints
    }

    pub fn set_hints(&self, hints: Hints) {
        self.0.lock().hints = hints;
    }

    /// What the request wrote lies beside somebody else's, or is nothing beside it: it has not seen that.
    pub fn set_lost(&self) {
        self.0.lock().lost = true;
    }

    pub fn has_lost(&self) -> bool {
        self.0.lock().lost
    }

    /// What the answer holds of a file, if of any.
    pub fn offered(&self) -> Option<Offered> {
        self.0.lock().offered.clone()
    }

    pub fn set_offered(&self, offered: Offered) {
        self.0.lock().offered = Some(offered);
    }

    /// The request's body is noted as a content on its way.
    pub fn set_coming(&self, coming: Coming) {
        self.0.lock().coming = Some(coming);
    }

    /// For whoever learns how that ended.
    pub fn take_coming(&self) -> Option<Coming> {
        self.0.lock().coming.take()
    }

    /// Notes whether a resource exists, for the locks: only a change of a folder's members needs
    /// the folder's own lock.
    pub fn note_existence(&self, path: &ResourcePath, exists: bool) {
        self.0.lock().exists.insert(path.path_key(), exists);
    }

    /// What was noted.
    pub fn existence(&self, path: &PathKey) -> Option<bool> {
        self.0.lock().exists.get(path).copied()
    }
}

#[cfg(test)]
impl RequestContext {
    /// A request of `client` whose headers say nothing.
    pub(crate) fn bare(method: Method, path: &str, client: Client) -> Self {
        // The tests name paths that are.
        let path = ResourcePath::parse(path).unwrap();
        Self {
            method,
            path,
            prefix: UrlPrefix::default(),
            spelling: None,
            destination: None,
            depth: None,
            omits_root: false,
            overwrite: true,
            range: None,
            if_match: None,
            has_own_condition: false,
            is_conditional: false,
            content_type: None,
            has_content: false,
            streamed_length: None,
            declared: None,
            content_md5: None,
            tokens: Vec::new(),
            mtime: None,
            client,
            budget: Duration::from_secs(60),
            deadline: Instant::now() + Duration::from_secs(60),
            outcome: ResponseHints::default(),
        }
    }
}
