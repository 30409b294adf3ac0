//! A walk through a tree, however deep it is: no call nests, and only a few folders are open at once. Of those
//! further up it is known which they are, and they are found again as the folder above: nothing that other
//! programs do meanwhile leads elsewhere. All of this blocks.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::sync::Arc;

use cap_std::fs::{Dir, MetadataExt};
use rustix::io::Errno;

use super::root::DirEntry;

/// What is done in each folder of a tree. An error ends the walk.
pub(super) trait Visit {
    /// On the way down, at a folder: sees to what is in it, and names the folders to go into.
    fn enter(&mut self, folder: &Arc<Dir>, place: &DirEntry) -> io::Result<Vec<OsString>>;

    /// Opens a folder that is gone into.
    fn open(&self, place: &DirEntry) -> io::Result<Arc<Dir>> {
        place.open_folder()
    }

    /// A folder that could not be opened.
    fn fail(&mut self, place: &DirEntry, error: io::Error) -> io::Result<()>;

    /// On the way up, when all below has been visited.
    fn leave(&mut self, place: &DirEntry) -> io::Result<()>;
}

/// Visits `folder`, which lies at `top`, and all folders below.
pub(super) fn walk(top: &DirEntry, folder: Arc<Dir>, visit: &mut impl Visit) -> io::Result<()> {
    let mut levels = vec![Level { name: top.name.clone(), folders: visit.enter(&folder, top)? }];
    let mut descent = Descent::new(folder);
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.folders.pop() {
            let place = DirEntry { folder: descent.folder()?, name };
            match visit.open(&place) {
                Ok(below) => {
                    let folders = visit.enter(&below, &place)?;
                    descent.enter(below)?;
                    levels.push(Level { name: place.name, folders });
                }
                Err(error) => visit.fail(&place, error)?,
            }
        } else {
            let name = std::mem::take(&mut level.name);
            levels.pop();
            descent.leave()?;
            let folder = if levels.is_empty() { Arc::clone(&top.folder) } else { descent.folder()? };
            visit.leave(&DirEntry { folder, name })?;
        }
    }
    Ok(())
}

struct Level {
    name: OsString,
    /// Those that have not been visited.
    folders: Vec<OsString>,
}

/// The folders from the top of a tree down to one.
#[derive(Debug)]
pub(super) struct Descent {
    /// Those further up: device and inode.
    closed: Vec<(u64, u64)>,
    open: VecDeque<Arc<Dir>>,
}

impl Descent {
    pub(super) fn new(top: Arc<Dir>) -> Self {
        Self { closed: Vec::new(), open: VecDeque::from([top]) }
    }

    /// The one that the way has led to.
    pub(super) fn folder(&self) -> io::Result<Arc<Dir>> {
        self.open.back().cloned().ok_or_else(|| Errno::NOENT.into())
    }

    /// Goes down, into a folder of this one.
    pub(super) fn enter(&mut self, below: Arc<Dir>) -> io::Result<()> {
        self.open.push_back(below);
        if self.open.len() > MAX_OPEN
            && let Some(highest) = self.open.pop_front()
        {
            self.closed.push(identity(&highest)?);
        }
        Ok(())
    }

    /// Goes back up. Above the top there is none.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        let below = self.open.pop_back();
        if let Some(below) = below.filter(|_| self.open.is_empty())
            && let Some(known) = self.closed.pop()
        {
            let above = DirEntry { folder: below, name: "..".into() }.open_folder()?;
            if identity(&above)? != known {
                // Another program moved what is below meanwhile.
                return Err(Errno::BUSY.into());
            }
            self.open.push_back(above);
        }
        Ok(())
    }
}

fn identity(folder: &Dir) -> io::Result<(u64, u64)> {
    let meta = folder.dir_metadata()?;
    Ok((meta.dev(), meta.ino()))
}

/// Folders of one walk; most trees are not deeper.
const MAX_OPEN: usize = 8;

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    fn place(at: &std::path::Path) -> DirEntry {
        let folder = Arc::new(Dir::open_ambient_dir(at, ambient_authority()).unwrap());
        DirEntry { folder, name: "d".into() }
    }

    /// Notes the folders, and does something at the bottom.
    struct Notes<'w> {
        entered: usize,
        left: Vec<OsString>,
        at_bottom: &'w dyn Fn(),
    }

    impl Visit for Notes<'_> {
        fn enter(&mut self, folder: &Arc<Dir>, _: &DirEntry) -> io::Result<Vec<OsString>> {
            self.entered += 1;
            let names: Vec<_> = folder.entries()?.map(|entry| entry.unwrap().file_name()).collect();
            if names.is_empty() {
                (self.at_bottom)();
            }
            Ok(names)
        }

        fn fail(&mut self, _: &DirEntry, error: io::Error) -> io::Result<()> {
            Err(error)
        }

        fn leave(&mut self, place: &DirEntry) -> io::Result<()> {
            self.left.push(place.name.clone());
            Ok(())
        }
    }

    fn walked(at: &std::path::Path, at_bottom: &dyn Fn()) -> (io::Result<()>, usize, usize) {
        let top = place(at);
        let mut notes = Notes { entered: 0, left: Vec::new(), at_bottom };
        let result = walk(&top, top.open_folder().unwrap(), &mut notes);
        (result, notes.entered, notes.left.len())
    }

    #[test]
    fn every_folder_is_entered_and_left_once() {
        let directory = tempfile::tempdir().unwrap();
        for chain in ["d/a/b/c/d/e/f/g/h/i/j/k/l/m", "d/a/b/c/d/e/f/g/h/i/j/K/L", "d/x", "d/a/b/y/z"] {
            std::fs::create_dir_all(directory.path().join(chain)).unwrap();
        }
        let (result, entered, left) = walked(directory.path(), &|| {});
        assert!(result.is_ok());
        assert_eq!((entered, left), (19, 19));
    }

    #[test]
    fn a_folder_that_is_moved_away_meanwhile_leads_nowhere_else() {
        let directory = tempfile::tempdir().unwrap();
        let chain = directory.path().join("d/1/2/3/4/5/6/7/8/9/10/11/12");
        std::fs::create_dir_all(&chain).unwrap();
        std::fs::create_dir(directory.path().join("elsewhere")).unwrap();
        let (moved, away) = (directory.path().join("d/1/2/3"), directory.path().join("elsewhere/3"));
        let (result, _, left) = walked(directory.path(), &|| {
            let _ = std::fs::rename(&moved, &away);
        });
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(left, 9, "all below what was moved: it is the same folder wherever it is");
    }
}
