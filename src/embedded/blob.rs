//! Content: segments in memory, or files.

use std::io::{self, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use uuid::Uuid;

/// Some bytes, immutable, as a sequence of pieces: a completed upload is the list of its parts,
/// not a copy of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Blob(Vec<Piece>);

#[derive(Debug, Clone)]
enum Piece {
    Memory(Bytes),
    File { path: PathBuf, length: u64 },
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }
}

impl Blob {
    pub(super) fn len(&self) -> u64 {
        self.0.iter().map(Piece::len).sum()
    }

    /// The blob that holds these one after the other.
    pub(super) fn concat(blobs: impl IntoIterator<Item = Blob>) -> Self {
        Self(blobs.into_iter().flat_map(|blob| blob.0).collect())
    }

    /// Names of the files, for the index on disk.
    pub(super) fn files(&self) -> Vec<(String, u64)> {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let of = |piece: &Piece| match piece {
            Piece::File { path, length } => Some((name(path), *length)),
            Piece::Memory(_) => None,
        };
        self.0.iter().filter_map(of).collect()
    }

    /// The blob of files named by [`Self::files`].
    pub(super) fn from_files(directory: &Path, files: Vec<(String, u64)>) -> Self {
        Self(
            files
                .into_iter()
                .map(|(name, length)| Piece::File { path: directory.join(name), length })
                .collect(),
        )
    }

    /// The bytes of `range`. Files are opened now, so that deleting the blob does not disturb.
    pub(super) async fn read(&self, range: Range<u64>) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        let mut streams = Vec::new();
        let mut start = 0;
        for piece in &self.0 {
            let end = start + piece.len();
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from < to {
                streams.push(piece_stream(piece, from - start..to - start).await?);
            }
            start = end;
        }
        Ok(stream::iter(streams).flatten().boxed())
    }

    /// A copy of `range` that lives on its own.
    pub(super) async fn slice(&self, range: Range<u64>, directory: Option<&Path>) -> io::Result<Self> {
        let mut writer = BlobWriter::new(directory).await?;
        let mut bytes = self.read(range).await?;
        while let Some(chunk) = bytes.next().await {
            writer.write(chunk?).await?;
        }
        writer.finish().await
    }

    /// Deletes its files.
    pub(super) async fn remove(self) {
        for piece in self.0 {
            if let Piece::File { path, .. } = piece {
                let _ = fs::remove_file(path).await;
            }
        }
    }
}

async fn piece_stream(piece: &Piece, range: Range<u64>) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
    match piece {
        Piece::Memory(bytes) => {
            let bytes = bytes.slice(range.start as usize..range.end as usize);
            Ok(stream::iter([Ok(bytes)]).boxed())
        }
        Piece::File { path, .. } => {
            let mut file = File::open(path).await?;
            file.seek(SeekFrom::Start(range.start)).await?;
            let left = range.end - range.start;
            let chunks = stream::try_unfold((file, left), |(mut file, left)| async move {
                if left == 0 {
                    return Ok(None);
                }
                let mut buffer = vec![0; left.min(FILE_CHUNK) as usize];
                let read = file.read(&mut buffer).await?;
                if read == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
                buffer.truncate(read);
                Ok(Some((Bytes::from(buffer), (file, left - read as u64))))
            });
            Ok(chunks.boxed())
        }
    }
}

/// Takes bytes and makes a blob of them: in memory, or a file if there is a directory.
pub(super) enum BlobWriter {
    Memory(Vec<Bytes>),
    File { file: File, path: PathBuf, length: u64 },
}

impl BlobWriter {
    pub(super) async fn new(directory: Option<&Path>) -> io::Result<Self> {
        match directory {
            None => Ok(Self::Memory(Vec::new())),
            Some(directory) => {
                let path = directory.join(format!("{}.data", Uuid::new_v4().simple()));
                Ok(Self::File { file: File::create(&path).await?, path, length: 0 })
            }
        }
    }

    pub(super) async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        match self {
            Self::Memory(pieces) => pieces.push(bytes),
            Self::File { file, length, .. } => {
                *length += bytes.len() as u64;
                file.write_all(&bytes).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn finish(self) -> io::Result<Blob> {
        match self {
            Self::Memory(pieces) => Ok(Blob(pieces.into_iter().map(Piece::Memory).collect())),
            Self::File { mut file, path, length } => {
                file.flush().await?;
                Ok(Blob(vec![Piece::File { path, length }]))
            }
        }
    }
}

/// Bytes per read of a file.
const FILE_CHUNK: u64 = 256 << 10;
