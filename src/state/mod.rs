//! The local memory of one source: a directory, held by one gateway at a time, with one database.
//!
//! Nothing of ours lies in the bucket, so what WebDAV needs and S3 has no place for is kept here:
//! dead properties, locks, the dates of folders, what Finder keeps beside files, and what is pending: accepted
//! and not wholly stored. Losing the directory loses what is pending, and no other file. Database
//! work runs off the runtime's threads.

mod abilities;
mod credential;
mod damage;
mod database;
mod directory;
mod folder_dates;
mod head;
mod holdings;
mod identity;
mod locks;
mod look;
mod opening;
mod pending;
mod private;
mod properties;
mod rows;
mod schema;
mod seen;
mod shelf;
mod source;
mod surviving;
mod syncing;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;
use redb::{Durability, TableDefinition};

use crate::sync::blocking;

pub use abilities::AbilityRow;
pub use credential::Credential;
pub use directory::{
    Holder, ParentsPlace, base_directory, directory_of, holder, is_state_directory, parent_holder, prepare,
    temporary,
};
pub use folder_dates::FolderDate;
pub use holdings::{Holdings, Removed, remove, remove_bare, remove_new, remove_with_all};
pub use identity::{SourceIdentity, default_directory, is_named_after};
pub use locks::LockRow;
pub use pending::{
    Acceptance, AcceptedRow, Basis, BodyRow, Change, Coming, CreateRow, Kept, Left, LeftChange, LoserRow,
    MoveRow, Operation as PendingOperation, PendingRow, Phase, QuestionRow, Recovered, TransferRow, Unstored,
    UploadRow, UploadSource,
};
pub use private::{
    FULL_HINT, create_private, directory_hint, is_full, open_private, private_directory, read_private,
    write_private,
};
pub use properties::{PropertyChange, PropertyName, StoredProperty};
pub use seen::SeenRow;
pub use shelf::{Absent, Child, Index as Shelf, MEMORY_TIME, MOST_IN_ROW, NewContent, Place, ShelfRow};
pub use source::{SourceNote, last_use};
pub use surviving::survives;

use damage::Damage;
use database::DatabaseFile;
use directory::Held;
use private::Unfit;
use properties::Index;
use shelf::ShelfIndex;
use syncing::Syncing;

/// The state of one source. Cloning shares it.
#[derive(Debug, Clone)]
pub struct State(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Arc<DatabaseFile>,
    /// Held from the begin of a write until memory has followed.
    writing: Mutex<()>,
    properties: Index,
    pending: pending::Index,
    seen: seen::Unwritten,
    /// Milliseconds since 1970.
    unsure_since: Option<u64>,
    /// It is open for a command that serves nobody.
    is_visit: bool,
    damage: Option<Damage>,
    shelf: ShelfIndex,
    /// The newest writes would not survive a power cut.
    is_unsynced: AtomicBool,
    /// Sees to it that they will soon.
    syncing: Mutex<Syncing>,
    credential: Credential,
    has_new_credential: bool,
    /// This start has made it.
    is_new: bool,
    held: Held,
}

/// Why the state could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("the gateway's state cannot be kept in {path}")]
    Directory { path: String, source: std::io::Error },
    #[error("another gateway serves this source: {holder}")]
    Taken { holder: String },
    #[error("the state database {path} cannot be opened")]
    Open { path: String, source: Box<redb::Error> },
    #[error("the state database {path} was written by a newer s3dav (version {found} of its format)")]
    Newer { path: String, found: u64 },
    #[error(
        "the state database {path} has a format that this s3dav cannot read (version {found} of the file)"
    )]
    Foreign { path: String, found: u8 },
    #[error("the state database is damaged: {why}")]
    Damaged { why: String },
    #[error("the state directory {path} was removed while it was used")]
    Removed { path: String },
    #[error("the program has a bug: {why}")]
    Bug { why: String },
    #[error("the state database failed")]
    Database(#[source] Box<redb::Error>),
    #[error("a row of the state database cannot be made")]
    Row(#[from] serde_json::Error),
    #[error("over {0} properties on one resource")]
    TooManyProperties(usize),
    #[error("over {0} bytes of properties on one resource")]
    LargeProperties(usize),
    #[error("the state database's worker ended early")]
    Worker(#[from] tokio::task::JoinError),
}

impl StateError {
    /// The next step.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Directory { source, .. } => Some(directory_hint(source)),
            _ if self.is_full() => Some(FULL_HINT.to_owned()),
            Self::Open { source, .. } => Some(match &**source {
                redb::Error::Io(error) => directory_hint(error),
                redb::Error::TableTypeMismatch { .. }
                | redb::Error::TableIsMultimap(_)
                | redb::Error::TableIsNotMultimap(_)
                | redb::Error::TypeDefinitionChanged { .. } => OF_ANOTHER_VERSION.to_owned(),
                _ => "check its disk, or name another directory with --state-dir".to_owned(),
            }),
            Self::Newer { .. } | Self::Foreign { .. } => Some(OF_ANOTHER_VERSION.to_owned()),
            _ => None,
        }
    }

    /// Whether the disk has no room.
    pub fn is_full(&self) -> bool {
        let (Self::Database(error) | Self::Open { source: error, .. }) = self else { return false };
        matches!(&**error, redb::Error::Io(error) if private::is_full(error))
    }
}

/// redb has an error type for each step; to us they are one.
macro_rules! database_errors {
    ($($error:ident),*) => {$(
        impl From<redb::$error> for StateError {
            fn from(error: redb::$error) -> Self {
                Self::Database(Box::new(error.into()))
            }
        }
    )*};
}
database_errors!(TransactionError, TableError, StorageError, CommitError, SetDurabilityError);

impl State {
    /// Opens the state in `directory` (made with mode 0700 if missing) and holds it.
    ///
    /// `description` names this gateway to a second one that wants the same directory.
    pub async fn open(directory: &Path, description: &str) -> Result<Self, StateError> {
        Self::open_at(directory, description, "").await
    }

    /// The same for a gateway that listens at a socket: by its identity the credential of the life before is
    /// still valid, or not.
    pub async fn open_at(directory: &Path, description: &str, socket: &str) -> Result<Self, StateError> {
        let given = (directory.to_owned(), description.to_owned(), socket.to_owned());
        blocking(move || Self::open_now(&given.0, &given.1, Some(&given.2))).await?
    }

    /// The same for a command that serves nobody: the next gateway finds what concerns its clients as it is now.
    pub async fn visit(directory: &Path, description: &str) -> Result<Self, StateError> {
        let given = (directory.to_owned(), description.to_owned());
        blocking(move || Self::open_now(&given.0, &given.1, None)).await?
    }

    /// `socket`: of a gateway.
    fn open_now(directory: &Path, description: &str, socket: Option<&str>) -> Result<Self, StateError> {
        let held = Held::take(directory, description)?;
        let credential = match socket {
            Some(socket) => Credential::keep_or_make(directory, socket),
            None => Credential::find_or_make(directory),
        };
        let (credential, has_new_credential) = credential
            .map_err(|source| StateError::Directory { path: directory.display().to_string(), source })?;
        let is_new = !directory.join(DATABASE_FILE).exists();
        let opened = opening::open(directory)?;
        Ok(Self(Arc::new(Inner {
            database: opened.database,
            writing: Mutex::default(),
            properties: opened.properties,
            pending: opened.pending,
            seen: seen::Unwritten::default(),
            unsure_since: opened.unsure_since,
            is_visit: socket.is_none(),
            damage: opened.damage,
            shelf: opened.shelf,
            is_unsynced: AtomicBool::new(false),
            syncing: Mutex::default(),
            credential,
            has_new_credential,
            is_new,
            held,
        })))
    }

    /// Whether an earlier life has had it, which has reached its source: what comes to nothing is not kept.
    pub fn was_reached(&self) -> bool {
        !self.0.is_new
    }

    /// The directory's path.
    pub fn directory(&self) -> &Path {
        self.0.held.directory()
    }

    /// What is lost of it and what to do, if it was found damaged when it was opened.
    pub fn damage(&self) -> Option<(String, String)> {
        self.0.damage.as_ref().map(Damage::told)
    }

    /// Who is told the same if it shows later. There is one at most.
    pub fn on_damage(&self, listen: impl Fn((String, String)) + Send + Sync + 'static) {
        self.0.database.on_damage(listen);
    }

    /// What lets those programs in that must be asked.
    pub fn credential(&self) -> &Credential {
        &self.0.credential
    }

    /// Whether that is another one than in the life before.
    pub fn has_new_credential(&self) -> bool {
        self.0.has_new_credential
    }

    /// Runs `work` in a write transaction and commits it.
    async fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        self.write_then(durability, work, |value| value).await
    }

    /// As [`Self::write`]; what is in memory follows in the order of the commits, and only these.
    async fn write_then<T, U: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<T, StateError> + Send + 'static,
        follow: impl FnOnce(T) -> U + Send + 'static,
    ) -> Result<U, StateError> {
        let state = self.clone();
        let work = move |database: &redb::Database| {
            // There is one writer at a time anyway.
            let _turn = state.0.writing.lock();
            // What nobody finds after the end is good until then; what was accepted is not held to be on disk.
            let durability = if state.0.held.is_in_place() { durability } else { Durability::None };
            Ok(follow(state.commit(database, durability, work)?))
        };
        let database = Arc::clone(&self.0.database);
        let written = blocking(move || database.run(work)).await?;
        if matches!(durability, Durability::None) {
            self.sync_soon();
        }
        written
    }

    /// Runs `work` in a transaction and commits it; with it go the pending rows that have changed.
    fn commit<T>(
        &self,
        database: &redb::Database,
        durability: Durability,
        work: impl FnOnce(&redb::WriteTransaction) -> Result<T, StateError>,
    ) -> Result<T, StateError> {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(durability)?;
        let value = work(&transaction)?;
        if matches!(durability, Durability::None) {
            // An error of the disk would take it back: the rows in memory go only where they stay.
            transaction.commit()?;
            self.0.is_unsynced.store(true, Ordering::Release);
            return Ok(value);
        }
        if !self.0.held.is_in_place() {
            // Nobody finds it after the end, and it would grow until then.
            self.0.seen.clear();
            return Err(StateError::Removed { path: self.directory().display().to_string() });
        }
        let rows = self.0.pending.write(&transaction)?;
        let note_unwritten = || self.0.pending.note_unwritten(rows.clone());
        let seen = self.0.seen.write(&transaction).inspect_err(|_| note_unwritten())?;
        let noted = if self.0.leaves_crash() { Ok(()) } else { schema::note_sync(&transaction) };
        let committed = noted.and_then(|()| Ok(transaction.commit()?));
        if let Err(error) = committed {
            note_unwritten();
            self.0.seen.put_back(seen);
            return Err(error);
        }
        self.0.is_unsynced.store(false, Ordering::Release);
        Ok(value)
    }

    /// Runs `work` in a read transaction.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&redb::ReadTransaction) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        use redb::ReadableDatabase;
        let database = Arc::clone(&self.0.database);
        blocking(move || database.run(|database| work(&database.begin_read()?))).await?
    }
}

/// A table of rows as JSON, by a key.
type JsonTable = TableDefinition<'static, &'static str, &'static str>;

/// A moment as rows have it: milliseconds since 1970.
pub fn millis(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

const OF_ANOTHER_VERSION: &str = "start the version of s3dav that wrote it, or give this one its own state \
                                  with --state-dir; nothing was changed";
const DATABASE_FILE: &str = "state.redb";
/// Contents of the shelf that are too large for rows.
const SHELF_DIRECTORY: &str = "shelf";
