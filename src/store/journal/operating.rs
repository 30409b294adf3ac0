//! What is pending, for the user: looked at, tried again, written elsewhere, or given up.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio::fs;
use tokio::io::AsyncWriteExt;

use super::Journal;
use super::change::{Pending, Told};
use crate::object::ETag;

/// Why what is pending could not be written elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    #[error("cannot write {path}")]
    Write { path: String, source: io::Error },
    #[error("{path} exists already")]
    Exists { path: String },
}

/// A change that was given up.
#[derive(Debug)]
pub struct Discarded {
    pub change: Arc<Pending>,
    /// As it was then.
    pub told: Told,
    /// What it had replaced at its key, by the name that S3 knows it by if it is stored. It is there again.
    pub replaced: Option<ETag>,
    /// The same of what a move took away where its source was.
    pub moved: Option<ETag>,
}

impl Journal {
    /// What is pending of the keys that fit, oldest first.
    pub fn told(&self, fits: impl Fn(&str) -> bool) -> Vec<Told> {
        self.meant(fits).iter().map(|change| change.told()).collect()
    }

    /// Has those tried again at once that S3 refused; returns them.
    pub fn retry(&self, fits: impl Fn(&str) -> bool) -> Vec<Told> {
        let refused = self.meant(fits).into_iter().filter(|change| change.refusal().is_some());
        let told = refused.map(|change| {
            self.0.state.note_refusal(change.row.number, None);
            self.0.chains.lock().set_retried(&change);
            change.told()
        });
        let told = told.collect();
        self.note_change();
        self.0.wanted.notify_one();
        told
    }

    /// Gives those up; returns what is given up: not what S3 was known to have by then, nor what is shown at another name. What
    /// S3 has is shown again. What builds on them elsewhere stays. Each is told to `note` before anybody can go on from there,
    /// which tells whether its client knew what it moved.
    pub async fn discard(
        &self,
        fits: impl Fn(&str) -> bool,
        note: impl Fn(&Discarded) -> bool,
    ) -> Vec<Discarded> {
        let mut discarded = Vec::new();
        // What is saved from now on is not meant.
        let newest = self.meant(&fits).last().map_or(0, |change| change.row.number);
        let meant = || self.meant(&fits).into_iter().filter(move |change| change.row.number <= newest);
        self.stop(meant).await;
        for change in meant() {
            let _turns = self.turns_of_keys(|chains| chains.touched_by_all_on(&change)).await;
            let is_meant = |other: &Pending| fits(&other.row.key) && other.row.number <= newest;
            let taken = self.0.chains.lock().take_with_followers(&change, is_meant);
            let refs: Vec<&Pending> = taken.iter().map(|change| &**change).collect();
            let mut known = BTreeSet::new();
            // Who made it knows what is there again.
            for change in &taken {
                let found_at =
                    |key| self.0.chains.lock().found_at(change, key).map(|etag| self.stored(&etag));
                let (replaced, moved) = (found_at(change.key()), change.from().and_then(found_at));
                replaced.iter().for_each(|before| self.is_stored_as(change, before));
                let told = change.told_at_last();
                let given_up = Discarded { change: Arc::clone(change), told, replaced, moved };
                if note(&given_up) {
                    known.insert(change.row.number);
                }
                discarded.push(given_up);
            }
            let knew = |change: &Pending| known.contains(&change.row.number);
            let kept = self.0.chains.lock().without(&taken, knew);
            self.end(&refs, &kept).await;
        }
        self.go_on(meant());
        discarded
    }

    /// Has nobody make these any more; what cannot be broken off is waited for.
    async fn stop<I: Iterator<Item = Arc<Pending>>>(&self, meant: impl Fn() -> I) {
        let mut news = self.0.changes.subscribe();
        let stopped = async {
            // What follows one that ends meanwhile is another one then.
            while meant().filter(|change| change.give_up()).count() > 0 {
                // Its sender lives in `self`.
                let _ = news.changed().await;
            }
        };
        if tokio::time::timeout(STOPS_WITHIN, stopped).await.is_err() {
            tracing::debug!("what is being made could not be broken off");
        }
    }

    fn go_on(&self, kept: impl Iterator<Item = Arc<Pending>>) {
        let kept: Vec<_> = kept.collect();
        {
            let mut chains = self.0.chains.lock();
            kept.iter().for_each(|change| chains.set_kept(change));
        }
        self.0.wanted.notify_one();
    }

    /// Writes the contents of those below `directory`, by their keys, and replaces nothing there; returns what was written, as
    /// it is called there. One that cannot be written does not keep the others from it, and is told.
    pub async fn save(&self, directory: &Path, fits: impl Fn(&str) -> bool) -> Result<Vec<Told>, SaveError> {
        let (mut saved, mut failed) = (Vec::new(), None);
        for (change, content, name) in self.contents(fits) {
            let path = directory.join(&name);
            match write(&path, &content).await {
                Ok(()) => saved.push(Told { key: name, ..change.told() }),
                Err(source) => {
                    let path = path.display().to_string();
                    failed.get_or_insert(match source.kind() {
                        io::ErrorKind::AlreadyExists => SaveError::Exists { path },
                        _ => SaveError::Write { path, source },
                    });
                }
            }
        }
        failed.map_or(Ok(saved), Err)
    }

    /// What nothing else builds on and has a content here, with that, and with a name of its own: the first of a key, which is
    /// what clients are shown, has that name.
    fn contents(&self, fits: impl Fn(&str) -> bool) -> Vec<(Arc<Pending>, Arc<Pending>, String)> {
        let mut newest = self.meant(fits);
        let chains = self.0.chains.lock();
        newest.retain(|change| {
            !change.row.key.ends_with('/') && chains.follower(change, change.key()).is_none()
        });
        let is_shown = |change: &Arc<Pending>| {
            chains.shown(change.key()).is_some_and(|shown| Arc::ptr_eq(&shown, change))
        };
        newest.sort_by_key(|change| !is_shown(change));
        let mut names: HashSet<String> = HashSet::new();
        let keys: HashSet<&str> = newest.iter().map(|change| &*change.row.key).collect();
        let contents = newest.iter().filter_map(|change| {
            let (content, key) = (chains.content_of(change)?, &*change.row.key);
            let is_free = |name: &String| !names.contains(name) && (name == key || !keys.contains(&**name));
            let name = (1..).map(|number| numbered(key, number)).find(is_free)?;
            names.insert(name.clone());
            Some((Arc::clone(change), content, name))
        });
        contents.collect()
    }

    fn meant(&self, fits: impl Fn(&str) -> bool) -> Vec<Arc<Pending>> {
        let mut meant = self.0.chains.lock().below("");
        meant.retain(|change| fits(&change.row.key));
        meant.sort_by_key(|change| change.row.number);
        meant
    }
}

/// A request takes two seconds; more of them may follow, as of deletions that are made together.
const STOPS_WITHIN: Duration = Duration::from_secs(5);

/// The name of the first of a key, and of the others: `folder/name (2).txt`.
fn numbered(key: &str, number: usize) -> String {
    let path = Path::new(key);
    let (Some(stem), true) = (path.file_stem(), number > 1) else { return key.to_owned() };
    let mut name = format!("{} ({number})", stem.to_string_lossy());
    if let Some(extension) = path.extension() {
        name = format!("{name}.{}", extension.to_string_lossy());
    }
    path.with_file_name(name).to_string_lossy().into_owned()
}

/// Writes the content of a change, whole or not at all.
async fn write(path: &PathBuf, change: &Pending) -> io::Result<()> {
    if change.has_lost_body() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "its content is not on this machine's disk any more",
        ));
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).await?;
    }
    let file = fs::File::options().write(true).create_new(true).open(path).await?;
    let written = fill(file, change).await;
    if written.is_err() {
        fs::remove_file(path).await?;
    }
    written
}

async fn fill(mut file: fs::File, change: &Pending) -> io::Result<()> {
    if let Some(body) = change.body() {
        let mut pieces = body.read(0, body.size());
        while let Some(piece) = pieces.try_next().await? {
            file.write_all(&piece).await?;
        }
    }
    file.sync_all().await
}
