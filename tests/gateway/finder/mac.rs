//! A Mac that has mounted a gateway: WebDAVFS's part in the kernel and its agent, one operation of a program
//! after the other, with the requests that the client's own code was recorded to send (`data/webdavfs/`).
//!
//! What it does wrongly it does here, too. Names in brackets are functions of webdavfs-403.

mod copy;
mod files;
mod names;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use self::names::Purpose;
use super::client::{EMPTY, QUOTA, STAT};
use super::names::escaped;
use super::parser::{component, count, entries};
use super::wire::{Answer, Wire};

/// What a program is told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Errno {
    Busy,
    Denied,
    /// A system call that starts over again and again: nothing is told.
    Endless,
    Exists,
    Invalid,
    Io,
    NoEntry,
    NoSpace,
    NotEmpty,
    TimedOut,
    TooBig,
    TooLong,
}

/// What became of what was written, once a file is closed; close(2) succeeds in each case
/// (webdav_vnop_close).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Closed {
    Unchanged,
    Stored,
    Lost(Errno),
}

/// A file that a program has open.
pub struct Open {
    path: String,
    token: Option<String>,
    pub content: Vec<u8>,
    is_dirty: bool,
}

impl Open {
    pub fn write(&mut self, content: impl Into<Vec<u8>>) {
        self.content = content.into();
        self.is_dirty = true;
    }

    pub fn truncate(&mut self, size: usize) {
        self.content.truncate(size);
        self.is_dirty = true;
    }
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    Read,
    Write,
    /// For writing, with `O_TRUNC`.
    Truncate,
}

/// What the client knows of a name.
#[derive(Debug, Clone)]
enum Known {
    /// A negative entry of the kernel's name cache.
    Absent,
    There(Node),
}

#[derive(Debug, Clone, Default)]
struct Node {
    is_folder: bool,
    size: u64,
    /// Whether its attributes are younger than 60 s.
    is_fresh: bool,
    /// The content in the cache file, with its date, and whether it was validated in the last 60 s.
    content: Option<(Bytes, Option<String>, bool)>,
}

pub struct Mac {
    pub wire: Wire,
    known: Mutex<BTreeMap<String, Known>>,
    /// The date of a folder when it was last compared, and whether that was a moment ago.
    dates: Mutex<BTreeMap<String, (String, bool)>>,
    /// The lock of each folder's node.
    folders: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    threads: Arc<Semaphore>,
    is_down: AtomicBool,
}

impl Mac {
    /// One that has mounted what is at `address`.
    pub fn at(address: &str) -> Self {
        Self {
            wire: Wire::to(address),
            known: Mutex::default(),
            dates: Mutex::default(),
            folders: Mutex::default(),
            threads: Arc::new(Semaphore::new(THREADS)),
            is_down: AtomicBool::new(false),
        }
    }

    /// [network_mount], and the root's first getattr.
    pub async fn mount(&self) -> Result<(), Errno> {
        let options = self.ask("OPTIONS", "/", &[], Bytes::new()).await?;
        let classes = options.header("dav").unwrap_or_default();
        // Class 1 alone is mounted to be read only.
        classes.split(',').find(|class| class.trim() == "2").ok_or(Errno::Denied)?;
        for body in [STAT, QUOTA, STAT] {
            self.propfind("/", "0", body).await?;
        }
        Ok(())
    }

    /// More than a minute passes: what is known is asked for again.
    pub fn a_minute_passes(&self) {
        for known in self.known.lock().values_mut() {
            if let Known::There(node) = known {
                node.is_fresh = false;
                node.content.iter_mut().for_each(|(_, _, is_fresh)| *is_fresh = false);
            }
        }
        self.dates.lock().values_mut().for_each(|(_, is_fresh)| *is_fresh = false);
    }

    /// The kernel needs its memory for others: no name is known any more.
    pub fn forgets_all(&self) {
        self.known.lock().clear();
    }

    /// One attempt to find the server again [network_server_ping].
    pub async fn ping(&self) -> bool {
        let found = self.wire.send("OPTIONS", "/", &[], Bytes::new()).await.is_ok();
        if found {
            self.is_down.store(false, Ordering::SeqCst);
        }
        found
    }

    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::SeqCst)
    }

    /// Threads of the agent that have nothing to do.
    pub fn idle_threads(&self) -> usize {
        self.threads.available_permits()
    }

    /// A request by one of the agent's threads. While the connection is down nothing is sent, and the
    /// operation fails at once [handle_filesystem_request].
    async fn ask(
        &self,
        method: &'static str,
        target: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Result<Answer, Errno> {
        if self.is_down() {
            return Err(Errno::TimedOut);
        }
        let _thread = self.threads.acquire().await.unwrap();
        match self.wire.send(method, target, headers, body).await {
            Ok(answer) => told(answer.status).map(|()| answer),
            Err(_) => Err(self.goes_down()),
        }
    }

    /// The first error of a connection takes the whole mount down [set_connectionstate].
    fn goes_down(&self) -> Errno {
        self.is_down.store(true, Ordering::SeqCst);
        Errno::TimedOut
    }

    async fn propfind(&self, target: &str, depth: &str, body: &'static str) -> Result<Answer, Errno> {
        let headers = [("Content-Type", "text/xml".to_owned()), ("Depth", depth.to_owned())];
        self.ask("PROPFIND", target, &headers, body.into()).await
    }

    pub async fn make_folder(&self, path: &str) -> Result<(), Errno> {
        if self.look_up(path, Purpose::Make).await?.is_some() {
            return Err(Errno::Exists);
        }
        self.ask("MKCOL", &escaped(path), &[], Bytes::new()).await?;
        self.changed(path);
        self.set(path, Node { is_folder: true, is_fresh: true, ..Node::default() });
        self.drop_attributes(path).await;
        Ok(())
    }

    /// The kernel removes a `._` file that was left of a name before.
    async fn drop_attributes(&self, path: &str) {
        let beside = beside(path);
        if self.find_beside(&beside).await {
            let _ = self.ask("DELETE", &escaped(&beside), &[], Bytes::new()).await;
            self.forget(&beside);
        }
    }

    /// Whether there is a `._` file; an absence is not remembered.
    async fn find_beside(&self, beside: &str) -> bool {
        if let Some(Known::There(_)) = self.known.lock().get(beside) {
            return true;
        }
        self.propfind(&escaped(beside), "0", STAT).await.is_ok()
    }

    /// The names in a folder, which is asked for each time.
    pub async fn list(&self, path: &str) -> Result<Vec<String>, Errno> {
        let folder = format!("{}/", path.trim_end_matches('/'));
        let text = self.propfind(&escaped(&folder), "1", STAT).await?.text();
        let mut names = Vec::new();
        for entry in entries(&text) {
            let Some(name) = component(&folder, &entry) else { continue };
            let child = format!("{folder}{name}");
            let content = self.node(&child).and_then(|node| node.content);
            let size = entry.size.unwrap_or_default();
            self.set(&child, Node { is_folder: entry.is_folder, size, is_fresh: true, content });
            names.push(name.to_owned());
        }
        Ok(names)
    }

    pub async fn rename(&self, from: &str, to: &str) -> Result<(), Errno> {
        let node = self.look_up(from, Purpose::Find).await?.ok_or(Errno::NoEntry)?;
        let replaced = self.look_up(to, Purpose::Make).await?;
        let attributes = self.find_beside(&beside(from)).await;
        let others = self.find_beside(&beside(to)).await;
        if replaced.is_some_and(|node| node.is_folder) {
            self.is_empty(to).await?;
        }
        self.send_move(from, to, node.is_folder).await?;
        if attributes {
            let _ = self.send_move(&beside(from), &beside(to), false).await;
        } else if others {
            let _ = self.ask("DELETE", &escaped(&beside(to)), &[], Bytes::new()).await;
        }
        self.forget(from);
        self.forget(to);
        self.changed(from);
        self.changed(to);
        self.set(to, node);
        Ok(())
    }

    async fn send_move(&self, from: &str, to: &str, is_folder: bool) -> Result<(), Errno> {
        let slash = if is_folder { "/" } else { "" };
        let to = ("Destination", format!("http://{}{}", self.wire.address, escaped(to)));
        self.ask("MOVE", &format!("{}{slash}", escaped(from)), &[to], Bytes::new()).await.map(drop)
    }

    async fn is_empty(&self, path: &str) -> Result<(), Errno> {
        let answer = self.propfind(&format!("{}/", escaped(path)), "1", EMPTY).await?;
        if count(&answer.text()) > 1 { Err(Errno::NotEmpty) } else { Ok(()) }
    }

    pub async fn remove(&self, path: &str) -> Result<(), Errno> {
        let node = self.look_up(path, Purpose::Find).await?.ok_or(Errno::NoEntry)?;
        let slash = if node.is_folder { "/" } else { "" };
        if node.is_folder {
            self.is_empty(path).await?;
        }
        match self.ask("DELETE", &format!("{}{slash}", escaped(path)), &[], Bytes::new()).await {
            // What is gone is as good as deleted.
            Err(error) if error != Errno::NoEntry || node.is_folder => return Err(error),
            _ => {}
        }
        self.forget(path);
        self.changed(path);
        self.drop_attributes(path).await;
        Ok(())
    }

    pub async fn free_space(&self) -> Result<(), Errno> {
        self.propfind("/", "0", QUOTA).await.map(drop)
    }
}

/// What a status is to a program [translate_status_to_error].
fn told(status: u16) -> Result<(), Errno> {
    Err(match status {
        200..=299 | 304 => return Ok(()),
        401..=403 | 405 => Errno::Denied,
        404 | 409 | 410 => Errno::NoEntry,
        413 => Errno::TooBig,
        414 => Errno::TooLong,
        423 | 424 => Errno::Busy,
        400..=499 => Errno::Invalid,
        507 => Errno::NoSpace,
        _ => Errno::NoEntry,
    })
}

/// With its slash.
fn folder_of(path: &str) -> &str {
    &path[..=path.rfind('/').unwrap()]
}

/// The AppleDouble file of a path.
fn beside(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap();
    format!("{folder}/._{name}")
}

/// Threads of the agent for all that programs ask for [WEBDAV_REQUEST_THREADS].
const THREADS: usize = 5;
/// Rounds of one system call after which a test takes it to go on for ever.
const ENDLESS: usize = 5;
