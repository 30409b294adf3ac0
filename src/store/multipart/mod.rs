//! Writing an object whose length need not be known: one PUT if it is small, parts otherwise.
//!
//! Parts are sent while the body still arrives. Memory is reserved before it is filled, from one
//! pool for all writers, in a way that cannot deadlock: a writer waits only while it holds nothing,
//! or while what it holds is on its way out. A writer that is dropped unfinished leaves no trace:
//! its upload is aborted, and the ledger row sees to it if we die.

mod begun;
mod copy;
mod doubts;
mod open;
mod resumed;
mod retained;
mod writer;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{ListParts, MultipartStore, StoreError, StoreResult, Upload};
use crate::object::{Attributes, Condition, Key};
use crate::shutdown::Shutdown;
use crate::spool::{Intake, Intakes};
use crate::state::{State, UploadRow, UploadSource};
use crate::sync::Budget;

pub use begun::SentUpload;
pub use retained::RetainedBody;
pub use writer::{MultipartWriter, Unfinished};

use doubts::{Doubt, Doubts};
use retained::Spool;

/// How uploads are cut and how much memory they share.
#[derive(Debug, Clone, Copy)]
pub struct UploadOptions {
    /// Bodies up to this many bytes are sent in one PUT.
    pub multipart_threshold: u64,
    /// Bytes of a part; grows with the object so that 10,000 suffice.
    pub part_size: u64,
    /// Bytes that all uploads together may hold.
    pub memory: u64,
    /// All parts of an object have one size but the last, as some servers want it.
    pub equal_parts: bool,
    /// Bytes of the largest object that one request can copy.
    pub copy_limit: u64,
    /// Bytes of a part of larger copies.
    pub copy_part: u64,
    /// An upload whose begin was not answered is looked for so long after that.
    pub doubt_age: Duration,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            multipart_threshold: DEFAULT_THRESHOLD,
            part_size: DEFAULT_PART_SIZE,
            memory: DEFAULT_MEMORY,
            equal_parts: false,
            copy_limit: 5_000_000_000,
            copy_part: 256 << 20,
            doubt_age: DOUBT_AGE,
        }
    }
}

/// An object that is going to be written.
#[derive(Debug)]
pub struct NewObject {
    pub key: Key,
    pub attributes: Attributes,
    pub condition: Condition,
    /// Bytes, if the client told.
    pub length: Option<u64>,
    /// A body that is not stored because its condition is lost is handed back.
    pub keep: bool,
    /// Learns of the upload that it is sent by.
    pub sent: SentUpload,
}

/// Where an object goes, for the tasks.
#[derive(Debug, Clone)]
struct Target {
    store: Arc<dyn MultipartStore>,
    key: Key,
    attributes: Attributes,
}

/// How an object is cut into parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    /// Bytes.
    part_size: u64,
    /// It doubles every 1,000 parts, for nobody knows how long the object is.
    grows: bool,
}

impl Cut {
    /// Bytes of part `number`, unless it is the last.
    fn size(self, number: u32) -> u64 {
        let doubled = if self.grows { (number.saturating_sub(1) / 1000).min(20) } else { 0 };
        self.part_size << doubled
    }
}

/// What all writers of a source share.
#[derive(Debug, Clone)]
pub struct Uploads {
    options: UploadOptions,
    memory: Budget,
    intakes: Intakes,
    state: State,
    shutdown: Shutdown,
    doubts: Doubts,
}

impl Uploads {
    /// `intakes` takes the bodies, `state` keeps the ledger; aborts run under `shutdown`.
    pub fn new(options: UploadOptions, intakes: Intakes, state: State, shutdown: Shutdown) -> Self {
        let (memory, doubts) = (Budget::of_bytes(options.memory), Doubts::new(options.doubt_age));
        Self { options, memory, intakes, state, shutdown, doubts }
    }

    /// What takes bodies for [`Self::writer`]s.
    pub fn intakes(&self) -> &Intakes {
        &self.intakes
    }

    /// Takes a body without a pause; see [`Self::writer`].
    pub fn intake(
        &self,
        store: Arc<dyn MultipartStore>,
        object: NewObject,
    ) -> StoreResult<Intake<MultipartWriter>> {
        Ok(self.intakes.begin(self.writer(store, object)?))
    }

    /// A writer of `object`. Nothing is sent yet.
    fn writer(&self, store: Arc<dyn MultipartStore>, object: NewObject) -> StoreResult<MultipartWriter> {
        let largest = self.largest_object();
        if let Some(length) = object.length.filter(|length| *length > largest) {
            return Err(StoreError::TooLarge(format!(
                "{length} bytes, and {largest} is the most with this upload memory"
            )));
        }
        let target = Target { store, key: object.key.clone(), attributes: object.attributes.clone() };
        Ok(MultipartWriter::new(self.clone(), target, object))
    }

    /// A place on disk for a body of which at least `size` bytes are coming; one that finds none is refused if its
    /// condition is lost.
    fn spool(&self, size: u64) -> Option<Spool> {
        self.intakes.scratch_to_keep(size).map(Spool::new)
    }

    /// Aborts what an earlier life of this source left behind: `rows`, read before anything new
    /// was begun. Returns how many were ended and how many could not be.
    pub async fn abort_leftovers(&self, store: &dyn MultipartStore, rows: Vec<UploadRow>) -> (usize, usize) {
        let (mut ended, mut left) = (0, 0);
        for row in rows {
            let until = SystemTime::UNIX_EPOCH + Duration::from_millis(row.asked) + BEGIN_TIME;
            match self.abort_leftover(store, &row, until).await {
                Ok(()) => ended += 1,
                Err(error) => {
                    tracing::warn!(%error, key = %row.key, "an upload that is left could not be aborted");
                    left += 1;
                }
            }
        }
        (ended, left)
    }

    /// The same in the background, until the program ends.
    pub fn abort_in_background(&self, store: Arc<dyn MultipartStore>, rows: Vec<UploadRow>) {
        if rows.is_empty() {
            return;
        }
        let (uploads, stop) = (self.clone(), self.shutdown.clone());
        self.shutdown.background(async move {
            let (ended, left) = tokio::select! {
                counts = uploads.abort_leftovers(&*store, rows) => counts,
                () = stop.begun() => return,
            };
            tracing::info!(ended, left, "cleaned up uploads that were left unfinished");
        });
    }

    /// Has those aborted that nobody goes on with: what they are made of is not needed any more, or nobody knows of them
    /// whether they were begun. Call when the store answers.
    pub fn abort_needless(&self, store: impl Fn() -> Arc<dyn MultipartStore>) {
        let (rows, doubts) = (self.state.disown_uploads(), self.doubts.take());
        if !rows.is_empty() {
            self.abort_in_background(store(), rows);
        }
        if !doubts.is_empty() {
            self.look_for(store(), doubts);
        }
    }

    /// Waits until one can be looked for of which it is not known whether it was begun.
    pub async fn doubted(&self) {
        self.doubts.due().await;
    }

    fn look_for(&self, store: Arc<dyn MultipartStore>, doubts: Vec<Doubt>) {
        let (uploads, stop) = (self.clone(), self.shutdown.clone());
        self.shutdown.background(async move {
            let looking = async {
                for Doubt { row, until, .. } in doubts {
                    let looked = uploads.abort_leftover(&*store, &row, until).await;
                    if looked.is_err_and(|error| error.is_transient()) {
                        uploads.doubts.note_again(row, until);
                    }
                }
                uploads.doubts.looked();
            };
            // The next start looks for the others.
            tokio::select! {
                () = looking => {}
                () = stop.begun() => {}
            }
        });
    }

    /// `until`: one whose id is not known was not begun later.
    async fn abort_leftover(
        &self,
        store: &dyn MultipartStore,
        row: &UploadRow,
        until: SystemTime,
    ) -> StoreResult<()> {
        let key = Key::new(&row.key)?;
        if !lies_in(row, store) {
            return Err(StoreError::Rejected("it belongs to a bucket that is not served now".into()));
        }
        match upload_of(row) {
            Some(upload) => store.abort_upload(&upload).await?,
            None => {
                let asked = SystemTime::UNIX_EPOCH + Duration::from_millis(row.asked);
                let since = asked.checked_sub(CLOCK_SLACK).unwrap_or(asked);
                let listed = store.list_uploads(&key).await;
                if self.doubts.is_beginning(row) {
                    self.doubts.note_old(row.clone(), until);
                    return Ok(());
                }
                let is_known = |upload: &Upload| self.state.has_upload(&upload.id);
                match abort_unknown(store, listed, since..=until, is_known).await {
                    Err(error @ (StoreError::AccessDenied(_) | StoreError::Unsupported(_))) => {
                        tracing::info!(%key, %error, "cannot tell whether an upload was started");
                    }
                    aborted => aborted?,
                }
            }
        }
        self.state.end_upload(row);
        Ok(())
    }

    /// The largest part that two fit into the memory of.
    fn largest_part(&self) -> u64 {
        (self.options.memory / 2).clamp(self.options.part_size, MAX_PART)
    }

    fn largest_object(&self) -> u64 {
        self.largest_part().saturating_mul(u64::from(MAX_PARTS))
    }

    /// How an object is cut: into equal parts where the length is known, else they double every 1,000.
    fn cut(&self, length: Option<u64>) -> Cut {
        match length {
            Some(length) => {
                let needed = length.div_ceil(u64::from(MAX_PARTS)).next_multiple_of(1 << 20);
                Cut { part_size: needed.max(self.options.part_size), grows: false }
            }
            None => Cut { part_size: self.options.part_size, grows: !self.options.equal_parts },
        }
    }

    /// Bytes of part `number` of a cut, as far as the memory allows.
    fn part_size(&self, cut: Cut, number: u32) -> u64 {
        cut.size(number).min(self.largest_part())
    }
}

/// Whether the object of a row lies where its key is now.
fn lies_in(row: &UploadRow, store: &dyn MultipartStore) -> bool {
    let address = Key::new(&row.key).map(|key| store.address(&key));
    address.is_ok_and(|address| address.bucket == row.bucket && address.key.as_str() == row.object)
}

/// The upload of a row, if its id is known.
fn upload_of(row: &UploadRow) -> Option<Upload> {
    let begun = row.source.as_ref().map_or(SystemTime::UNIX_EPOCH, UploadSource::begun);
    let (key, id) = (Key::new(&row.key).ok()?, row.id.clone()?);
    Some(Upload { key, id, begun, may_have_twin: false })
}

/// Aborts those of the `listed` uploads to one key that were begun for us then, and nobody knows by their ids. Nothing was
/// sent to those; others send soon.
async fn abort_unknown(
    store: &dyn MultipartStore,
    listed: StoreResult<Vec<Upload>>,
    begun: RangeInclusive<SystemTime>,
    is_known: impl Fn(&Upload) -> bool,
) -> StoreResult<()> {
    for upload in listed?.into_iter().filter(|upload| begun.contains(&upload.begun) && !is_known(upload)) {
        let has_parts = match store.list_parts(ListParts { upload: &upload, after: 0 }).await {
            Err(StoreError::NotFound | StoreError::UploadGone) => continue,
            page => !page?.parts.is_empty(),
        };
        if !has_parts {
            store.abort_upload(&upload).await?;
        }
    }
    Ok(())
}

/// How long after it was noted an upload may have been begun.
const BEGIN_TIME: Duration = Duration::from_secs(600);
/// What is under way to the store when its sender gives up has come to it by then, and others have sent a part.
const DOUBT_AGE: Duration = Duration::from_secs(60);
/// The store's clock may differ as much from ours.
const CLOCK_SLACK: Duration = Duration::from_secs(5);
/// S3's limit.
const MAX_PARTS: u32 = 10_000;
/// S3's limit: 5 GiB.
const MAX_PART: u64 = 5 << 30;
/// Bytes: two parts. Three requests instead of one are worth it only where the parts go side by side.
pub const DEFAULT_THRESHOLD: u64 = 16 << 20;
/// Bytes: the more parts, the more requests are paid for; the larger, the more is sent anew when one fails.
pub const DEFAULT_PART_SIZE: u64 = 8 << 20;
/// Bytes: sixteen parts on their way at once.
pub const DEFAULT_MEMORY: u64 = 128 << 20;
