//! Asking an endpoint whether it keeps a condition: writes that must fail, on keys that are nobody's.

use bytes::Bytes;
use uuid::Uuid;

use super::Kind;
use crate::logging::with_causes;
use crate::object::{Attributes, Condition, Doomed, ETag, Key};
use crate::state::{QuestionRow, State};
use crate::store::{CopySource, ObjectStore, StoreError, StoreResult, existing};

/// Deletes what an earlier life asked with, and aborts the uploads that it began there.
pub async fn forget_question(store: &dyn ObjectStore, state: &State, row: &QuestionRow) -> StoreResult<()> {
    for key in &row.keys {
        let key = Key::new(key)?;
        store.delete(&key, &Condition::None).await?;
        let uploads = match store.list_uploads(&key).await {
            Err(error @ (StoreError::AccessDenied(_) | StoreError::Unsupported(_))) => {
                tracing::info!(%key, %error, "it cannot be seen whether an upload was begun to ask the endpoint");
                Vec::new()
            }
            uploads => uploads?,
        };
        for upload in uploads {
            store.abort_upload(&upload).await?;
        }
    }
    state.end_question(row);
    Ok(())
}

/// The questions; each cleans up behind itself.
pub(super) struct Probe<'a> {
    pub(super) store: &'a dyn ObjectStore,
    pub(super) state: &'a State,
    pub(super) prefix: &'a str,
}

impl Probe<'_> {
    /// Whether what is made to ask can be deleted again: where it cannot, it would stay for good.
    pub(super) async fn leaves_nothing(&self) -> StoreResult<bool> {
        match existing(self.store.delete(&self.key("absent")?, &Condition::None).await) {
            Err(error) if refuses(&error) => Ok(false),
            deleted => deleted.map(|_| true),
        }
    }

    /// Whether the endpoint keeps the conditions of such writes; `None` if it cannot be asked here, where it may
    /// refuse what it takes elsewhere. Errors that pass are errors; an endpoint that refuses such writes
    /// altogether does not keep their conditions.
    pub(super) async fn ask(&self, kind: Kind) -> StoreResult<Option<bool>> {
        let (key, other) = (self.key("question")?, self.key("question")?);
        let row = QuestionRow { keys: vec![key.to_string(), other.to_string()] };
        if let Err(error) = self.state.begin_question(&row).await {
            tracing::warn!(%key, error = with_causes(&error), "should this program die now, this key stays");
        }
        let answer = match self.put(&key, &Condition::None).await {
            Ok(()) => self.ask_on(kind, &key, &other).await,
            Err(error) => Err(error),
        };
        let mut is_clean = true;
        for key in [&key, &other] {
            if let Err(error) = existing(self.store.delete(key, &Condition::None).await) {
                is_clean = false;
                tracing::warn!(%key, %error, "a key that was made to ask the endpoint stays until the next start");
            }
        }
        if is_clean && answer.as_ref().map_or_else(refuses, |_| true) {
            self.state.end_question(&row);
        }
        match answer {
            Err(error) if refuses(&error) => Ok(None),
            answer => answer.map(Some),
        }
    }

    async fn ask_on(&self, kind: Kind, key: &Key, other: &Key) -> StoreResult<bool> {
        let attempts: Vec<StoreResult<()>> = match kind {
            Kind::Put => vec![
                self.put(key, &Condition::IfAbsent).await,
                self.put(key, &wrong()).await,
                self.put(other, &wrong()).await,
            ],
            Kind::Complete => {
                vec![self.complete(key, &Condition::IfAbsent).await, self.complete(key, &wrong()).await]
            }
            Kind::CopySource => vec![self.copy(key, Some(wrong_etag()), other, &Condition::None).await],
            Kind::CopyDestination => {
                self.put(other, &Condition::None).await?;
                vec![
                    self.copy(key, None, other, &Condition::IfAbsent).await,
                    self.copy(key, None, other, &wrong()).await,
                ]
            }
            Kind::Delete => vec![self.store.delete(key, &wrong()).await],
            Kind::DeleteMany => vec![self.delete_many(key).await],
        };
        for attempt in attempts {
            match attempt {
                Err(StoreError::ConditionFailed | StoreError::NotFound) => {}
                Err(error) if !refuses(&error) => return Err(error),
                Ok(()) | Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    async fn put(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        let body = Bytes::from_static(CONTENT);
        self.store.put(key, body, &Attributes::default(), condition).await.map(drop)
    }

    async fn complete(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        let upload = self.store.create_upload(key, &Attributes::default()).await?;
        let completed = match self.store.upload_part(&upload, 1, Bytes::from_static(CONTENT)).await {
            Ok(part) => {
                self.store.complete_upload(&upload, &[part], CONTENT.len() as u64, condition).await.map(drop)
            }
            Err(error) => Err(error),
        };
        if completed.is_err()
            && let Err(error) = self.store.abort_upload(&upload).await
        {
            tracing::warn!(%key, %error, "an upload that was begun to ask the endpoint stays");
        }
        completed
    }

    async fn copy(&self, from: &Key, etag: Option<ETag>, to: &Key, condition: &Condition) -> StoreResult<()> {
        let address = self.store.address(from);
        let size = CONTENT.len() as u64;
        let source = CopySource { key: from.clone(), address, etag, size, storage_class: None };
        self.store.copy(&source, to, condition).await.map(drop)
    }

    async fn delete_many(&self, key: &Key) -> StoreResult<()> {
        let doomed = Doomed { key: key.clone(), etag: Some(wrong_etag()) };
        match self.store.delete_many(&[doomed]).await?.pop() {
            Some((_, error)) => Err(error),
            // Nothing failed; but what counts is whether it is gone.
            None => self.store.head(key).await.map_or_else(
                |error| if matches!(error, StoreError::NotFound) { Ok(()) } else { Err(error) },
                |_| Err(StoreError::ConditionFailed),
            ),
        }
    }

    fn key(&self, what: &str) -> StoreResult<Key> {
        Ok(Key::new(format!("{}{what}-{}", self.prefix, Uuid::new_v4().simple()))?)
    }
}

/// Whether the endpoint will not do it, here or at all: nothing was done, and asking again would be no use.
fn refuses(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unsupported(_)
            | StoreError::Rejected(_)
            | StoreError::SettingRefused { .. }
            | StoreError::ChecksumDemanded(_)
            | StoreError::AccessDenied(_)
    )
}

fn wrong() -> Condition {
    Condition::IfMatch(wrong_etag())
}

/// The MD5 of nothing that was ever stored here.
fn wrong_etag() -> ETag {
    ETag::new("00000000000000000000000000000000")
}

const CONTENT: &[u8] = b"s3dav asks whether this endpoint keeps conditions; this object may be deleted";
