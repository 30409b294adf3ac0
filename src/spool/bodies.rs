//! Bodies that outlive this program: the content of what is pending.
//!
//! A body is copied into a file while it arrives. Whoever promises to store it later has it kept first: its bytes are
//! on the disk then, under a name that the row of the promise tells. A file that nobody keeps goes with its last owner,
//! or at the next start. A kept one that no row tells of is put aside and never deleted: its row may be what was lost.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt};
use uuid::Uuid;

use super::Intakes;
use super::backups;
use super::room::{Room, Taken};
use super::scratch::Scratch;
use crate::checksum::{Crc32c, Crc32cDigest};
use crate::state::BodyRow;
use crate::sync::{blocking, blocking_aside};

/// Where bodies are kept, and how much room there is. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Bodies {
    directory: PathBuf,
    room: Room,
}

/// A body on its way into a file. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct BodyCopy {
    file: Scratch,
    body: Stored,
    room: Room,
    /// Bytes that are taken of it.
    reserved: u64,
    /// What is not written yet, up to [`PIECE`]: copied, since short pieces keep long buffers.
    buffer: BytesMut,
    digest: Crc32cDigest,
}

/// A body in its file. Cloning shares it; the file goes with the last one, unless it is kept.
#[derive(Debug, Clone)]
pub struct KeptBody(Arc<Stored>);

#[derive(Debug)]
struct Stored {
    directory: PathBuf,
    /// The file's, once it is kept.
    name: String,
    /// Bytes.
    size: u64,
    crc32c: Crc32c,
    /// It outlives its owners.
    is_kept: AtomicBool,
    /// It has its own name, by which no start takes it for what nobody kept.
    is_named: AtomicBool,
    /// Of the room for all.
    portion: Option<Taken>,
}

impl Bodies {
    /// In the directory of `intakes`, and in their room.
    pub fn new(intakes: &Intakes) -> Self {
        Self { directory: intakes.directory.join(DIRECTORY), room: intakes.kept.clone() }
    }

    /// Bytes that may still come.
    #[cfg(test)]
    fn left(&self) -> u64 {
        self.room.left()
    }

    /// A file for a body of at least `length` bytes, for which there is room from now on. Blocks, for a moment.
    pub fn copy(&self, length: u64) -> io::Result<BodyCopy> {
        let portion = Some(self.room.try_take(length).ok_or(io::ErrorKind::QuotaExceeded)?);
        make_directory(&self.directory)?;
        let (directory, name) = (self.directory.clone(), Uuid::new_v4().simple().to_string());
        let (is_kept, is_named) = (AtomicBool::new(false), AtomicBool::new(false));
        let body = Stored { directory, name, size: 0, crc32c: Crc32c::default(), is_kept, is_named, portion };
        let path = body.path();
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let (file, room, digest) = (Scratch::of(file), self.room.clone(), Crc32cDigest::default());
        Ok(BodyCopy { file, body, room, reserved: length, buffer: BytesMut::new(), digest })
    }

    /// The body that an earlier life kept, if its file is there.
    pub fn of_row(&self, row: &BodyRow) -> io::Result<KeptBody> {
        let path = self.directory.join(&row.name);
        let unnamed = self.directory.join(format!("{}{UNKEPT}", row.name));
        if !path.exists() && unnamed.exists() {
            // That life ended before it could name it.
            fs::rename(unnamed, &path)?;
        }
        let length = fs::symlink_metadata(path)?.len();
        if length != row.size {
            let why = format!("{length} bytes of {} are left", row.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        // What was accepted stays, also where less is allowed now.
        let portion = Some(self.room.note(row.size));
        let (directory, name) = (self.directory.clone(), row.name.clone());
        let (is_kept, is_named) = (AtomicBool::new(true), AtomicBool::new(true));
        let (size, crc32c) = (row.size, Crc32c(row.crc32c));
        Ok(KeptBody(Arc::new(Stored { directory, name, size, crc32c, is_kept, is_named, portion })))
    }

    /// Deletes what nobody kept, and puts aside what was kept and is in none of `rows`. How many are put aside. Blocks.
    pub fn sweep(&self, rows: &HashSet<&str>) -> io::Result<usize> {
        let mut aside = 0;
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        exclude_from_backups(&self.directory);
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !entry.file_type()?.is_file() || rows.contains(name.as_str()) || name.starts_with('.') {
                continue;
            }
            if name.ends_with(UNKEPT) {
                fs::remove_file(entry.path())?;
            } else {
                let place = self.directory.join(ASIDE);
                make_private(&place)?;
                fs::rename(entry.path(), place.join(&name))?;
                aside += 1;
            }
        }
        Ok(aside)
    }

    /// Where bodies lie that no row tells of.
    pub fn aside(&self) -> PathBuf {
        self.directory.join(ASIDE)
    }
}

impl BodyCopy {
    /// Takes the next bytes.
    pub async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        self.digest.update(&bytes);
        self.buffer.extend_from_slice(&bytes);
        if self.buffer.len() < PIECE { Ok(()) } else { self.flush().await }
    }

    /// The body; nothing more comes.
    pub async fn end(mut self) -> io::Result<KeptBody> {
        self.flush().await?;
        self.body.crc32c = self.digest.end();
        Ok(KeptBody(Arc::new(self.body)))
    }

    async fn flush(&mut self) -> io::Result<()> {
        let bytes = self.buffer.split().freeze();
        let length = bytes.len() as u64;
        let missing = (self.body.size + length).saturating_sub(self.reserved);
        if missing > 0 {
            let more = self.room.try_take(missing).ok_or(io::ErrorKind::QuotaExceeded)?;
            match &mut self.body.portion {
                Some(portion) => portion.merge(more),
                none => *none = Some(more),
            }
            self.reserved += missing;
        }
        self.file.write_aside(self.body.size, vec![bytes]).await?;
        self.body.size += length;
        Ok(())
    }
}

impl KeptBody {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// Of what arrived.
    pub fn crc32c(&self) -> Crc32c {
        self.0.crc32c
    }

    /// Its file's.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// For the row of what it is promised to.
    pub fn row(&self) -> BodyRow {
        let Stored { name, size, crc32c, .. } = &*self.0;
        BodyRow { name: name.clone(), size: *size, crc32c: crc32c.0 }
    }

    /// Has it survive this program and a power cut, if a row tells of it by then; otherwise the next start deletes it.
    pub async fn keep(&self) -> io::Result<()> {
        // Both at once: most file systems write them in one step then.
        let (file, directory) = (self.0.path(), self.0.directory.clone());
        let synced = |path: PathBuf| blocking(move || File::open(path)?.sync_all());
        let (file, directory) = futures_util::join!(synced(file), synced(directory));
        file??;
        directory?
    }

    /// A row tells of it, on disk: from then on it is never deleted but by [`Self::remove`].
    pub async fn claim(&self) -> io::Result<()> {
        let stored = Arc::clone(&self.0);
        stored.is_kept.store(true, Ordering::Release);
        let naming = move || {
            fs::rename(stored.path(), stored.directory.join(&stored.name))?;
            stored.is_named.store(true, Ordering::Release);
            Ok(())
        };
        blocking(naming).await?
    }

    /// Its row is about to go: what ends this program after that leaves a file that the next start deletes. Until then the
    /// row finds it still.
    pub async fn disown(&self) -> io::Result<()> {
        let stored = Arc::clone(&self.0);
        let naming = move || {
            fs::rename(stored.path(), stored.unkept_path())?;
            stored.is_named.store(false, Ordering::Release);
            Ok(())
        };
        blocking(naming).await?
    }

    /// Deletes its file: nothing tells of it any more.
    pub async fn remove(&self) -> io::Result<()> {
        let stored = Arc::clone(&self.0);
        blocking(move || fs::remove_file(stored.path())).await?
    }

    /// Bytes from `first` up to `end`, in pieces. All of it is compared with what arrived: the last piece comes only
    /// where that is the same.
    pub fn read(&self, first: u64, end: u64) -> BoxStream<'static, io::Result<Bytes>> {
        self.read_of(None, first, end)
    }

    /// The same of a file that is open already: it is read to its end though somebody removes it meanwhile.
    pub async fn open_and_read(
        &self,
        first: u64,
        end: u64,
    ) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        Ok(self.read_of(Some(self.open().await?), first, end))
    }

    async fn open(&self) -> io::Result<Scratch> {
        let stored = Arc::clone(&self.0);
        let file = blocking(move || stored.open()).await??;
        Ok(Scratch::of(file))
    }

    fn read_of(&self, file: Option<Scratch>, first: u64, end: u64) -> BoxStream<'static, io::Result<Bytes>> {
        let is_all = first == 0 && end == self.0.size;
        let expected = is_all.then_some(self.0.crc32c);
        let begun =
            Reading { body: self.clone(), file, position: first, end, digest: Crc32cDigest::default() };
        stream::try_unfold(begun, move |reading| reading.next(expected)).boxed()
    }
}

/// A body that is read.
struct Reading {
    body: KeptBody,
    file: Option<Scratch>,
    position: u64,
    end: u64,
    digest: Crc32cDigest,
}

impl Reading {
    async fn next(mut self, expected: Option<Crc32c>) -> io::Result<Option<(Bytes, Self)>> {
        if self.position >= self.end {
            return Ok(None);
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => self.body.open().await?,
        };
        let length = (self.end - self.position).min(PIECE as u64);
        let piece = file.read(self.position, length).await?;
        (self.position, self.file) = (self.position + length, Some(file));
        if let Some(expected) = expected {
            self.digest.update(&piece);
            if self.position == self.end && self.digest.end() != expected {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its file is damaged"));
            }
        }
        Ok(Some((piece, self)))
    }
}

impl Stored {
    /// It may get another name in this moment.
    fn open(&self) -> io::Result<File> {
        let named = self.directory.join(&self.name);
        File::open(&named).or_else(|_| File::open(self.unkept_path())).or_else(|_| File::open(&named))
    }

    fn path(&self) -> PathBuf {
        if self.is_named.load(Ordering::Acquire) {
            self.directory.join(&self.name)
        } else {
            self.unkept_path()
        }
    }

    fn unkept_path(&self) -> PathBuf {
        self.directory.join(format!("{}{UNKEPT}", self.name))
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        if self.is_kept.load(Ordering::Acquire) {
            return;
        }
        let path = self.path();
        // What stays behind is deleted at the next start.
        let remove = move || drop(fs::remove_file(path));
        blocking_aside(remove);
    }
}

/// Where bodies of a state lie that no row tells of, and how many; `None`: there are none. Blocks.
pub fn unclaimed(state_directory: &Path) -> Option<(PathBuf, u64)> {
    let place = state_directory.join(DIRECTORY).join(ASIDE);
    let count = fs::read_dir(&place).ok()?.count() as u64;
    (count > 0).then_some((place, count))
}

/// Whether bodies of a state were kept, whatever tells of them. Blocks.
pub fn has_bodies(state_directory: &Path) -> bool {
    let entries = fs::read_dir(state_directory.join(DIRECTORY)).into_iter().flatten().flatten();
    let is_body = |entry: &fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        !name.starts_with('.')
            && !name.ends_with(UNKEPT)
            && entry.file_type().is_ok_and(|kind| kind.is_file())
    };
    entries.into_iter().any(|entry| is_body(&entry))
}

/// The directory for bodies; a search index has no business there, nor has a backup: what lies there is on its way.
fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.exists() {
        return Ok(());
    }
    make_private(directory)?;
    exclude_from_backups(directory);
    fs::write(directory.join(".metadata_never_index"), "")?;
    // What is kept in it outlives a power cut only if it does.
    directory.parent().map_or(Ok(()), |state| File::open(state)?.sync_all())
}

/// Where that is not possible a backup has a copy of what waits: no harm, but room.
fn exclude_from_backups(directory: &Path) {
    if let Err(error) = backups::exclude(directory) {
        tracing::debug!(%error, "backups take along what waits on this machine");
    }
}

fn make_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

/// Bytes that are written and read at once.
const PIECE: usize = 1 << 20;
/// In the state's directory.
const DIRECTORY: &str = "pending.noindex";
/// Of bodies that no row tells of.
const ASIDE: &str = "unclaimed";
/// At the end of the name of a file that nobody keeps.
const UNKEPT: &str = ".part";

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;
    use crate::spool::{IntakeOptions, Quota};
    use crate::state::State;

    /// In a room of this size; a little of it is not for them.
    async fn bodies(most: u64) -> (tempfile::TempDir, Bodies) {
        let place = tempfile::tempdir().unwrap();
        let state = State::open(place.path(), "a test").await.unwrap();
        let options = IntakeOptions { quota: Quota::of(most), ..IntakeOptions::default() };
        (place, Bodies::new(&Intakes::new(options, &state)))
    }

    async fn body(bodies: &Bodies, pieces: &[&'static [u8]]) -> KeptBody {
        let mut copy = bodies.copy(0).unwrap();
        for piece in pieces {
            copy.write(Bytes::from_static(piece)).await.unwrap();
        }
        copy.end().await.unwrap()
    }

    async fn read(body: &KeptBody, first: u64, end: u64) -> io::Result<Vec<u8>> {
        let pieces: Vec<Bytes> = body.read(first, end).try_collect().await?;
        Ok(pieces.concat())
    }

    fn names(bodies: &Bodies) -> Vec<String> {
        let entries = fs::read_dir(&bodies.directory).unwrap().map(Result::unwrap);
        let names = entries.filter(|entry| entry.file_type().unwrap().is_file());
        let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.starts_with('.')).collect()
    }

    /// Until its last owner's file is gone.
    async fn gone(bodies: &Bodies) {
        while !names(bodies).is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_body_is_read_as_it_came_whole_or_in_part() {
        let (_place, bodies) = bodies(1 << 20).await;
        let body = body(&bodies, &[b"one ", b"two ", b"three"]).await;
        body.keep().await.unwrap();
        body.claim().await.unwrap();
        assert_eq!((body.size(), names(&bodies)), (13, vec![body.row().name]));
        assert_eq!(read(&body, 0, 13).await.unwrap(), b"one two three");
        assert_eq!(read(&body, 4, 7).await.unwrap(), b"two");
        // As `printf 'one two three' | crc32c` has it.
        assert_eq!(body.row().crc32c, Crc32c::of([&b"one two three"[..]]).0);
        body.remove().await.unwrap();
        assert!(names(&bodies).is_empty());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn backups_leave_bodies_out() {
        let (_place, bodies) = bodies(1 << 20).await;
        let value = || {
            let mut value = [0; 16];
            let length = rustix::fs::getxattr(&bodies.directory, "user.xdg.robots.backup", &mut value)?;
            Ok::<_, rustix::io::Errno>(value[..length].to_vec())
        };
        body(&bodies, &[b"content"]).await;
        let made = value();
        if made == Err(rustix::io::Errno::NOTSUP) {
            return;
        }
        assert_eq!(made.unwrap(), b"false");
        rustix::fs::removexattr(&bodies.directory, "user.xdg.robots.backup").unwrap();
        bodies.sweep(&HashSet::new()).unwrap();
        assert_eq!(value().unwrap(), b"false", "those that were made before, too");
    }

    #[tokio::test]
    async fn what_nobody_keeps_goes_with_its_owner_and_gives_its_room_back() {
        let (_place, bodies) = bodies(1 << 20).await;
        let before = bodies.left();
        let body = body(&bodies, &[&[7; 100_000]]).await;
        assert!(names(&bodies)[0].ends_with(UNKEPT) && bodies.left() < before);
        drop(body);
        gone(&bodies).await;
        assert_eq!(bodies.left(), before);
    }

    #[tokio::test]
    async fn what_was_declared_has_room_to_its_end_and_what_finds_none_is_refused_at_its_begin() {
        let (_place, bodies) = bodies(1 << 20).await;
        let mut first = bodies.copy(600_000).unwrap();
        assert_eq!(bodies.copy(600_000).unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        let mut second = bodies.copy(0).unwrap();
        second.write(Bytes::from(vec![0; 600_000])).await.unwrap();
        assert_eq!(second.end().await.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        first.write(Bytes::from(vec![0; 600_000])).await.unwrap();
        assert_eq!(first.end().await.unwrap().size(), 600_000);
    }

    #[tokio::test]
    async fn a_body_without_room_is_refused() {
        let (_place, bodies) = bodies(1 << 20).await;
        let mut copy = bodies.copy(0).unwrap();
        let written = async {
            copy.write(Bytes::from(vec![0; 2 << 20])).await?;
            copy.end().await
        };
        assert_eq!(written.await.unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
        gone(&bodies).await;
    }

    #[tokio::test]
    async fn damage_is_found_before_the_last_piece() {
        let (_place, bodies) = bodies(1 << 20).await;
        let body = body(&bodies, &[b"content"]).await;
        body.keep().await.unwrap();
        body.claim().await.unwrap();
        let file = bodies.directory.join(body.row().name);
        fs::write(&file, b"CONTENT").unwrap();
        assert_eq!(read(&body, 0, 7).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(bodies.of_row(&body.row()).unwrap().row(), body.row(), "only reading shows it");
        fs::write(&file, b"short").unwrap();
        assert_eq!(bodies.of_row(&body.row()).unwrap_err().kind(), io::ErrorKind::InvalidData);
        fs::remove_file(&file).unwrap();
        assert_eq!(bodies.of_row(&body.row()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn at_the_start_nothing_that_was_kept_is_deleted() {
        let (place, bodies) = bodies(1 << 20).await;
        assert_eq!(bodies.sweep(&HashSet::new()).unwrap(), 0, "there is no directory yet");
        let (known, unknown) = (body(&bodies, &[b"known"]).await, body(&bodies, &[b"unknown"]).await);
        known.claim().await.unwrap();
        unknown.claim().await.unwrap();
        let unkept = body(&bodies, &[b"unkept"]).await;
        let rows = [known.row(), unknown.row()];
        assert_eq!(bodies.sweep(&HashSet::from([rows[0].name.as_str()])).unwrap(), 1);
        assert_eq!(names(&bodies), [rows[0].name.clone()]);
        assert_eq!(fs::read(bodies.aside().join(&rows[1].name)).unwrap(), b"unknown");
        assert_eq!(unclaimed(place.path()), Some((bodies.aside(), 1)));
        drop(unkept);
    }

    #[tokio::test]
    async fn a_body_whose_row_is_gone_is_deleted_at_the_next_start() {
        let (_place, bodies) = bodies(1 << 20).await;
        let body = body(&bodies, &[b"content"]).await;
        body.keep().await.unwrap();
        body.claim().await.unwrap();
        body.disown().await.unwrap();
        assert_eq!(read(&body, 0, 7).await.unwrap(), b"content", "until then it is there");
        assert_eq!(bodies.sweep(&HashSet::new()).unwrap(), 0, "nothing is put aside");
        assert!(names(&bodies).is_empty());
    }

    #[tokio::test]
    async fn a_body_that_was_not_named_in_time_is_found_by_its_row() {
        let (_place, bodies) = bodies(1 << 20).await;
        let body = body(&bodies, &[b"content"]).await;
        body.keep().await.unwrap();
        let row = body.row();
        // As if it were killed.
        std::mem::forget(body);
        let found = bodies.of_row(&row).unwrap();
        assert_eq!(bodies.sweep(&HashSet::from([row.name.as_str()])).unwrap(), 0);
        assert_eq!(read(&found, 0, 7).await.unwrap(), b"content");
    }
}
