//! What is under way, so that nobody takes its folder away.
//!
//! To move, copy or delete a folder may take longer than a client waits. What it then sees is a copy that is
//! not whole beside a source that is; if it deleted the one while the other is about to be deleted, both would
//! be gone. And what was begun in a folder before would go on where the folder was. So a folder is moved or
//! deleted when nothing else is under way in it, and nothing else begins there meanwhile.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::path_key::PathKey;

/// What a request does at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A file is read or its content comes, or properties change: it needs only its folder.
    Inside,
    /// A file is put, moved or deleted.
    File,
    /// A folder is made.
    Folder,
    /// A folder is copied with everything in it.
    Source,
    /// A folder is moved, replaced or deleted: nothing else changes in it, or above it.
    Tree,
}

/// Why something cannot be begun, or put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeConflict {
    #[error("something else is under way there")]
    UnderWay,
    #[error("a folder of this name was made meanwhile")]
    IsFolder,
}

/// All that is under way. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub struct TreeLock(Arc<Mutex<UnderWay>>);

#[derive(Debug, Default)]
struct UnderWay {
    /// How many have begun so far.
    begun: u64,
    /// Folders that were moved, replaced or deleted so far.
    ended_trees: u64,
    doings: Vec<Doing>,
}

#[derive(Debug)]
struct Doing {
    /// Of the request.
    number: u64,
    path: PathKey,
    what: Use,
    /// A folder of this name was made since.
    is_overtaken: bool,
}

impl TreeLock {
    /// Begins with `uses`, which end when what this returns is dropped; refuses them if something under way
    /// is in the way.
    pub fn enter(&self, uses: impl IntoIterator<Item = (PathKey, Use)>) -> Result<Entered, TreeConflict> {
        let mut under_way = self.0.lock();
        let number = under_way.begun;
        let doing = |(path, what)| Doing { number, path, what, is_overtaken: false };
        let doings: Vec<Doing> = uses.into_iter().map(doing).collect();
        if doings.iter().any(|new| under_way.doings.iter().any(|old| new.excludes(old))) {
            return Err(TreeConflict::UnderWay);
        }
        under_way.begun += 1;
        under_way.doings.extend(doings);
        Ok(Entered { trees: self.clone(), number })
    }

    /// How many folders were moved, replaced or deleted so far.
    pub fn ended(&self) -> u64 {
        self.0.lock().ended_trees
    }
}

impl Doing {
    /// Whether both cannot be under way.
    fn excludes(&self, other: &Self) -> bool {
        let is_in = |inner: &Self, outer: &Self| inner.path.is_within(&outer.path);
        match (self.what, other.what) {
            (Use::Tree, Use::Tree | Use::Source) | (Use::Source, Use::Tree) => {
                is_in(self, other) || is_in(other, self)
            }
            (Use::Tree, _) => is_in(other, self),
            (_, Use::Tree) => is_in(self, other),
            (Use::File, Use::Folder) | (Use::Folder, Use::File) => self.path == other.path,
            _ => false,
        }
    }
}

/// What a request does, until it is dropped.
#[derive(Debug)]
pub struct Entered {
    trees: TreeLock,
    number: u64,
}

impl Entered {
    /// The content has come, and the file is put in its place: if that is free.
    pub fn put_file(&self) -> Result<(), TreeConflict> {
        let mut under_way = self.trees.0.lock();
        let UnderWay { doings, .. } = &mut *under_way;
        let Some(at) = doings.iter().position(|doing| doing.number == self.number) else { return Ok(()) };
        if doings[at].is_overtaken {
            return Err(TreeConflict::IsFolder);
        }
        let is_made = |other: &Doing| other.what == Use::Folder && other.path == doings[at].path;
        if doings.iter().any(is_made) {
            return Err(TreeConflict::UnderWay);
        }
        doings[at].what = Use::File;
        Ok(())
    }

    /// The folder is there: a file whose content still comes has lost its name.
    pub fn made_folder(&self) {
        let mut under_way = self.trees.0.lock();
        let is_own = |doing: &&Doing| doing.number == self.number;
        let Some(path) = under_way.doings.iter().find(is_own).map(|doing| doing.path.clone()) else { return };
        let at_it = under_way.doings.iter_mut().filter(|doing| doing.path == path);
        at_it.for_each(|doing| doing.is_overtaken = true);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut under_way = self.trees.0.lock();
        let is_own = |doing: &Doing| doing.number == self.number;
        let was_tree = under_way.doings.iter().any(|doing| is_own(doing) && doing.what == Use::Tree);
        under_way.ended_trees += u64::from(was_tree);
        under_way.doings.retain(|doing| !is_own(doing));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> PathKey {
        PathKey::of_text(text)
    }

    fn is_free(trees: &TreeLock, text: &str, what: Use) -> bool {
        trees.enter([(path(text), what)]).is_ok()
    }

    #[test]
    fn nothing_else_changes_in_a_tree_that_is_under_way() {
        let trees = TreeLock::default();
        let (from, to) = (path("/a/b"), path("/c/caf\u{e9}"));
        let entered = trees.enter([(from, Use::Tree), (to, Use::Tree)]).unwrap();
        for what in [Use::Inside, Use::File, Use::Folder, Use::Source, Use::Tree] {
            for held in ["/a/b", "/a/b/c/d", "/c/cafe\u{301}/x"] {
                assert!(!is_free(&trees, held, what), "{held} {what:?}");
            }
            for free in ["/a/bc", "/a/c", "/d"] {
                assert!(is_free(&trees, free, what), "{free} {what:?}");
            }
            let takes_all = matches!(what, Use::Source | Use::Tree);
            assert_eq!(is_free(&trees, "/a", what), !takes_all, "{what:?}");
        }
        assert!(trees.enter([(path("/d"), Use::File), (path("/a/b/c"), Use::File)]).is_err());
        assert!(is_free(&trees, "/d", Use::Tree), "all or nothing");
        let ended = trees.ended();
        drop(entered);
        assert!(is_free(&trees, "/a/b", Use::File));
        assert_eq!(trees.ended(), ended + 1, "files are not counted");
    }

    #[test]
    fn a_tree_waits_for_what_is_under_way_in_it() {
        for what in [Use::Inside, Use::File, Use::Folder, Use::Source] {
            let trees = TreeLock::default();
            let entered = trees.enter([(path("/a/b"), what)]).unwrap();
            assert!(!is_free(&trees, "/a", Use::Tree) && !is_free(&trees, "/a/b", Use::Tree), "{what:?}");
            assert!(is_free(&trees, "/a", Use::Source) && is_free(&trees, "/a/b", Use::Inside), "{what:?}");
            assert_eq!(is_free(&trees, "/a/b/c", Use::Tree), what != Use::Source, "{what:?}");
            drop(entered);
            assert!(is_free(&trees, "/a", Use::Tree), "{what:?}");
        }
    }

    #[test]
    fn a_name_is_a_files_or_a_folders() {
        let trees = TreeLock::default();
        let name = path("/n");
        let coming = trees.enter([(name.clone(), Use::Inside)]).unwrap();
        let making = trees.enter([(name.clone(), Use::Folder)]).unwrap();
        assert!(matches!(coming.put_file(), Err(TreeConflict::UnderWay)));
        drop(making);
        coming.put_file().unwrap();
        assert!(!is_free(&trees, "/n", Use::Folder) && is_free(&trees, "/n/m", Use::Folder));
        drop(coming);
        let (late, other) =
            (trees.enter([(name.clone(), Use::Inside)]), trees.enter([(path("/m"), Use::Inside)]));
        trees.enter([(name.clone(), Use::Folder)]).unwrap().made_folder();
        assert!(matches!(late.unwrap().put_file(), Err(TreeConflict::IsFolder)));
        other.unwrap().put_file().unwrap();
        trees.enter([(name.clone(), Use::Inside)]).unwrap().put_file().unwrap();
    }
}
