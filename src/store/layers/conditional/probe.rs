//! Asking an endpoint whether it keeps a condition: writes that must fail, on keys that are nobody's.

use uuid::Uuid;

use super::Kind;
use crate::logging::with_causes;
use crate::object::{Attributes, Condition, DeleteTarget, ETag, Key};
use crate::state::{QuestionRow, State};
use crate::store::{
    CompleteUpload, CopyObject, CopySource, ListRequest, MultipartStore, PutObject, StoreError, StoreResult,
    Upload, UploadPart, existing,
};

/// Deletes what an earlier life asked with, and aborts the uploads that it began there.
pub async fn forget_question(
    store: &dyn MultipartStore,
    state: &State,
    row: &QuestionRow,
) -> StoreResult<()> {
    for key in &row.keys {
        let key = Key::new(key)?;
        store.delete(&key, &Condition::None).await?;
        let uploads = match store.list_uploads(&key).await {
            Err(error @ (StoreError::AccessDenied(_) | StoreError::Unsupported(_))) => {
                tracing::info!(%key, %error, "cannot tell whether an upload was started to test the endpoint");
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

/// What the endpoint answered for a kind; see [`Probe::ask`].
pub(super) type Answer = StoreResult<Option<bool>>;

/// The questions.
pub(super) struct Probe<'a> {
    pub(super) store: &'a dyn MultipartStore,
    pub(super) state: &'a State,
    pub(super) prefix: &'a str,
}

/// Keys to ask on, and what is there.
struct Scratch {
    key: Key,
    at_key: Presence,
    other: Key,
    at_other: Presence,
}

/// Whether an object is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    There,
    Absent,
    /// A write or a deletion that may have passed.
    Unknown,
}

impl Probe<'_> {
    /// Whether the endpoint keeps the conditions of such writes; `None` if it cannot be asked here, where it may
    /// refuse what it takes elsewhere. Errors that pass are errors; an endpoint that refuses such writes
    /// altogether does not keep their conditions. All kinds are asked on the same two keys, which are deleted.
    pub(super) async fn ask(&self, kinds: &[Kind]) -> StoreResult<Vec<(Kind, Answer)>> {
        if !self.leaves_nothing().await? {
            return Ok(kinds.iter().map(|kind| (*kind, Ok(None))).collect());
        }
        let (key, other) = (self.key("question")?, self.key("question")?);
        let row = QuestionRow { keys: vec![key.to_string(), other.to_string()] };
        if let Err(error) = self.state.begin_question(&row).await {
            tracing::warn!(%key, error = with_causes(&error), "if this program dies now, this key stays");
        }
        let (at_key, at_other) = (Presence::Unknown, Presence::Absent);
        let mut scratch = Scratch { key, at_key, other, at_other };
        let put = self.put_key(&mut scratch).await;
        let mut answers = Vec::new();
        for kind in kinds.iter().filter(|_| put.is_ok()) {
            let answer = match self.ask_on(*kind, &mut scratch).await {
                Err(error) if refuses(&error) => Ok(None),
                answer => answer.map(Some),
            };
            answers.push((*kind, answer));
        }
        let is_sure =
            answers.iter().all(|(_, answer)| answer.is_ok()) && put.as_ref().map_or_else(refuses, |()| true);
        if self.clean_up(&scratch).await && is_sure {
            self.state.end_question(&row);
        }
        match put {
            Ok(()) => Ok(answers),
            Err(error) if refuses(&error) => Ok(kinds.iter().map(|kind| (*kind, Ok(None))).collect()),
            Err(error) => Err(error),
        }
    }

    /// Whether what is made to ask can be deleted again: where it cannot, it would stay for good.
    async fn leaves_nothing(&self) -> StoreResult<bool> {
        match existing(self.store.delete(&self.key("absent")?, &Condition::None).await) {
            Err(error) if refuses(&error) => Ok(false),
            deleted => deleted.map(|_| true),
        }
    }

    /// Deletes what may be there; whether all of it is gone.
    async fn clean_up(&self, scratch: &Scratch) -> bool {
        let mut is_clean = true;
        for (key, presence) in [(&scratch.key, scratch.at_key), (&scratch.other, scratch.at_other)] {
            if presence != Presence::Absent
                && let Err(error) = existing(self.store.delete(key, &Condition::None).await)
            {
                is_clean = false;
                tracing::warn!(
                    %key,
                    %error,
                    "a key that was written to test the endpoint stays until the next start"
                );
            }
        }
        is_clean
    }

    /// Tries writes whose conditions do not hold, until one passes.
    async fn ask_on(&self, kind: Kind, scratch: &mut Scratch) -> StoreResult<bool> {
        if scratch.at_key != Presence::There {
            self.put_key(scratch).await?;
        }
        match kind {
            Kind::Put => {
                let keeps = is_refused(self.put(&scratch.key, &Condition::IfAbsent).await)?
                    && is_refused(self.put(&scratch.key, &wrong()).await)?;
                if !keeps {
                    return Ok(false);
                }
                let before = std::mem::replace(&mut scratch.at_other, Presence::Unknown);
                let keeps = is_refused(self.put(&scratch.other, &wrong()).await)?;
                if keeps {
                    scratch.at_other = before;
                }
                Ok(keeps)
            }
            Kind::Listing => {
                let page = self.store.list(&ListRequest::tree(scratch.key.as_str())).await?;
                Ok(page.objects.iter().any(|object| object.key == scratch.key))
            }
            Kind::Complete => self.refuses_completions(&scratch.key).await,
            Kind::CopySource => {
                let before = std::mem::replace(&mut scratch.at_other, Presence::Unknown);
                let keeps = is_refused(self.copy(scratch, Some(wrong_etag()), &Condition::None).await)?;
                if keeps {
                    scratch.at_other = before;
                }
                Ok(keeps)
            }
            Kind::CopyDestination => {
                // Where nothing is a condition may hold.
                if scratch.at_other != Presence::There {
                    scratch.at_other = Presence::Unknown;
                    if is_refused(self.copy(scratch, None, &Condition::None).await)? {
                        return Ok(false);
                    }
                    scratch.at_other = Presence::There;
                }
                Ok(is_refused(self.copy(scratch, None, &Condition::IfAbsent).await)?
                    && is_refused(self.copy(scratch, None, &wrong()).await)?)
            }
            Kind::Delete => {
                scratch.at_key = Presence::Unknown;
                let keeps = is_refused(self.store.delete(&scratch.key, &wrong()).await)?;
                if keeps {
                    scratch.at_key = Presence::There;
                }
                Ok(keeps)
            }
            Kind::DeleteMany => {
                scratch.at_key = Presence::Unknown;
                let keeps = is_refused(self.delete_many(&scratch.key).await)?;
                if keeps {
                    scratch.at_key = Presence::There;
                }
                Ok(keeps)
            }
        }
    }

    async fn put_key(&self, scratch: &mut Scratch) -> StoreResult<()> {
        scratch.at_key = Presence::Unknown;
        self.put(&scratch.key, &Condition::None).await?;
        scratch.at_key = Presence::There;
        Ok(())
    }

    async fn put(&self, key: &Key, condition: &Condition) -> StoreResult<()> {
        let (body, attributes) = (CONTENT.into(), &Attributes::default());
        self.store.put(PutObject { key, body, attributes, condition }).await.map(drop)
    }

    /// Whether an upload to a key that is there is completed neither if absent nor in another's place.
    async fn refuses_completions(&self, key: &Key) -> StoreResult<bool> {
        let upload = self.store.create_upload(key, &Attributes::default()).await?;
        let answer = self.refuses_to_complete(&upload).await;
        // One that was completed is gone.
        if !matches!(answer, Ok(false))
            && let Err(error) = self.store.abort_upload(&upload).await
        {
            tracing::warn!(%key, %error, "an upload that was started to test the endpoint stays");
        }
        answer
    }

    async fn refuses_to_complete(&self, upload: &Upload) -> StoreResult<bool> {
        let part = self.store.upload_part(UploadPart { upload, number: 1, body: CONTENT.into() }).await?;
        let parts = [part];
        for condition in [Condition::IfAbsent, wrong()] {
            let (size, parts, condition) = (CONTENT.len() as u64, &parts, &condition);
            let completed = self
                .store
                .complete_upload(CompleteUpload { upload, parts, size, crc32c: None, condition })
                .await;
            // Where a refused completion ends its upload, the next one finds none.
            let is_gone = matches!(completed, Err(StoreError::UploadGone));
            if !is_gone && !is_refused(completed.map(drop))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// From the key to the other.
    async fn copy(&self, scratch: &Scratch, etag: Option<ETag>, condition: &Condition) -> StoreResult<()> {
        let address = self.store.address(&scratch.key);
        let size = CONTENT.len() as u64;
        let source = CopySource { key: scratch.key.clone(), address, etag, size, storage_class: None };
        let (source, to) = (&source, &scratch.other);
        self.store.copy(CopyObject { source, to, condition }).await.map(drop)
    }

    async fn delete_many(&self, key: &Key) -> StoreResult<()> {
        let target = DeleteTarget { key: key.clone(), etag: Some(wrong_etag()) };
        match self.store.delete_many(&[target]).await?.pop() {
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

/// Whether the condition of a write was found not to hold. An endpoint that refuses such writes altogether does not
/// keep conditions.
fn is_refused(write: StoreResult<()>) -> StoreResult<bool> {
    match write {
        Err(StoreError::ConditionFailed | StoreError::NotFound) => Ok(true),
        Err(error) if !refuses(&error) => Err(error),
        Ok(()) | Err(_) => Ok(false),
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

const CONTENT: &str = "s3dav tests the conditional writes of this endpoint; this object may be deleted";
