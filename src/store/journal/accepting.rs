//! Accepting changes: what they build on, what they make needless, and the one step in which all of that becomes known.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::Journal;
use super::bodies::{claim, disown};
use super::chains::Chains;
use super::change::Pending;
use crate::object::{Attributes, Condition, ETag, InvalidKey, Key, ObjectMeta, Written};
use crate::spool::KeptBody;
use crate::state::{
    Acceptance, AcceptedRow, Basis, Change, LoserRow, MoveRow, StateError, UploadRow, millis,
};

/// Who makes a change.
#[derive(Debug, Clone)]
pub struct Writer {
    /// As rows name clients.
    pub row: String,
    /// As people are told.
    pub name: String,
}

/// A file to accept.
#[derive(Debug)]
pub struct NewFile {
    pub key: Key,
    pub attributes: Attributes,
    /// What must hold.
    pub condition: Condition,
    /// `None`: it is empty.
    pub body: Option<KeptBody>,
    /// It was on its way to the store, which may have it.
    pub was_sent: bool,
    /// The upload that some of it was sent by, made of its body now.
    pub upload: Option<UploadRow>,
    /// Where it may lie already, beside what somebody else made in its place.
    pub beside: Option<Key>,
    /// What its client had saved before, and had lost when it began.
    pub loser: Option<(Key, ETag)>,
}

/// A file that is moved, as its client saw it.
#[derive(Debug)]
pub struct MovedFile {
    pub from: Key,
    pub meta: ObjectMeta,
    pub to: Key,
    /// What must hold there.
    pub condition: Condition,
    /// The store may have begun to.
    pub was_sent: bool,
    /// It is at its destination as this, and its source may be gone.
    pub copied: Option<ETag>,
    /// What its client had saved there before, and had lost when it began.
    pub loser: Option<(Key, ETag)>,
}

/// Why a change cannot be accepted.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    #[error("its content cannot be kept on this machine's disk")]
    Disk(#[source] io::Error),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Key(#[from] InvalidKey),
    #[error("the file has just changed")]
    Changed,
}

/// A change with its body.
type NewRow = (AcceptedRow, Option<KeptBody>);

/// What is accepted together, and what of that memory needs.
#[derive(Debug, Default)]
struct Accepting {
    rows: Vec<NewRow>,
    needless: Vec<Arc<Pending>>,
    /// The store may have it.
    was_sent: bool,
    /// What it was sent by.
    upload: Option<UploadRow>,
}

impl Journal {
    /// Accepts a file, whose body is kept: when this returns it survives a crash, is shown, and will be stored.
    pub(super) async fn accept_file(&self, file: NewFile, writer: &Writer) -> Result<Written, AcceptError> {
        let NewFile { key, attributes, condition, body, was_sent, upload, beside, loser } = file;
        let _turn = self.0.turns.lock(key.clone()).await;
        let (etag, accepting) = {
            let mut chains = self.0.chains.lock();
            let (basis, needless) = self.building_on(&chains, &key, &condition);
            let row = AcceptedRow {
                change: Change::Put { body: body.as_ref().map(KeptBody::row) },
                content_type: attributes.content_type,
                user: attributes.user,
                beside: beside.map(|copy| copy.to_string()),
                loser: loser.as_ref().map(loser_row),
                ..self.row(&mut chains, &key, basis, writer)
            };
            let etag = ETag::new(&row.etag);
            let (rows, needless) = (vec![(row, body)], needless.into_iter().collect());
            (etag, Accepting { rows, needless, was_sent, upload })
        };
        let at = self.accept(accepting, writer).await?;
        Ok(Written { etag, last_modified: whole_seconds(at) })
    }

    /// Accepts that a file is deleted, in the version `seen`.
    pub async fn accept_deletion(&self, key: &Key, seen: &ETag, writer: &Writer) -> Result<(), AcceptError> {
        let _turn = self.0.turns.lock(key.clone()).await;
        let accepting = {
            let mut chains = self.0.chains.lock();
            let (basis, needless) = self.building_on(&chains, key, &Condition::IfMatch(seen.clone()));
            // What the store has nothing of is gone with its row.
            let is_there = basis != Basis::Absent;
            let rows = is_there.then(|| (self.row(&mut chains, key, basis, writer), None));
            let (rows, needless) = (rows.into_iter().collect(), needless.into_iter().collect());
            Accepting { rows, needless, ..Accepting::default() }
        };
        self.accept(accepting, writer).await.map(drop)
    }

    /// Accepts that a file is moved. One whose content is here alone, since nobody has begun to store it, and that replaced
    /// nothing, is stored at its new name then. Any other is copied and deleted by the store.
    pub async fn accept_move(&self, moved: MovedFile, writer: &Writer) -> Result<Written, AcceptError> {
        let _turns = self.turns([&moved.from, &moved.to].into_iter()).await;
        let (etag, accepting) = {
            let mut chains = self.0.chains.lock();
            if chains.shown(&moved.from).is_some_and(|shown| shown.etag() != moved.meta.etag) {
                return Err(AcceptError::Changed);
            }
            let (row, body, needless) = match chains.take_new(&moved.from, &moved.meta.etag) {
                Some(new) => self.renamed(&mut chains, &moved, new, writer),
                None => (self.relocated(&mut chains, &moved, writer), None, Vec::new()),
            };
            let was_sent = moved.was_sent && needless.is_empty();
            (ETag::new(&row.etag), Accepting { rows: vec![(row, body)], needless, was_sent, upload: None })
        };
        let at = self.accept(accepting, writer).await?;
        Ok(Written { etag, last_modified: whole_seconds(at) })
    }

    /// The row of a new file at its new name, its body, and what that makes needless.
    fn renamed(
        &self,
        chains: &mut Chains,
        moved: &MovedFile,
        new: Arc<Pending>,
        writer: &Writer,
    ) -> (AcceptedRow, Option<KeptBody>, Vec<Arc<Pending>>) {
        let (basis, needless) = self.building_on(chains, &moved.to, &moved.condition);
        let row = AcceptedRow {
            change: new.row.change.clone(),
            content_type: new.row.content_type.clone(),
            user: new.row.user.clone(),
            loser: moved.loser.as_ref().map(loser_row),
            ..self.row(chains, &moved.to, basis, writer)
        };
        (row, new.body().cloned(), needless.into_iter().chain([new]).collect())
    }

    /// The row of a file that the store moves. It may come to nothing: then what was saved at its destination is needed.
    fn relocated(&self, chains: &mut Chains, moved: &MovedFile, writer: &Writer) -> AcceptedRow {
        let MovedFile { from, meta, to, condition, copied, loser, .. } = moved;
        let basis = chains.basis(from, Some(&meta.etag), |etag| self.stored(etag));
        let (size, storage_class) = (meta.size, meta.storage_class.clone());
        let (from, copied) = (from.to_string(), copied.as_ref().map(|copy| copy.quoted().to_owned()));
        let change = Change::Move(MoveRow { from, basis, size, storage_class, copied });
        let (content_type, user) = (meta.content_type.clone(), meta.user.clone());
        let basis = chains.basis(to, condition.etag(), |etag| self.stored(etag));
        let loser = loser.as_ref().map(loser_row);
        AcceptedRow { change, content_type, user, loser, ..self.row(chains, to, basis, writer) }
    }

    /// A version as the store knows it, if what was accepted as that is stored.
    pub(super) fn stored(&self, etag: &ETag) -> ETag {
        self.0.stored_as.get(etag).unwrap_or_else(|| etag.clone())
    }

    /// What a change with this condition builds on, and the change that it makes needless.
    fn building_on(
        &self,
        chains: &Chains,
        key: &Key,
        condition: &Condition,
    ) -> (Basis, Option<Arc<Pending>>) {
        let basis = chains.basis(key, condition.etag(), |etag| self.stored(etag));
        let needless = chains.take_back(key, &basis);
        (needless.as_ref().map_or(basis, |change| change.row.basis.clone()), needless)
    }

    fn row(&self, chains: &mut Chains, key: &Key, basis: Basis, writer: &Writer) -> AcceptedRow {
        AcceptedRow {
            number: chains.next_number(),
            key: key.as_str().to_owned(),
            change: Change::Delete,
            etag: format!("\"{UNSTORED}{}\"", Uuid::new_v4().simple()),
            basis,
            content_type: None,
            user: BTreeMap::new(),
            writer: writer.row.clone(),
            beside: None,
            loser: None,
            loses: false,
        }
    }

    /// Writes it down, and then has it known. The turns of its keys are held. When that was.
    async fn accept(&self, accepting: Accepting, writer: &Writer) -> Result<SystemTime, AcceptError> {
        let Accepting { rows, needless, was_sent, upload } = accepting;
        let now = SystemTime::now();
        let acceptance = Acceptance {
            accepted: rows.iter().map(|(row, _)| (row.clone(), writer.name.clone())).collect(),
            needless: needless.iter().map(|change| change.row.number).collect(),
            upload,
        };
        // A moved file's body goes on with its new row, and is claimed by that.
        for change in &needless {
            disown(change.body()).await;
        }
        let accepted = self.0.state.accept(acceptance, millis(now)).await;
        let owned: Vec<&KeptBody> = match &accepted {
            Ok(()) => rows.iter().filter_map(|(_, body)| body.as_ref()).collect(),
            Err(_) => needless.iter().filter_map(|change| change.body()).collect(),
        };
        for body in owned {
            claim(Some(body)).await;
        }
        if let Err(error) = accepted {
            let mut chains = self.0.chains.lock();
            needless.iter().for_each(|change| chains.set_waiting(change));
            return Err(error.into());
        }
        {
            let mut chains = self.0.chains.lock();
            needless.iter().for_each(|change| chains.remove(change));
            for (row, body) in rows {
                let pending = Pending::new(row, millis(now), body)?;
                chains.push(if was_sent { pending.begun() } else { pending });
            }
        }
        for change in &needless {
            self.release(change).await;
        }
        self.note_change();
        self.0.wanted.notify_one();
        Ok(now)
    }
}

/// Whether clients know by this name what is accepted and may not be stored yet.
pub fn is_unstored(etag: &ETag) -> bool {
    etag.quoted().trim_start_matches('"').starts_with(UNSTORED)
}

/// How such names begin; no store gives such ones.
const UNSTORED: &str = "pending-";

fn loser_row((copy, etag): &(Key, ETag)) -> LoserRow {
    LoserRow { key: copy.to_string(), etag: etag.quoted().to_owned() }
}

/// As S3 tells of dates.
fn whole_seconds(at: SystemTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(millis(at) / 1000)
}
