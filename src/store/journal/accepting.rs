//! Accepting changes: what they build on, what they make needless, and the one step in which all of that becomes known.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::chains::{Chains, Pending};
use super::{Journal, disown};
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
    /// It was on its way to the store, which may have it.
    pub was_sent: bool,
}

/// A file that is moved, in the version that its client saw.
#[derive(Debug)]
pub struct MovedFile {
    pub from: Key,
    pub version: ETag,
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
    /// It is in the store, or may be.
    #[error("the store is away, and must be asked for this")]
    NotHere,
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
}

impl Journal {
    /// Accepts a file: when this returns it survives a crash, is shown, and will be stored.
    pub(super) async fn accept_file(&self, file: NewFile, writer: &Writer) -> Result<Written, AcceptError> {
        let NewFile { key, attributes, condition, body, was_sent } = file;
        if let Some(body) = &body {
            body.keep().await.map_err(AcceptError::Disk)?;
        }
        let _turn = self.0.turns.lock(key.clone()).await;
        let (etag, accepting) = {
            let mut chains = self.0.chains.lock();
            let (basis, needless) = self.building_on(&chains, &key, &condition);
            let row = AcceptedRow {
                change: Change::Put { body: body.as_ref().map(KeptBody::row) },
                content_type: attributes.content_type,
                user: attributes.user,
                ..self.row(&mut chains, &key, basis, writer)
            };
            let needless = needless.into_iter().collect();
            (ETag::new(&row.etag), Accepting { rows: vec![(row, body)], needless, was_sent })
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
            let needless = needless.into_iter().collect();
            Accepting { rows: rows.into_iter().collect(), needless, was_sent: false }
        };
        self.accept(accepting, writer).await.map(drop)
    }

    /// Accepts that a file is moved whose content is here alone: nobody has begun to store it, and nothing was at its name.
    /// It is stored at its new name then. Every other move needs the store.
    pub async fn accept_move(&self, moved: MovedFile, writer: &Writer) -> Result<Written, AcceptError> {
        let MovedFile { from, version, to, condition } = moved;
        let (first, second) = if from < to { (&from, &to) } else { (&to, &from) };
        let _turns = (self.0.turns.lock(first.clone()).await, self.0.turns.lock(second.clone()).await);
        let (etag, accepting) = {
            let mut chains = self.0.chains.lock();
            let source = chains.take_new(&from, &version).ok_or(AcceptError::NotHere)?;
            let (basis, replaced) = self.building_on(&chains, &to, &condition);
            let row = AcceptedRow {
                change: source.row.change.clone(),
                content_type: source.row.content_type.clone(),
                user: source.row.user.clone(),
                ..self.row(&mut chains, &to, basis, writer)
            };
            let (etag, body) = (ETag::new(&row.etag), source.body().cloned());
            let needless = replaced.into_iter().chain([source]).collect();
            (etag, Accepting { rows: vec![(row, body)], needless, was_sent: false })
        };
        let at = self.accept(accepting, writer).await?;
        Ok(Written { etag, last_modified: whole_seconds(at) })
    }

    /// Whether that is such a file.
    pub fn is_new(&self, key: &Key, version: &ETag) -> bool {
        self.0.chains.lock().new_at(key, version).is_some()
    }

    /// What a change with this condition builds on, and the change that it makes needless.
    fn building_on(
        &self,
        chains: &Chains,
        key: &Key,
        condition: &Condition,
    ) -> (Basis, Option<Arc<Pending>>) {
        let seen = match condition {
            Condition::IfMatch(seen) => Some(seen),
            Condition::IfAbsent | Condition::None => None,
        };
        let stored = |etag: &ETag| self.0.stored_as.get(etag).unwrap_or(etag.clone());
        let basis = chains.basis(key, seen, stored);
        match chains.take_back(key, &basis) {
            Some(needless) => (needless.row.basis.clone(), Some(needless)),
            None => (basis, None),
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
        }
    }

    /// Writes it down, and then has it known. The turns of its keys are held. When that was.
    async fn accept(&self, accepting: Accepting, writer: &Writer) -> Result<SystemTime, AcceptError> {
        let Accepting { rows, needless, was_sent } = accepting;
        let now = SystemTime::now();
        let acceptance = Acceptance {
            accepted: rows.iter().map(|(row, _)| (row.clone(), writer.name.clone())).collect(),
            needless: needless.iter().map(|change| change.row.number).collect(),
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
            // Before anybody reads or removes it.
            if let Err(error) = body.claim().await {
                tracing::warn!(%error, "the content of an accepted file cannot be given its name");
            }
        }
        if let Err(error) = accepted {
            needless.iter().for_each(|change| change.set_waiting());
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

/// As S3 tells of dates.
fn whole_seconds(at: SystemTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(millis(at) / 1000)
}
