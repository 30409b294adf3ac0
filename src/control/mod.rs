//! The control sockets: how commands talk to a running gateway, and to the process that holds its sockets.
//!
//! Unix sockets that only their owner can reach, in the state directory of the gateway. Each side sends one
//! line of JSON: a [`Request`], then a [`Reply`]. Both tell the version of what they speak, so that a new
//! command and an old gateway say so instead of misunderstanding each other.

mod client;
mod place;
mod server;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::mount::Health;

pub use client::{ControlError, ask, ask_of, is_there, mark};
pub use place::Who;
pub use server::{Door, open};

/// Of this protocol. What is added and may be missing does not change it.
pub const VERSION: u32 = 1;

/// What a command wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// How things are.
    Status,
    /// Whether it should be left alone, or started anew.
    Health,
    /// To end, as by Ctrl-C.
    Stop,
    /// To make place for the next gateway, as soon as uploads that are under way have ended, or after so many
    /// seconds. A parent that has no gateway starts one now.
    Restart { patience: u64 },
    /// To put on disk what could still be lost with the machine.
    Flush,
    /// To keep mounted what the gateway keeps mounted, or not to until the opposite is wanted.
    Keep { mounted: bool },
    /// To let in the program of a mount that is about to be made; or no longer.
    Mounting { under_way: bool },
    /// To wait for a nonce at the gateway's address; see `http::Challenges`.
    Expect { nonce: String },
    /// Whether that nonce came to the gateway's address.
    Heard { nonce: String, address: SocketAddr },
    /// To write the files on the shelf into a directory, given as an absolute path.
    ExportShelf { directory: PathBuf },
    /// How far the files below a path of what is served are on their way into the bucket.
    Exports { path: String },
    /// About what was accepted and is not in the store, at a path of what is served, or below it.
    Pending { path: String, action: PendingAction },
    /// For the container: credentials, as a `credential_process` prints them.
    Credentials { json: Secret },
}

/// What a gateway answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    Status(Box<Status>),
    /// Of the process that holds the sockets.
    Parent(Box<ParentStatus>),
    Done,
    /// The answer to a question.
    No,
    Exported {
        files: usize,
        bytes: u64,
    },
    Exports(Box<Exports>),
    /// Those that were asked for, or of which what was asked for was done.
    Pending {
        changes: Vec<PendingChange>,
    },
    Failed {
        message: String,
    },
    /// It speaks the version of this line, not the request's.
    OtherVersion,
}

/// How a gateway is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub program_version: String,
    pub pid: u32,
    /// What is served.
    pub source: String,
    pub urls: Vec<String>,
    pub state_dir: PathBuf,
    /// Who may come in: `peer`, `basic` or `none`.
    #[serde(default)]
    pub auth: String,
    /// A name and a password were given to it.
    #[serde(default)]
    pub has_given_login: bool,
    /// Started by `mount`, so that `unmount` ends it.
    #[serde(default)]
    pub detached: bool,
    #[serde(default)]
    pub read_only: bool,
    /// What it was started with, but for what is about mounting.
    #[serde(default)]
    pub options: Vec<String>,
    /// What may be a mistake in them; said when it starts.
    #[serde(default)]
    pub cautions: Vec<Caution>,
    /// Its sockets are the system's, which starts it.
    #[serde(default)]
    pub is_service: bool,
    /// The process that holds its sockets, and starts it anew.
    #[serde(default)]
    pub parent: Option<i32>,
    /// Where it mounts what it serves, and mounts it again when it was lost.
    #[serde(default)]
    pub keeps: Option<PathBuf>,
    /// Seconds since 1970.
    pub started: u64,
    /// Open client connections.
    pub connections: u64,
    /// WebDAV requests answered.
    pub requests: u64,
    /// Requests to S3, by operation; none for a directory.
    pub s3_requests: BTreeMap<String, u64>,
    /// Writes that were kept beside what somebody else had written.
    pub conflicts: u64,
    /// Empty files that wait for their content, or for S3.
    pub held_creates: u64,
    /// Bytes on disk of uploads that wait to be stored.
    #[serde(default)]
    pub spilled: u64,
    pub cache: Cache,
    pub shelf: Shelf,
    pub problems: Vec<Problem>,
    /// Saves of macOS that are not stored, those that were lost first; not all of them where they are many.
    #[serde(default)]
    pub saves: Vec<Save>,
    /// How many more there are.
    #[serde(default)]
    pub more_saves: u64,
    /// What is mounted of it: added by the command, since asking a mount may take a while.
    #[serde(default)]
    pub mounts: Vec<MountedAt>,
    /// The process that holds its sockets, as it answered the command.
    #[serde(default)]
    pub held_by: Option<ParentStatus>,
    /// It was told to end: it takes no more requests, or will not in a moment.
    #[serde(default)]
    pub ending: bool,
}

/// How the process is that holds a gateway's sockets.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ParentStatus {
    pub program_version: String,
    pub pid: u32,
    /// Whether the gateway has been started, and has not ended.
    pub is_running: bool,
    /// What is served at its sockets.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Started by `mount`, so that `unmount` ends it.
    #[serde(default)]
    pub detached: bool,
    /// How many gateways have died that served.
    pub deaths: u64,
    /// How the gateway before this one ended, if it was not meant to.
    pub last_end: Option<LastEnd>,
    /// It does not start: so many times, one after the other.
    pub failed_starts: u64,
    /// Why, in the gateway's own words.
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub hint: Option<String>,
    /// It was told to end, and starts no gateway any more.
    #[serde(default)]
    pub ending: bool,
}

/// An end that nobody wanted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LastEnd {
    /// Such as `signal 9` or `exit code 1`.
    pub how: String,
    /// Seconds since 1970.
    pub at: u64,
}

/// What is to be done with what is pending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum PendingAction {
    List,
    /// To try once more what S3 refused.
    Retry,
    /// To write the contents below a directory, given as an absolute path.
    Save {
        directory: PathBuf,
    },
    /// To give it up.
    Discard,
}

/// A change that was accepted and is not in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingChange {
    pub path: String,
    pub change: ChangeKind,
    /// Of what is moved: where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Of the file.
    pub bytes: u64,
    /// Seconds since 1970.
    pub since: u64,
    /// Why S3 refuses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// It is being sent.
    #[serde(default)]
    pub sending: bool,
}

/// What was done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    Saved,
    Deleted,
    FolderMade,
    Moved,
}

/// What became of the files below a path.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Exports {
    pub source: String,
    /// Objects of the bucket that are as they are here; of a bucket nobody counts them.
    pub exported: Option<u64>,
    pub pending: u64,
    pub failed: u64,
    /// Those that are pending or failed, some of them where they are many.
    pub files: Vec<Export>,
    /// Files of which nothing is told.
    #[serde(default)]
    pub untold: u64,
    /// There are more files than were looked at.
    #[serde(default)]
    pub is_cut: bool,
}

/// A file that is not in the bucket as it is here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Export {
    pub path: String,
    pub state: FileState,
    pub why: Option<String>,
    pub hint: Option<String>,
}

/// Why it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileState {
    /// It waits.
    Pending,
    /// It was tried.
    Failed,
    /// A newer gateway has another word.
    #[serde(other)]
    Unknown,
}

/// A mount, and how it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MountedAt {
    pub point: PathBuf,
    pub health: Health,
}

/// What is remembered, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cache {
    pub used: u64,
    pub limit: u64,
}

/// What is kept of Finder's own files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Shelf {
    pub entries: u64,
    pub bytes: u64,
    pub limit: u64,
}

/// What is allowed, and may still be a mistake.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Caution {
    pub message: String,
    pub hint: String,
}

/// What is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    pub message: String,
    pub hint: String,
    /// Seconds since 1970.
    pub since: u64,
}

/// A file of which the content is not stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Save {
    pub path: String,
    pub state: SaveState,
    /// As far as is known.
    pub bytes: Option<u64>,
    /// Seconds since 1970.
    pub since: u64,
    pub why: Option<String>,
}

/// What became of a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaveState {
    /// It could not be stored.
    Failed,
    /// S3 refuses it; it is kept on this machine.
    Refused,
    /// Less was stored than was announced.
    Incomplete,
    /// The gateway ended before it came.
    Missing,
    /// It is under way for a while.
    Waiting,
}

/// A gateway, or the process that holds its sockets, as commands see it.
#[async_trait]
pub trait Operated: Send + Sync + 'static {
    /// Does what is wanted.
    async fn carry_out(&self, request: Request) -> Reply;
}

/// A text that no log shows.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A line on the socket.
#[derive(Debug, Serialize, Deserialize)]
struct Line<T> {
    version: u32,
    #[serde(flatten)]
    content: T,
}

#[cfg(test)]
mod properties;
