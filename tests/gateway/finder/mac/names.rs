//! What the client knows of names, and how it looks them up.

use std::sync::Arc;

use super::super::client::STAT;
use super::super::names::escaped;
use super::super::parser::stat;
use super::{Errno, Known, Mac, Node, folder_of};

/// Why the kernel looks a name up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Purpose {
    Find,
    /// To create it, or to rename something to it.
    Make,
}

impl Mac {
    pub(super) fn node(&self, path: &str) -> Option<Node> {
        match self.known.lock().get(path) {
            Some(Known::There(node)) => Some(node.clone()),
            _ => None,
        }
    }

    pub(super) fn set(&self, path: &str, node: Node) {
        self.known.lock().insert(path.to_owned(), Known::There(node));
    }

    /// A folder has changed by our own doing: what is absent there is asked for again.
    pub(super) fn changed(&self, path: &str) {
        let folder = folder_of(path);
        self.known.lock().retain(|name, known| !matches!(known, Known::Absent) || folder_of(name) != folder);
    }

    /// A file or folder, and what is in it, is not known any more.
    pub(super) fn forget(&self, path: &str) {
        let inside = format!("{path}/");
        self.known.lock().retain(|name, _| name != path && !name.starts_with(&inside));
    }

    /// [webdav_vnop_lookup]. Every error is an absence: to find the name one that is remembered, to make it one
    /// that lets the operation go on.
    pub(super) async fn look_up(&self, path: &str, purpose: Purpose) -> Result<Option<Node>, Errno> {
        self.purge_negatives(path).await;
        match self.known.lock().get(path) {
            Some(Known::There(node)) => return Ok(Some(node.clone())),
            Some(Known::Absent) if purpose == Purpose::Find => return Err(Errno::NoEntry),
            _ => {}
        }
        // The folder's node is locked until the answer is there.
        let folder = Arc::clone(self.folders.lock().entry(folder_of(path).to_owned()).or_default());
        let _locked = folder.lock().await;
        let attempts = if purpose == Purpose::Make { 2 } else { 1 };
        for _ in 0..attempts {
            if let Ok(answer) = self.propfind(&escaped(path), "0", STAT).await {
                let entry = stat(&answer.text());
                let node = Node {
                    is_folder: entry.is_folder,
                    size: entry.size.unwrap_or_default(),
                    is_fresh: true,
                    content: None,
                };
                self.set(path, node.clone());
                return Ok(Some(node));
            }
        }
        if purpose == Purpose::Make {
            return Ok(None);
        }
        self.known.lock().insert(path.to_owned(), Known::Absent);
        Err(Errno::NoEntry)
    }

    /// Negative entries of a folder go when its date is another one; it is asked for now and then.
    pub(super) async fn purge_negatives(&self, path: &str) {
        let folder = folder_of(path).to_owned();
        let absent = matches!(self.known.lock().get(path), Some(Known::Absent));
        let before = self.dates.lock().get(&folder).cloned();
        if !absent || before.as_ref().is_some_and(|(_, is_fresh)| *is_fresh) {
            return;
        }
        let Ok(answer) = self.propfind(&escaped(&folder), "0", STAT).await else { return };
        let date = stat(&answer.text()).modified;
        if before.is_none_or(|(before, _)| before != date) {
            self.changed(path);
        }
        self.dates.lock().insert(folder, (date, true));
    }

    /// stat(2): the size.
    pub async fn stat(&self, path: &str) -> Result<u64, Errno> {
        Ok(self.attributes(path).await?.size)
    }

    pub(super) async fn attributes(&self, path: &str) -> Result<Node, Errno> {
        let node = self.look_up(path, Purpose::Find).await?.ok_or(Errno::NoEntry)?;
        if node.is_fresh {
            return Ok(node);
        }
        let target = if node.is_folder { format!("{}/", escaped(path)) } else { escaped(path) };
        let answer = self.propfind(&target, "0", STAT).await;
        if answer.as_ref().is_err_and(|error| *error == Errno::NoEntry) {
            self.forget(path);
        }
        let entry = stat(&answer?.text());
        let node = Node { size: entry.size.unwrap_or_default(), is_fresh: true, ..node };
        self.set(path, node.clone());
        Ok(node)
    }
}
