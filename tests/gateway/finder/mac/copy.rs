//! A copy by Finder: a new file whose content is streamed in pieces as they come.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::super::names::escaped;
use super::super::wire::Streamed;
use super::{Closed, Errno, Known, Mac, Open, told};

impl Mac {
    /// [webdav_vnop_write with WEBDAVIOC_WRITE_SEQUENTIAL]. `patience` is how long it waits for a thread of its
    /// own: 5 s.
    pub async fn copy(
        &self,
        path: &str,
        content: &[u8],
        piece: usize,
        patience: Duration,
    ) -> Result<Closed, Errno> {
        let open = self.create(path, true).await?;
        let mut copy = Copy { mac: self, open: &open, content, patience, manager: None, stream: None };
        let written = copy.write(piece).await;
        // The body is ended whatever came of it; of a connection that is lost nobody is told.
        let ended = copy.end().await;
        if let Some(Known::There(node)) = self.known.lock().get_mut(path) {
            // Nothing updates what it knows of the size, until the folder is listed.
            node.content = None;
        }
        self.unlock(&open.path, open.token).await;
        written.map(|()| ended)
    }
}

/// A streamed PUT under way.
struct Copy<'m> {
    mac: &'m Mac,
    open: &'m Open,
    content: &'m [u8],
    patience: Duration,
    /// The thread that is the stream's own from the first piece to the answer.
    manager: Option<OwnedSemaphorePermit>,
    stream: Option<Streamed<'m>>,
}

impl Copy<'_> {
    async fn write(&mut self, piece: usize) -> Result<(), Errno> {
        let mut expected = 0;
        for (number, bytes) in self.content.chunks(piece).enumerate() {
            let offset = number * piece;
            if offset != expected {
                return Err(Errno::Invalid);
            }
            expected = match self.send(offset, bytes).await {
                Ok(()) => offset + bytes.len(),
                Err(Failure::Retry) => {
                    // Once, from the beginning; then all of it is counted again, and the next piece is not
                    // where it is expected.
                    let whole = &self.content[..offset + bytes.len()];
                    self.stream = None;
                    self.send(0, whole).await.map_err(|_| Errno::Io)?;
                    offset + whole.len()
                }
                Err(Failure::Final) => return Err(Errno::Io),
            };
        }
        Ok(())
    }

    /// [filesystem_write_seq]
    async fn send(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Failure> {
        if offset == 0 {
            self.begin().await?;
        }
        let _thread = self.mac.threads.acquire().await.unwrap();
        let Some(stream) = &mut self.stream else {
            // After an early success what follows counts as written, and nothing is sent.
            return Ok(());
        };
        match stream.piece(bytes).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let answer = self.stream.take().unwrap().answer().await.map_err(|_| Failure::Retry)?;
                if told(answer.status).is_ok() { Ok(()) } else { Err(Failure::Final) }
            }
            Err(error) if is_retried(error.kind()) => Err(Failure::Retry),
            Err(_) => Err(Failure::Final),
        }
    }

    /// [setup_seq_write]
    async fn begin(&mut self) -> Result<(), Failure> {
        if self.manager.is_none() {
            let free = Arc::clone(&self.mac.threads).acquire_owned();
            let free = tokio::time::timeout(self.patience, free).await.map_err(|_| Failure::Final)?;
            self.manager = Some(free.unwrap());
        }
        let length = ("X-Expected-Entity-Length", self.content.len().to_string());
        let token = self.open.token.iter().map(|token| ("If", format!("(<{token}>)")));
        let headers: Vec<_> = std::iter::once(length).chain(token).collect();
        let stream = self.mac.wire.stream(&escaped(&self.open.path), &headers).await;
        self.stream = Some(stream.map_err(|_| Failure::Final)?);
        Ok(())
    }

    /// [cleanup_seq_write], in close(2)
    async fn end(&mut self) -> Closed {
        let _thread = self.mac.threads.acquire().await.unwrap();
        let Some(stream) = self.stream.take() else { return Closed::Lost(Errno::Io) };
        let answer = stream.end().await;
        self.manager = None;
        match answer.map(|answer| told(answer.status)) {
            Ok(Ok(())) => Closed::Stored,
            Ok(Err(error)) => Closed::Lost(error),
            Err(_) => Closed::Lost(Errno::Io),
        }
    }
}

/// How a piece of a stream failed.
enum Failure {
    Retry,
    Final,
}

fn is_retried(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted)
}
