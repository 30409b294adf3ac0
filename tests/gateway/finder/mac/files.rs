//! Files: made, opened, written, closed.

use bytes::Bytes;

use super::super::client::{LOCK, VALID};
use super::super::names::escaped;
use super::super::parser::{lock_token, stat};
use super::names::Purpose;
use super::{Closed, ENDLESS, Errno, Mac, Mode, Node, Open};

impl Mac {
    /// open(2) with `O_CREAT`, and `O_EXCL` if it shall be new.
    pub async fn create(&self, path: &str, is_new: bool) -> Result<Open, Errno> {
        if self.look_up(path, Purpose::Make).await?.is_some() {
            return if is_new { Err(Errno::Exists) } else { self.open(path, Mode::Truncate).await };
        }
        // [network_create]: no body and no condition. "No such file" would loop in the kernel.
        let made = self.ask("PUT", &escaped(path), &[], Bytes::new()).await;
        let made = made.map_err(|error| if error == Errno::NoEntry { Errno::Io } else { error })?;
        self.changed(path);
        let date = made.header("last-modified").map(str::to_owned);
        // [filesystem_create]: with a date it believes to know all of the file, its size of 0 included.
        let is_fresh = made.header("date").is_some();
        let node = Node { is_fresh, content: Some((Bytes::new(), date, true)), ..Node::default() };
        self.set(path, node);
        self.drop_attributes(path).await;
        let token = self.lock(path).await?;
        Ok(Open { path: path.to_owned(), token: Some(token), content: Vec::new(), is_dirty: false })
    }

    /// open(2) of what exists. The kernel starts over when the server says in the middle that there is no such
    /// file, or has an error [filesystem_open, ESTALE]; a look-up ends that.
    pub async fn open(&self, path: &str, mode: Mode) -> Result<Open, Errno> {
        for _ in 0..ENDLESS {
            self.attributes(path).await?;
            match self.open_once(path, mode).await {
                Err(Errno::NoEntry) => self.forget(path),
                opened => return opened,
            }
        }
        Err(Errno::Endless)
    }

    pub(super) async fn open_once(&self, path: &str, mode: Mode) -> Result<Open, Errno> {
        let token = if mode == Mode::Read { None } else { Some(self.lock(path).await?) };
        let content = if mode == Mode::Truncate { Ok(Bytes::new()) } else { self.content(path, mode).await };
        match content {
            Ok(content) => Ok(Open {
                path: path.to_owned(),
                token,
                content: content.into(),
                is_dirty: mode == Mode::Truncate,
            }),
            Err(error) => {
                self.unlock(path, token).await;
                Err(error)
            }
        }
    }

    /// [network_open]: the whole file, unless what is kept of it was validated a moment ago.
    pub(super) async fn content(&self, path: &str, mode: Mode) -> Result<Bytes, Errno> {
        let node = self.node(path).unwrap_or_default();
        let mut headers = Vec::new();
        match &node.content {
            Some((content, _, true)) if mode == Mode::Read => return Ok(content.clone()),
            Some((_, Some(date), _)) => headers.push(("If-Modified-Since", date.clone())),
            _ => {}
        }
        let answer = self.ask("GET", &escaped(path), &headers, Bytes::new()).await?;
        let date = answer.header("last-modified").map(str::to_owned);
        let content = match (answer.status, node.content) {
            (304, Some((content, _, _))) => content,
            _ => answer.body,
        };
        let kept = Some((content.clone(), date, true));
        self.set(path, Node { size: content.len() as u64, is_fresh: true, content: kept, ..node });
        Ok(content)
    }

    /// read(2) of a part that has not been downloaded yet [webdav_read_bytes]: the program gets as many bytes as it
    /// asked for, however few came. After an error the kernel waits for the download instead.
    pub async fn read_ahead(&self, path: &str, offset: usize, count: usize) -> Result<Vec<u8>, Errno> {
        let range = ("Range", format!("bytes={offset}-{}", offset + count - 1));
        match self.ask("GET", &escaped(path), &[range], Bytes::new()).await {
            Ok(answer) => {
                let mut buffer = answer.body.to_vec();
                buffer.resize(count, GARBAGE);
                Ok(buffer)
            }
            Err(_) => {
                let content = self.read(path).await?;
                Ok(content[offset.min(content.len())..content.len().min(offset + count)].to_vec())
            }
        }
    }

    pub(super) async fn lock(&self, path: &str) -> Result<String, Errno> {
        let headers = [
            ("Depth", "0".to_owned()),
            ("Timeout", "Second-600".to_owned()),
            ("Content-Type", "text/xml; charset=\"utf-8\"".to_owned()),
        ];
        let answer = self.ask("LOCK", &escaped(path), &headers, LOCK.into()).await?;
        lock_token(&answer.text()).ok_or(Errno::Io)
    }

    /// The token is forgotten before it is sent, and never sent again.
    pub(super) async fn unlock(&self, path: &str, token: Option<String>) {
        if let Some(token) = token {
            let _ = self
                .ask("UNLOCK", &escaped(path), &[("Lock-Token", format!("<{token}>"))], Bytes::new())
                .await;
        }
    }

    /// fsync(2): the file counts as clean before it is sent [webdav_fsync].
    pub async fn sync(&self, open: &mut Open) -> Result<(), Errno> {
        open.is_dirty = false;
        let content = Bytes::from(open.content.clone());
        let headers: Vec<_> = open.token.iter().map(|token| ("If", format!("(<{token}>)"))).collect();
        let answer = self.ask("PUT", &escaped(&open.path), &headers, content.clone()).await?;
        let mut date = answer.header("last-modified").map(str::to_owned);
        if date.is_none() && answer.header("etag").is_none() {
            // What a PUT does not tell is asked for.
            let told = self.propfind(&escaped(&open.path), "0", VALID).await;
            date = told.ok().map(|told| stat(&told.text()).modified);
        }
        let size = content.len() as u64;
        let content = Some((content, date, true));
        self.set(&open.path, Node { size, is_fresh: true, content, is_folder: false });
        Ok(())
    }

    /// close(2), of which no error is told.
    pub async fn close(&self, mut open: Open) -> Closed {
        let closed = if open.is_dirty {
            self.sync(&mut open).await.map_or_else(Closed::Lost, |()| Closed::Stored)
        } else {
            Closed::Unchanged
        };
        self.unlock(&open.path, open.token).await;
        closed
    }

    /// A whole file from its creation to its end.
    pub async fn save(&self, path: &str, content: impl Into<Vec<u8>>) -> Result<Closed, Errno> {
        let mut open = self.create(path, false).await?;
        open.write(content);
        Ok(self.close(open).await)
    }

    pub async fn read(&self, path: &str) -> Result<Bytes, Errno> {
        let open = self.open(path, Mode::Read).await?;
        let content = open.content.clone().into();
        self.close(open).await;
        Ok(content)
    }
}

/// What lies in the kernel's memory.
const GARBAGE: u8 = 0xaa;
