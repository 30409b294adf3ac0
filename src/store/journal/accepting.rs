//! Accepting changes: what they build on, what they make needless, and the one step in which all of that becomes known.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::chains::{Chains, Pending};
use super::{Journal, remove};
use crate::object::{Attributes, Condition, ETag, InvalidKey, Key, Written};
use crate::spool::KeptBody;
use crate::state::{Acceptance, AcceptedRow, Basis, Change, StateError, millis};

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
}

/// A file that is moved, in the version that its client saw.
#[derive(Debug)]
pub struct MovedFile {
    pub from: Key,
    pub version: ETag,
    /// Bytes.
    pub size: u64,
    pub content_type: Option<String>,
    pub to: Key,
    /// What must hold there.
    pub condition: Condition,
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
}

/// A change with its body.
type NewRow = (AcceptedRow, Option<KeptBody>);

/// What is accepted together, and what of that memory needs.
#[derive(Debug, Default)]
struct Accepting {
    rows: Vec<NewRow>,
    changed: Vec<AcceptedRow>,
    needless: Vec<Arc<Pending>>,
}

impl Journal {
    /// Accepts a file: when this returns it survives a crash, is shown, and will be stored.
    pub(super) async fn accept_file(&self, file: NewFile, writer: &Writer) -> Result<Written, AcceptError> {
        let NewFile { key, attributes, condition, body } = file;
        if let Some(body) = &body {
            body.keep().await.map_err(AcceptError::Disk)?;
        }
        let turn = self.0.turns.lock(key.clone()).await;
        let (etag, accepting) = {
            let mut chains = self.0.chains.lock();
            let (basis, after, needless) = self.building_on(&chains, &key, &condition);
            let row = AcceptedRow {
                change: Change::Put { body: body.as_ref().map(KeptBody::row) },
                content_type: attributes.content_type,
                user: attributes.user,
                after,
                ..self.row(&mut chains, &key, basis, writer)
            };
            let changed = handed_over(&chains, needless.as_deref(), row.number);
            let needless = needless.into_iter().collect();
            (ETag::new(&row.etag), Accepting { rows: vec![(row, body.clone())], changed, needless })
        };
        let accepted = self.accept(accepting, writer).await;
        drop(turn);
        if accepted.is_err() {
            remove(body.as_ref()).await;
        }
        Ok(Written { etag, last_modified: whole_seconds(accepted?) })
    }

    /// Accepts that a file is deleted, in the version `seen`.
    pub async fn accept_deletion(&self, key: &Key, seen: &ETag, writer: &Writer) -> Result<(), AcceptError> {
        let _turn = self.0.turns.lock(key.clone()).await;
        let accepting = {
            let mut chains = self.0.chains.lock();
            let (rows, needless) = self.deletion(&mut chains, key, seen, None, writer);
            Accepting { rows, changed: Vec::new(), needless: needless.into_iter().collect() }
        };
        self.accept(accepting, writer).await.map(drop)
    }

    /// Accepts that a file is moved.
    pub async fn accept_move(&self, moved: MovedFile, writer: &Writer) -> Result<Written, AcceptError> {
        let MovedFile { from, version, size, content_type, to, condition } = moved;
        let (first, second) = if from < to { (&from, &to) } else { (&to, &from) };
        let _turns = (self.0.turns.lock(first.clone()).await, self.0.turns.lock(second.clone()).await);
        let (etag, accepting) = {
            let mut chains = self.0.chains.lock();
            let source = chains.shown(&from).filter(|source| source.etag() == version);
            let (basis, after, replaced) = self.building_on(&chains, &to, &condition);
            let mut row = AcceptedRow { content_type, after, ..self.row(&mut chains, &to, basis, writer) };
            let mut body = None;
            match &source {
                // Its content is here: it need not be in the store before.
                Some(source) if matches!(source.row.change, Change::Put { .. }) => {
                    body = source.body().cloned();
                    row.change = source.row.change.clone();
                    row.content_type.clone_from(&source.row.content_type);
                    row.user.clone_from(&source.row.user);
                }
                other => {
                    let stored = self.0.stored_as.get(&version).unwrap_or(version.clone());
                    let version = stored.quoted().to_owned();
                    row.change = Change::Copy { from: from.as_str().to_owned(), version, size };
                    row.after = other.as_ref().map(|source| source.row.number).or(row.after);
                }
            }
            let (deletions, gone) = self.deletion(&mut chains, &from, &version, Some(row.number), writer);
            // What was to be copied is copied to the new place at once.
            if let Some(gone) = gone.as_ref().filter(|gone| matches!(gone.row.change, Change::Copy { .. })) {
                row.change = gone.row.change.clone();
                row.after = gone.row.after;
            }
            let mut changed = handed_over(&chains, replaced.as_deref(), row.number);
            changed.extend(handed_over(&chains, gone.as_deref(), row.number));
            let etag = ETag::new(&row.etag);
            let rows = std::iter::once((row, body)).chain(deletions).collect();
            (etag, Accepting { rows, changed, needless: replaced.into_iter().chain(gone).collect() })
        };
        let at = self.accept(accepting, writer).await?;
        Ok(Written { etag, last_modified: whole_seconds(at) })
    }

    /// The row that deletes what a client saw as `seen`, unless nothing of it is in the store; and the change that is
    /// not needed then.
    fn deletion(
        &self,
        chains: &mut Chains,
        key: &Key,
        seen: &ETag,
        after: Option<u64>,
        writer: &Writer,
    ) -> (Vec<NewRow>, Option<Arc<Pending>>) {
        let (basis, before, needless) = self.building_on(chains, key, &Condition::IfMatch(seen.clone()));
        if basis == Basis::Absent {
            return (Vec::new(), needless);
        }
        let row = self.row(chains, key, basis, writer);
        (vec![(AcceptedRow { after: after.or(before), ..row }, None)], needless)
    }

    /// What a change with this condition builds on, what it comes after, and the change that it makes needless.
    fn building_on(
        &self,
        chains: &Chains,
        key: &Key,
        condition: &Condition,
    ) -> (Basis, Option<u64>, Option<Arc<Pending>>) {
        let seen = match condition {
            Condition::IfMatch(seen) => Some(seen),
            Condition::IfAbsent | Condition::None => None,
        };
        let stored = |etag: &ETag| self.0.stored_as.get(etag).unwrap_or(etag.clone());
        let basis = chains.basis(key, seen, stored);
        match chains.take_back(key, &basis) {
            Some(needless) => (needless.row.basis.clone(), needless.row.after, Some(needless)),
            None => (basis, None, None),
        }
    }

    fn row(&self, chains: &mut Chains, key: &Key, basis: Basis, writer: &Writer) -> AcceptedRow {
        AcceptedRow {
            number: chains.next_number(),
            key: key.as_str().to_owned(),
            change: Change::Delete,
            etag: format!("\"pending-{}\"", Uuid::new_v4().simple()),
            basis,
            content_type: None,
            user: BTreeMap::new(),
            writer: writer.row.clone(),
            after: None,
        }
    }

    /// Writes it down, and then has it known. The turns of its keys are held. When that was.
    async fn accept(&self, accepting: Accepting, writer: &Writer) -> Result<SystemTime, AcceptError> {
        let Accepting { rows, changed, needless } = accepting;
        let now = SystemTime::now();
        let acceptance = Acceptance {
            accepted: rows.iter().map(|(row, _)| (row.clone(), writer.name.clone())).collect(),
            changed: changed.clone(),
            needless: needless.iter().map(|change| change.row.number).collect(),
        };
        if let Err(error) = self.0.state.accept(acceptance, millis(now)).await {
            needless.iter().for_each(|change| change.set_waiting());
            return Err(error.into());
        }
        {
            let mut chains = self.0.chains.lock();
            needless.iter().for_each(|change| chains.remove(change));
            changed.iter().for_each(|row| chains.replace(row));
            for (row, body) in rows {
                chains.push(Pending::new(row, millis(now), body)?);
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

/// Those that wait for one that is not needed any more wait for what took its place.
fn handed_over(chains: &Chains, needless: Option<&Pending>, number: u64) -> Vec<AcceptedRow> {
    needless.map(|needless| chains.handed_over(needless.row.number, number)).unwrap_or_default()
}

/// As S3 tells of dates.
fn whole_seconds(at: SystemTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(millis(at) / 1000)
}
