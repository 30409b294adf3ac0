//! A multipart upload that was begun and noted: who ends it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::{Cut, Target, Uploads};
use crate::logging::with_causes;
use crate::state::{UploadRow, UploadSource};
use crate::store::{MultipartStore, StoreError, StoreResult, Upload};

/// See the module. Dropped unfinished, it is aborted; one that somebody goes on with, in another life maybe, is left.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) upload: Upload,
    pub(super) store: Arc<dyn MultipartStore>,
    row: UploadRow,
    shared: Uploads,
    /// The end of this is its end.
    is_ours: AtomicBool,
}

/// The upload that a writer begins, for whoever may go on with it where its writer is given up: see [`super::NewObject`].
#[derive(Debug, Clone, Default)]
pub struct SentUpload(Arc<OnceLock<(Arc<Begun>, Cut)>>);

impl SentUpload {
    pub(super) fn note(&self, begun: &Arc<Begun>, cut: Cut) {
        // A writer begins one.
        let _ = self.0.set((Arc::clone(begun), cut));
    }

    /// Its row, if it is made of a body that outlives this program, by the name of its file.
    pub fn row(&self, body: &str) -> Option<UploadRow> {
        let (begun, Cut { part_size, grows }) = self.0.get()?;
        let source = UploadSource::new(body.to_owned(), *part_size, *grows, begun.upload.begun);
        begun.is_ours().then(|| begun.row.clone().made_of(Some(source)))
    }

    /// That row is noted, and is somebody else's.
    pub fn leave(&self) {
        self.0.get().iter().for_each(|(begun, _)| begun.is_ours.store(false, Ordering::Release));
    }
}

impl Begun {
    fn is_ours(&self) -> bool {
        self.is_ours.load(Ordering::Acquire)
    }

    /// Begins one. `body`: the file on this machine's disk that it is made of, if that outlives this program, and its cut.
    pub(super) async fn new(
        target: &Target,
        shared: &Uploads,
        body: Option<(String, Cut)>,
    ) -> StoreResult<Arc<Self>> {
        let (Target { store, key, attributes }, shared) = (target.clone(), shared.clone());
        let shutdown = shared.shutdown.clone();
        // Detached: a client that leaves between the two steps must not leave an upload unnoted.
        let begun = shutdown.complete(async move {
            let address = store.address(&key);
            let row = UploadRow::new(address.bucket, address.key.to_string(), key.to_string());
            let _beginning = shared.doubts.begin(key.as_str());
            note(&shared, &row).await;
            let upload = match store.create_upload(&key, &attributes).await {
                Ok(upload) => upload,
                Err(error) => {
                    // Otherwise it is looked whether there is one, at the next start if not before.
                    if error.may_have_been_applied() {
                        shared.doubts.note(row);
                    } else {
                        shared.state.end_upload(&row);
                    }
                    return Err(error);
                }
            };
            // The row of a twin stays until it is looked whether there is one.
            let (row, twin) = if upload.may_have_twin { (row.another(), Some(row)) } else { (row, None) };
            let source =
                body.map(|(body, cut)| UploadSource::new(body, cut.part_size, cut.grows, upload.begun));
            let row = row.with_id(upload.id.clone()).made_of(source);
            note(&shared, &row).await;
            twin.into_iter().for_each(|twin| shared.doubts.note(twin));
            let is_needless =
                row.source.as_ref().is_some_and(|source| !shared.state.needs_body(&source.body));
            let begun = Self::of(upload, row, store, &shared);
            if is_needless {
                begun.give_up();
            }
            Ok(begun)
        });
        begun.await.map_err(|e| StoreError::Unavailable(e.into()))?
    }

    /// One that was begun before.
    pub(super) fn of(
        upload: Upload,
        row: UploadRow,
        store: Arc<dyn MultipartStore>,
        shared: &Uploads,
    ) -> Arc<Self> {
        let is_ours = AtomicBool::new(row.source.is_none());
        Arc::new(Self { upload, store, row, shared: shared.clone(), is_ours })
    }

    /// It was completed, or is gone.
    pub(super) fn ended(&self) {
        self.is_ours.store(false, Ordering::Release);
        self.shared.state.end_upload(&self.row);
    }

    /// Nobody goes on with it.
    pub(super) fn give_up(&self) {
        self.shared.state.disown_upload(&self.row);
        self.is_ours.store(true, Ordering::Release);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.is_ours() {
            return;
        }
        let (store, state) = (Arc::clone(&self.store), self.shared.state.clone());
        let (upload, row) = (self.upload.clone(), self.row.clone());
        self.shared.shutdown.background(async move {
            match store.abort_upload(&upload).await {
                Ok(()) => state.end_upload(&row),
                Err(error) => {
                    tracing::warn!(error = with_causes(&error), key = %upload.key, "an unfinished upload stays until the next start");
                }
            }
        });
    }
}

async fn note(shared: &Uploads, row: &UploadRow) {
    if let Err(error) = shared.state.begin_upload(row).await {
        tracing::warn!(
            error = with_causes(&error),
            "an upload cannot be recorded; if this program dies now, it stays unfinished"
        );
    }
}
