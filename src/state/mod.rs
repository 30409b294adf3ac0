//! The local memory of one source: a directory, held by one gateway at a time, with one database.
//!
//! Nothing of ours lies in the bucket, so what WebDAV needs and S3 has no place for is kept here:
//! dead properties, locks, the dates of folders, what Finder keeps beside files, and the multipart uploads
//! that must be aborted should we die, and empty files whose content has not come yet. Losing the directory
//! loses no file but those. Database work runs off the runtime's threads.

mod creates;
mod credential;
mod database;
mod directory;
mod folder_dates;
mod locks;
mod private;
mod properties;
mod shelf;
mod uploads;

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use redb::{Durability, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use creates::CreateRow;
pub use credential::Credential;
pub use directory::{
    SourceIdentity, base_directory, default_directory, directory_of, is_state_directory, prepare,
};
pub use folder_dates::FolderDate;
pub use locks::LockRow;
pub use private::{
    create_private, directory_hint, open_private, private_directory, read_private, write_private,
};
pub use properties::{PropertyChange, PropertyName, StoredProperty};
pub use shelf::{Absent, Child, Index as Shelf, MEMORY_TIME, MOST_IN_ROW, NewContent, Place, ShelfRow};
pub use uploads::UploadRow;

use database::DatabaseFile;
use directory::Held;
use private::Unfit;
use properties::Index;
use shelf::ShelfIndex;

/// The state of one source. Cloning shares it.
#[derive(Debug, Clone)]
pub struct State(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Arc<DatabaseFile>,
    /// Held from the begin of a write until memory has followed.
    writing: Mutex<()>,
    properties: Index,
    shelf: ShelfIndex,
    /// Bytes, when it was opened.
    free_disk: u64,
    credential: Credential,
    has_new_credential: bool,
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
    #[error("the state database failed")]
    Database(#[source] Box<redb::Error>),
    #[error("a row of the state database cannot be read")]
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
            _ => None,
        }
    }

    /// Whether the disk has no room.
    pub fn is_full(&self) -> bool {
        let (Self::Database(error) | Self::Open { source: error, .. }) = self else { return false };
        matches!(&**error, redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull)
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
        tokio::task::spawn_blocking(move || Self::open_now(&given.0, &given.1, &given.2)).await?
    }

    fn open_now(directory: &Path, description: &str, socket: &str) -> Result<Self, StateError> {
        let held = Held::take(directory, description)?;
        let (credential, has_new_credential) = Credential::keep_or_make(directory, socket)
            .map_err(|source| StateError::Directory { path: directory.display().to_string(), source })?;
        let database = DatabaseFile::open(directory.join(DATABASE_FILE))?;
        let (properties, shelf) = database.run(|database| {
            let transaction = database.begin_write()?;
            properties::create_table(&transaction)?;
            locks::create_table(&transaction)?;
            uploads::create_table(&transaction)?;
            folder_dates::create_table(&transaction)?;
            shelf::create_tables(&transaction)?;
            creates::create_table(&transaction)?;
            transaction.commit()?;
            Ok((Index::load(database)?, ShelfIndex::load(database, directory.join("shelf"))?))
        })?;
        // Where nobody can tell, little is made of it.
        let free_disk = rustix::fs::statvfs(directory).map_or(0, |disk| disk.f_bavail * disk.f_frsize);
        let (database, writing) = (Arc::new(database), Mutex::default());
        Ok(Self(Arc::new(Inner {
            database,
            writing,
            properties,
            shelf,
            free_disk,
            credential,
            has_new_credential,
            held,
        })))
    }

    /// The directory's path.
    pub fn directory(&self) -> &Path {
        self.0.held.directory()
    }

    /// What was free on its disk when it was opened, in bytes.
    pub fn free_disk(&self) -> u64 {
        self.0.free_disk
    }

    /// What lets those programs in that must be asked.
    pub fn credential(&self) -> &Credential {
        &self.0.credential
    }

    /// Whether that is another one than in the life before.
    pub fn has_new_credential(&self) -> bool {
        self.0.has_new_credential
    }

    /// Makes everything written so far survive a power cut.
    pub async fn sync(&self) -> Result<(), StateError> {
        self.write(Durability::Immediate, |_| Ok(())).await
    }

    /// Puts `row` at `key`, as JSON.
    async fn put_row(
        &self,
        table: JsonTable,
        durability: Durability,
        key: &str,
        row: &impl Serialize,
    ) -> Result<(), StateError> {
        let (key, json) = (key.to_owned(), serde_json::to_string(row)?);
        self.write(durability, move |transaction| {
            transaction.open_table(table)?.insert(&*key, &*json)?;
            Ok(())
        })
        .await
    }

    async fn remove_row(
        &self,
        table: JsonTable,
        durability: Durability,
        key: &str,
    ) -> Result<(), StateError> {
        let key = key.to_owned();
        self.write(durability, move |transaction| {
            transaction.open_table(table)?.remove(&*key)?;
            Ok(())
        })
        .await
    }

    /// All rows that are kept as JSON.
    async fn rows<R: DeserializeOwned + Send + 'static>(
        &self,
        table: JsonTable,
    ) -> Result<Vec<R>, StateError> {
        self.read(move |transaction| {
            let table = transaction.open_table(table)?;
            table.iter()?.map(|row| Ok(serde_json::from_str(row?.1.value())?)).collect()
        })
        .await
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
            let mut transaction = database.begin_write()?;
            transaction.set_durability(durability)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(follow(value))
        };
        let database = Arc::clone(&self.0.database);
        tokio::task::spawn_blocking(move || database.run(work)).await?
    }

    /// Runs `work` in a read transaction.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&redb::ReadTransaction) -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        use redb::ReadableDatabase;
        let database = Arc::clone(&self.0.database);
        tokio::task::spawn_blocking(move || database.run(|database| work(&database.begin_read()?))).await?
    }
}

/// A table of rows as JSON, by a key.
type JsonTable = TableDefinition<'static, &'static str, &'static str>;

/// A moment as rows have it: milliseconds since 1970.
pub fn millis(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

const DATABASE_FILE: &str = "state.redb";
