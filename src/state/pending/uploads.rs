//! The ledger of multipart uploads: all that were begun and have not ended.
//!
//! One that nobody completes or aborts is billed for ever and shown nowhere, so the next start aborts what a crash left. But
//! one whose content is a body on this machine's disk, which an accepted change needs still, is gone on with.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::index::Rows;
use super::{Kind, Operation, PendingRow, Phase, id};
use crate::path_key::PathKey;
use crate::state::{State, StateError, millis};

/// A multipart upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UploadRow {
    /// What the row goes by; empty: its id, in older databases.
    #[serde(default)]
    name: String,
    /// The store's; `None` until it has told.
    pub id: Option<String>,
    /// When it was asked for: milliseconds since 1970.
    #[serde(default)]
    pub asked: u64,
    pub bucket: String,
    /// The key within the bucket.
    pub object: String,
    /// The key as the source's whole store names it.
    pub key: String,
    /// `None`: it is aborted when this program ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<UploadSource>,
}

/// What an upload is made of that outlives this program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadSource {
    /// The file's name: see [`super::BodyRow`].
    pub body: String,
    /// Bytes of each part but the last.
    pub part_size: u64,
    /// Every thousand parts it doubles.
    #[serde(default)]
    pub grows: bool,
    /// When the store began it, by its own clock: milliseconds since 1970.
    begun: u64,
}

impl UploadSource {
    pub fn new(body: String, part_size: u64, grows: bool, begun: SystemTime) -> Self {
        Self { body, part_size, grows, begun: millis(begun) }
    }

    pub fn begun(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.begun)
    }
}

impl UploadRow {
    /// One that is about to be asked for.
    pub fn new(bucket: String, object: String, key: String) -> Self {
        let (name, asked) = (Uuid::new_v4().simple().to_string(), millis(SystemTime::now()));
        Self { name, id: None, asked, bucket, object, key, source: None }
    }

    /// The store has told its id.
    pub fn with_id(self, id: String) -> Self {
        Self { id: Some(id), ..self }
    }

    /// It is made of that.
    pub fn made_of(self, source: Option<UploadSource>) -> Self {
        Self { source, ..self }
    }

    /// The same with a name of its own.
    pub fn another(&self) -> Self {
        let Self { bucket, object, key, .. } = self.clone();
        Self::new(bucket, object, key)
    }

    pub(super) fn name(&self) -> &str {
        if self.name.is_empty() { self.id.as_deref().unwrap_or_default() } else { &self.name }
    }

    fn is_of(&self, body: &str) -> bool {
        self.source.as_ref().is_some_and(|source| source.body == body)
    }
}

impl PendingRow {
    /// An upload that is under way.
    pub(in crate::state) fn upload(upload: UploadRow) -> Self {
        let path = PathKey::of_text(&upload.key);
        Self::new(Operation::Upload(upload), path, Phase::Begun)
    }
}

impl State {
    /// Notes an upload before it is asked for, and once more when its id is known; it is on disk when this
    /// returns.
    pub async fn begin_upload(&self, row: &UploadRow) -> Result<(), StateError> {
        self.pend(PendingRow::upload(row.clone())).await
    }

    /// Forgets an upload that was completed or aborted. Not synced at once: aborting it once more at the
    /// next start does no harm.
    pub fn end_upload(&self, row: &UploadRow) {
        self.0.pending.remove(&id(Kind::Upload, row.name()));
        self.sync_soon();
    }

    /// Nobody goes on with it; it is to be aborted.
    pub fn disown_upload(&self, row: &UploadRow) {
        self.0.pending.0.lock().disown(std::slice::from_ref(row));
        self.sync_soon();
    }

    /// The same of all whose bodies no accepted change needs, or only some that the store refuses; returns them.
    pub fn disown_uploads(&self) -> Vec<UploadRow> {
        let mut rows = self.0.pending.0.lock();
        let needless = rows.needless();
        rows.disown(&needless);
        drop(rows);
        if !needless.is_empty() {
            self.sync_soon();
        }
        needless.into_iter().map(|row| row.made_of(None)).collect()
    }

    /// The uploads that are made of a body.
    pub fn uploads_of(&self, body: &str) -> Vec<UploadRow> {
        self.0.pending.0.lock().uploads().filter(|row| row.is_of(body)).cloned().collect()
    }

    /// Whether an upload with this id is in the ledger.
    pub fn has_upload(&self, id: &str) -> bool {
        self.0.pending.0.lock().uploads().any(|row| row.id.as_deref() == Some(id))
    }

    /// Whether a change that was accepted needs a body.
    pub fn needs_body(&self, body: &str) -> bool {
        self.0.pending.0.lock().bodies().any(|(needed, _)| needed == body)
    }
}

impl Rows {
    fn uploads(&self) -> impl Iterator<Item = &UploadRow> {
        self.of_kind(Kind::Upload).filter_map(|row| match &row.operation {
            Operation::Upload(upload) => Some(upload),
            _ => None,
        })
    }

    /// The bodies that accepted changes need, and how far each has come.
    fn bodies(&self) -> impl Iterator<Item = (&str, Phase)> {
        self.of_kind(Kind::Accepted).filter_map(|row| match &row.operation {
            Operation::Accepted(accepted) => Some((accepted.body()?.name.as_str(), row.phase)),
            _ => None,
        })
    }

    fn needless(&self) -> Vec<UploadRow> {
        let mut owned: Vec<_> = self.uploads().filter(|row| row.source.is_some()).cloned().collect();
        if !owned.is_empty() {
            let needed = self.bodies().filter(|(_, phase)| *phase != Phase::Refused);
            let needed: HashSet<&str> = needed.map(|(body, _)| body).collect();
            owned.retain(|row| row.source.as_ref().is_none_or(|source| !needed.contains(&*source.body)));
        }
        owned
    }

    fn disown(&mut self, uploads: &[UploadRow]) {
        for upload in uploads {
            let Some(row) = self.all.get(&id(Kind::Upload, upload.name())).cloned() else { continue };
            let upload = UploadRow { source: None, ..upload.clone() };
            self.put(PendingRow { operation: Operation::Upload(upload), ..row });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Acceptance, AcceptedRow, Basis, BodyRow, Change};
    use super::*;

    async fn open(place: &tempfile::TempDir) -> State {
        State::open(place.path(), "test").await.unwrap()
    }

    /// A change that needs a body.
    fn accepted(body: &str) -> (AcceptedRow, String) {
        let body = Some(BodyRow { name: body.to_owned(), size: 7, crc32c: 1 });
        let row = AcceptedRow {
            number: 1,
            key: "file".to_owned(),
            change: Change::Put { body },
            etag: "pending".to_owned(),
            basis: Basis::Absent,
            content_type: None,
            user: Default::default(),
            writer: String::new(),
            beside: None,
            loser: None,
            loses: false,
        };
        (row, String::new())
    }

    fn upload(body: &str) -> UploadRow {
        let source = UploadSource::new(body.to_owned(), 5, false, SystemTime::UNIX_EPOCH);
        let row = UploadRow::new("bucket".into(), "file".into(), "file".into()).with_id(format!("of {body}"));
        row.made_of(Some(source))
    }

    fn ids(rows: &[UploadRow]) -> Vec<&str> {
        rows.iter().filter_map(|row| row.id.as_deref()).collect()
    }

    #[test]
    fn a_row_of_an_earlier_version_is_made_of_nothing() {
        let old = r#"{"name":"n","id":"i","asked":1,"bucket":"b","object":"o","key":"k"}"#;
        let row: UploadRow = serde_json::from_str(old).unwrap();
        assert_eq!((row.id.as_deref(), &row.source), (Some("i"), &None));
        assert_eq!(serde_json::to_string(&row).unwrap(), old);
    }

    #[tokio::test]
    async fn an_upload_is_left_to_the_next_life_while_its_body_is_needed() {
        let place = tempfile::tempdir().unwrap();
        let state = open(&place).await;
        let accepted = vec![accepted("needed")];
        let upload_of_it = Some(upload("needed"));
        state.accept(Acceptance { accepted, upload: upload_of_it, ..Default::default() }, 1).await.unwrap();
        state.begin_upload(&upload("needless")).await.unwrap();
        assert!(state.needs_body("needed") && !state.needs_body("needless"));
        drop(state);
        let state = open(&place).await;
        assert_eq!(ids(&state.recover().uploads), ["of needless"]);
        assert_eq!(ids(&state.uploads_of("needed")), ["of needed"]);
        assert!(state.has_upload("of needed") && !state.has_upload("of others"));
        assert!(state.disown_uploads().is_empty());
        state.note_refusal(1, Some("denied".to_owned()));
        let needless = state.disown_uploads();
        assert_eq!((ids(&needless), needless[0].source.is_none()), (vec!["of needed"], true));
        assert!(state.disown_uploads().is_empty(), "they are somebody's now");
        assert_eq!(state.recover().uploads.len(), 2, "and aborted by the next life otherwise");
    }
}
