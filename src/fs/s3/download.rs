//! GET: one version of an object, read. The first request for its content also tells that it is a file.

use async_trait::async_trait;
use bytes::Bytes;

use super::metadata::{Located, Node};
use super::{Failure, RequestContext, ResourcePath, S3FileSystem};
use crate::fs::file_system::{Meta, OpenFile, Reading};
use crate::object::{ByteRange, Key, ObjectMeta, ReadCondition};
use crate::store::read_ahead::{ReadAhead, ReadAheads};
use crate::store::{Content, GetObject, ObjectStore, StoreError, StoreResult};

impl S3FileSystem {
    pub(super) async fn open_to_read(&self, path: &ResourcePath) -> Result<OpenFile, Failure> {
        let begun = self.begin_reading(path).await?;
        let located = match &begun {
            Some(content) => Located { key: path.key(), node: Node::File(content.meta.clone()) },
            None => self.locate(path).await?.ok_or(Failure::NotFound)?,
        };
        self.note_basis(path, &located);
        let Located { key, node: Node::File(meta) } = located else { return Err(Failure::IsFolder) };
        self.context.outcome.set_content_type(meta.content_type.clone());
        let (fs, key) = (self.clone(), Key::new(key)?);
        if begun.is_none() {
            self.shared.reads_whole(&self.context, &key);
        }
        Ok(OpenFile::Reading(Box::new(Fetching { fs, key, meta, position: 0, begun, reader: None })))
    }

    /// Asks for the content without a look before. `None` where that would not do: a folder's path, another spelling,
    /// or a condition that may make the content needless.
    async fn begin_reading(&self, path: &ResourcePath) -> Result<Option<Content>, Failure> {
        let context = &self.context;
        let is_plain = !path.is_reserved() && !self.is_protected(path) && self.known_spelling(path).is_none();
        if !context.surely_reads(path) || !is_plain {
            return Ok(None);
        }
        let key = Key::new(path.key())?;
        // Before its own round trip: those ahead take the same.
        self.shared.reads_whole(context, &key);
        let range = ReadAheads::first_range(context.range);
        let whole = GetObject::whole(&key);
        let content = match self.store.get(GetObject { range: Some(range), ..whole }).await {
            // An empty object has no first byte.
            Err(StoreError::RangeNotSatisfiable) if context.range.is_none() => self.store.get(whole).await,
            content => content,
        };
        match content {
            Ok(content) => Ok(Some(content)),
            // What is not there may be denied, too, and so may what is a folder.
            Err(StoreError::NotFound | StoreError::RangeNotSatisfiable | StoreError::AccessDenied(_)) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// One version of an object being read.
struct Fetching {
    fs: S3FileSystem,
    key: Key,
    meta: ObjectMeta,
    position: u64,
    /// The content that was asked for already; whoever takes it sees whether it fits.
    begun: Option<Content>,
    reader: Option<ReadAhead>,
}

#[async_trait]
impl Reading for Fetching {
    fn meta(&self) -> Meta {
        Meta {
            is_folder: false,
            size: self.meta.size,
            etag: Some(self.meta.etag.clone()),
            modified: self.meta.last_modified,
        }
    }

    async fn read(&mut self, count: usize) -> Result<Bytes, Failure> {
        let bytes = match self.read_version(count).await {
            // The client set no such condition.
            Err(StoreError::ConditionFailed | StoreError::NotFound) => {
                return Err(Failure::ReplacedWhileRead);
            }
            read => read?,
        };
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    fn seek(&mut self, start: u64) {
        self.position = start;
        self.reader = None;
    }
}

impl Fetching {
    async fn read_version(&mut self, count: usize) -> StoreResult<Bytes> {
        let begun = match self.reader.take() {
            Some(reader) => reader,
            None => self.begin().await?,
        };
        self.reader.insert(begun).read(count).await
    }

    /// Its first bytes come within the time of this request; once a client has some, the others may take longer.
    async fn begin(&mut self) -> StoreResult<ReadAhead> {
        let Self { fs, key, meta, position, .. } = self;
        let (start, end) = (*position, range_end(&fs.context, *position, meta.size));
        let begun = match self.begun.take().filter(|content| content.first == start) {
            None if start < end => {
                let wanted = ByteRange { first: start, last: Some(end - 1) };
                let range = Some(ReadAheads::first_range(Some(wanted)));
                let condition = &ReadCondition::IfMatch(meta.etag.clone());
                Some(fs.store.get(GetObject { key, range, condition }).await?)
            }
            begun => begun,
        };
        let (store, version) = (fs.patient_store().objects(), (key.clone(), meta.etag.clone()));
        Ok(fs.shared.read_aheads.reader(store, version, (start, end), begun))
    }
}

/// Where reading from `start` ends: the engine tells a file only where a range begins.
fn range_end(context: &RequestContext, start: u64, size: u64) -> u64 {
    match context.range {
        Some(range) if range.first == start => {
            range.last.map_or(size, |last| size.min(last.saturating_add(1)))
        }
        _ => size,
    }
}
