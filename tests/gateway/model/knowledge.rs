//! What each client got, made and was told: what its next write means to replace.

use std::collections::{BTreeSet, HashMap};

/// A version of a file, as far as anybody can tell it from others.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    pub content: String,
    /// Of a file in a directory; a bucket has its content only.
    pub file: Option<File>,
}

/// The times are nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct File {
    pub inode: u64,
    pub modified: i128,
    /// Moves with the file's name, too, which changes nothing that could be lost.
    pub changed: i128,
}

impl Version {
    /// What a client knows of that it has moved and has not got: it is none that is ever there.
    fn unseen() -> Self {
        Self { content: "unseen".to_owned(), file: None }
    }

    fn has_content_of(&self, other: &Self) -> bool {
        let content = |version: &Self| version.file.map(|file| (file.inode, file.modified));
        self.content == other.content && content(self) == content(other)
    }
}

/// What a client knows of a path.
#[derive(Debug, Default)]
struct Known {
    /// The version that it last got whole, or made.
    seen: Option<Version>,
    /// The bytes that it got of a version.
    pieces: Option<(Version, BTreeSet<usize>)>,
    /// Where its own version lies that lost.
    copy: Option<(String, Version)>,
    /// What the client saves next takes the place of that copy: it knows what that is, and has got nothing of another version
    /// since.
    replaces_copy: bool,
    /// The version that it was refused to delete.
    told: Option<Version>,
    /// It was told that nothing is there, and was shown nothing since.
    absent: bool,
}

/// What a write means to replace.
#[derive(Debug, PartialEq)]
enum Meant<'k> {
    This(&'k Version),
    Nothing,
    /// Whatever the gateway knows to be there.
    Newest,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Knowledge(HashMap<(usize, String), Known>);

impl Knowledge {
    fn of(&mut self, client: usize, path: &str) -> &mut Known {
        self.0.entry((client, path.to_owned())).or_default()
    }

    fn meant(&self, client: usize, path: &str) -> Meant<'_> {
        let Some(known) = self.0.get(&(client, path.to_owned())) else { return Meant::Newest };
        match &known.seen {
            Some(seen) => Meant::This(seen),
            None if known.copy.is_some() || known.absent => Meant::Nothing,
            None => Meant::Newest,
        }
    }

    /// Whether a write must go beside what is there.
    pub fn loses(&self, client: usize, path: &str, there: Option<&Version>) -> bool {
        there.is_some_and(|there| match self.meant(client, path) {
            Meant::This(seen) => !seen.has_content_of(there),
            Meant::Nothing => true,
            Meant::Newest => false,
        })
    }

    /// Whether the client knows another version than what is there.
    pub fn has_other(&self, client: usize, path: &str, there: &Version) -> bool {
        matches!(self.meant(client, path), Meant::This(seen) if !seen.has_content_of(there))
    }

    /// Whether what the gateway believes to be there decides where a write goes.
    pub fn means_newest(&self, client: usize, path: &str) -> bool {
        self.meant(client, path) == Meant::Newest
    }

    /// Where the client's own version lies that lost, if what it saves next takes its place.
    pub fn copy(&self, client: usize, path: &str) -> Option<&(String, Version)> {
        self.0.get(&(client, path.to_owned())).filter(|known| known.replaces_copy)?.copy.as_ref()
    }

    /// It has the whole of it.
    pub fn saw(&mut self, client: usize, path: &str, version: Version) {
        let known = self.of(client, path);
        (known.seen, known.pieces, known.copy) = (Some(version), None, None);
    }

    /// It got `count` bytes from `first` on.
    pub fn got(&mut self, client: usize, path: &str, version: Version, first: usize, count: usize) {
        let known = self.of(client, path);
        if known.seen.as_ref() == Some(&version) {
            return;
        }
        known.replaces_copy = false;
        let pieces = known.pieces.take().filter(|(of, _)| *of == version);
        let mut pieces = pieces.map(|(_, bytes)| bytes).unwrap_or_default();
        pieces.extend(first..first + count);
        if pieces.len() >= version.content.len() {
            self.saw(client, path, version);
        } else {
            known.pieces = Some((version, pieces));
        }
    }

    /// It was answered 404, or has removed what was there.
    pub fn told_absent(&mut self, client: usize, path: &str) {
        self.of(client, path).absent = true;
    }

    /// An answer showed it the name.
    pub fn shown(&mut self, client: usize, path: &str) {
        self.of(client, path).absent = false;
    }

    /// It made this, and all that is below.
    pub fn made(&mut self, client: usize, path: &str) {
        let below = format!("{path}/");
        let is_made = |key: &str| key == path || key.starts_with(&below);
        self.0
            .iter_mut()
            .filter(|((who, key), _)| *who == client && is_made(key))
            .for_each(|(_, known)| known.absent = false);
    }

    /// What it wrote, or moved, went to `copy`. `has_seen`: it knows what that is.
    pub fn lost(&mut self, client: usize, path: &str, copy: &str, version: Version, has_seen: bool) {
        let known = self.of(client, path);
        (known.copy, known.replaces_copy, known.told) = (Some((copy.to_owned(), version)), has_seen, None);
    }

    /// Whether it has got or made that version.
    pub fn has_seen(&self, client: usize, path: &str, version: &Version) -> bool {
        let known = self.0.get(&(client, path.to_owned()));
        known.and_then(|known| known.seen.as_ref()).is_some_and(|seen| seen.has_content_of(version))
    }

    /// It has moved what is there, and had not got it.
    pub fn moved_unseen(&mut self, client: usize, path: &str) {
        let known = self.of(client, path);
        (known.seen, known.pieces, known.told) = (Some(Version::unseen()), None, None);
    }

    /// Whether it has got or made another version than that, or lost there; or knows of none, if what it moves `was_absent`.
    pub fn knows_other(&self, client: usize, path: &str, there: &Version, was_absent: bool) -> bool {
        let Some(known) = self.0.get(&(client, path.to_owned())) else { return was_absent };
        match &known.seen {
            Some(seen) => !seen.has_content_of(there),
            None => was_absent || known.copy.is_some(),
        }
    }

    /// Whether it was told that nothing is there, and nothing else since.
    pub fn is_absent(&self, client: usize, path: &str) -> bool {
        self.0.get(&(client, path.to_owned())).is_some_and(|known| known.absent)
    }

    /// Whether it must be told before it deletes what is there: it has not got that, which lies in the place of its own version,
    /// which lost or, in a bucket, was empty; or where it knows of none; or where it has moved it.
    pub fn must_be_told(&self, client: usize, path: &str, there: &Version) -> bool {
        let Some(known) = self.0.get(&(client, path.to_owned())) else { return false };
        let was_empty = |seen: &Version| seen.content.is_empty() && !there.content.is_empty();
        let made_empty = there.file.is_none() && known.seen.as_ref().is_some_and(was_empty);
        let knows_of_none = known.seen.is_none() && known.absent;
        let has_moved = known.seen.as_ref() == Some(&Version::unseen());
        let has_own = known.copy.is_some() || made_empty || knows_of_none || has_moved;
        known.seen.as_ref() != Some(there) && has_own && known.told.as_ref() != Some(there)
    }

    /// It was refused to delete it.
    pub fn told(&mut self, client: usize, path: &str, there: Version) {
        self.of(client, path).told = Some(there);
    }

    /// It removed the file, or moved it away.
    pub fn forget(&mut self, client: usize, path: &str) {
        let known = self.of(client, path);
        (known.seen, known.pieces, known.copy) = (None, None, None);
    }

    /// The versions that it has seen in a folder.
    pub fn below(&self, client: usize, folder: &str) -> Vec<(String, Version)> {
        let below = format!("{folder}/");
        let known = self.0.iter().filter(|((who, key), _)| *who == client && key.starts_with(&below));
        known.filter_map(|((_, key), known)| Some((key.clone(), known.seen.clone()?))).collect()
    }

    pub fn forget_below(&mut self, client: usize, folder: &str) {
        self.below(client, folder).iter().for_each(|(key, _)| self.forget(client, key));
    }

    /// It renamed a folder: what it has seen there it knows at its new place.
    pub fn moved(&mut self, client: usize, from: &str, to: &str) {
        for (key, seen) in self.below(client, from) {
            self.saw(client, &format!("{to}{}", &key[from.len()..]), seen);
            self.forget(client, &key);
        }
    }
}
