//! What is kept of files and folders follows them, also where a move or a deletion was cut.
//!
//! Objects and files go first. What became of them is then found out by looking: where a source is gone and its
//! destination is there, what was kept goes along; where both are gone, it goes; what is still there keeps its own.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use super::apple_files::{companion_of, owner_of_shelved};
use super::error::log_failure;
use super::{Failure, ResourcePath};
use crate::logging::with_causes;
use crate::path_key::PathKey;
use crate::shutdown::Shutdown;
use crate::state::{Kept, State, StateError, TransferRow};
use crate::store::StoreError;

/// A look at what is served, by nobody's request.
#[async_trait]
pub trait Locate: std::fmt::Debug + Send + Sync {
    /// How the state database names what is at `path`; `None`: nothing is.
    async fn find(&self, path: &ResourcePath) -> Result<Option<String>, Failure>;

    /// Keeps requests from changing what is at these paths until the value is dropped.
    fn keep(&self, paths: &[&ResourcePath]) -> Option<Box<dyn Any + Send>>;

    /// A resource of that name has come or gone unseen.
    fn came_or_went(&self, id: &str);
}

/// What is kept of something that is moved or deleted, until it has followed.
#[derive(Debug)]
pub(super) struct Following {
    state: State,
    row: TransferRow,
}

impl Following {
    /// Of dead properties, if there are any. It is on disk when this returns.
    pub(super) async fn of_properties(state: &State, from: &str, to: Option<&str>) -> Option<Self> {
        let has_any = state.has_properties_within(from);
        let has = |id: &str| state.has_properties_within(id);
        if !has_any && !to.is_some_and(|to| has(to) || has(&other_kind(to))) {
            return None;
        }
        Self::begin(state, Kept::Properties, from, to, has_any).await
    }

    /// Of what Finder keeps beside files, if there is anything.
    pub(super) async fn of_shelved(state: &State, from: &PathKey, to: Option<&PathKey>) -> Option<Self> {
        let has_any = has_shelved(state, from);
        if !has_any && to.is_none_or(|to| state.shelf().within(to).is_empty()) {
            return None;
        }
        Self::begin(state, Kept::Shelf, from.as_str(), to.map(PathKey::as_str), has_any).await
    }

    async fn begin(state: &State, kept: Kept, from: &str, to: Option<&str>, has_any: bool) -> Option<Self> {
        let row = state.begin_transfer(kept, from, to, has_any).await?;
        Some(Self { state: state.clone(), row })
    }

    /// It has followed, or nothing was moved.
    pub(super) fn end(self) {
        self.state.end_transfer(&self.row);
    }

    /// The move or deletion failed, maybe in the middle: what has gone is followed. Where that cannot be seen now,
    /// it is tried again in the background.
    pub(super) async fn failed(self, failure: &Failure, at: &Arc<dyn Locate>, shutdown: &Shutdown) {
        if !may_be_halfway(failure) {
            return self.end();
        }
        if follow(&**at, &self.state, &self.row).await.is_err() {
            let (at, stop) = (Arc::clone(at), shutdown.clone());
            shutdown.background(async move { recover(at, self.state, vec![self.row], stop).await });
        }
    }
}

/// Sees to what was cut, each until it could be seen what became of it. Rows of which that cannot be seen at all
/// stay for the next start.
pub(super) async fn recover(at: Arc<dyn Locate>, state: State, rows: Vec<TransferRow>, shutdown: Shutdown) {
    // A move has a row for each of what is kept: its ends are held until all have followed.
    let _held: Vec<_> = rows.iter().filter_map(|row| at.keep_ends(row)).collect();
    for row in rows {
        while let Err(failure) = follow(&*at, &state, &row).await {
            let (from, error) = (&row.from, with_causes(&failure));
            tracing::warn!(from, error, "cannot tell how an interrupted move or deletion ended");
            if !is_outage(&failure) {
                break;
            }
            tokio::select! {
                () = sleep(AGAIN_AFTER) => {}
                () = shutdown.begun() => return,
            }
        }
    }
}

/// Whether something may be gone already.
fn may_be_halfway(failure: &Failure) -> bool {
    let is_whole = matches!(
        failure,
        Failure::NotFound
            | Failure::ParentMissing
            | Failure::Exists
            | Failure::IsFolder
            | Failure::Forbidden(_)
            | Failure::BadRequest(_)
            | Failure::Path(_)
            | Failure::Changed
            | Failure::UnderWay
            | Failure::CopyIncomplete { .. }
            | Failure::Store(StoreError::ConditionFailed | StoreError::NotFound)
    );
    !is_whole
}

fn is_outage(failure: &Failure) -> bool {
    match failure {
        Failure::Store(error) => error.is_transient() || matches!(error, StoreError::Credentials(_)),
        failure => failure.trouble().is_some(),
    }
}

impl dyn Locate + '_ {
    fn keep_ends(&self, row: &TransferRow) -> Option<Box<dyn Any + Send>> {
        let ends = [Some(&row.from), row.to.as_ref()].into_iter().flatten();
        let paths: Vec<ResourcePath> = ends.filter_map(|id| path_of(id)).collect();
        self.keep(&paths.iter().collect::<Vec<_>>())
    }

    /// Whether something of exactly that name is there. Names that no path can show are left alone.
    async fn has(&self, id: &str) -> Result<bool, Failure> {
        match path_of(id) {
            Some(path) => Ok(self.find(&path).await?.is_some_and(|found| found == id)),
            None => Ok(true),
        }
    }

    /// Whether a file or a folder is there, however it is spelled.
    async fn has_any(&self, path: &PathKey) -> Result<bool, Failure> {
        match path_of(path.as_str()) {
            Some(path) => Ok(self.find(&path).await?.is_some()),
            None => Ok(true),
        }
    }
}

async fn follow(at: &dyn Locate, state: &State, row: &TransferRow) -> Result<(), Failure> {
    match row.kept {
        Kept::Properties => follow_properties(at, state, row).await?,
        Kept::Shelf => follow_shelved(at, state, row).await?,
    }
    state.end_transfer(row);
    for id in [Some(&row.from), row.to.as_ref()].into_iter().flatten() {
        at.came_or_went(id.trim_start_matches('/'));
    }
    Ok(())
}

async fn follow_properties(at: &dyn Locate, state: &State, row: &TransferRow) -> Result<(), Failure> {
    let TransferRow { from, to, .. } = row;
    if !at.has(from).await? {
        let Some(to) = existing(at, to.as_deref()).await? else {
            return Ok(state.remove_properties(from).await?);
        };
        // What was replaced may have been a folder where this is a file, or the other way.
        state.remove_properties(&other_kind(to)).await?;
        if !row.has_any {
            return Ok(state.remove_properties(to).await?);
        }
        // Otherwise it has followed already.
        if state.has_properties_within(from) {
            state.transfer_properties(from, to, false).await?;
        }
        return Ok(());
    }
    for id in state.resources_within(from) {
        if !state.has_properties_within(&id) || at.has(&id).await? {
            continue;
        }
        match to.as_ref().map(|to| format!("{to}{}", &id[from.len()..])) {
            None => state.remove_properties(&id).await?,
            Some(target) if at.has(&target).await? => state.transfer_properties(&id, &target, false).await?,
            Some(_) => {}
        }
    }
    Ok(())
}

/// The id of a file where this is a folder's, and the other way.
fn other_kind(id: &str) -> String {
    id.strip_suffix('/').map_or_else(|| format!("{id}/"), str::to_owned)
}

async fn existing<'t>(at: &dyn Locate, to: Option<&'t str>) -> Result<Option<&'t str>, Failure> {
    match to {
        Some(to) if at.has(to).await? => Ok(Some(to)),
        _ => Ok(None),
    }
}

async fn follow_shelved(at: &dyn Locate, state: &State, row: &TransferRow) -> Result<(), Failure> {
    let (from, to) = (PathKey::of_text(&row.from), row.to.as_deref().map(PathKey::of_text));
    if !at.has_any(&from).await? {
        return match &to {
            Some(to) if at.has_any(to).await? => Ok(transfer_shelved(state, &from, to, row.has_any).await?),
            _ => Ok(state.clear_shelf(shelved_roots(&from)).await?),
        };
    }
    let rows = state.shelf().within(&from);
    for (path, _) in rows {
        let owner = owner_of_shelved(&path);
        // What belongs to the folder itself stays with it.
        if owner == from || !owner.is_within(&from) || at.has_any(&owner).await? {
            continue;
        }
        let Some(to) = &to else {
            state.clear_shelf(vec![path]).await?;
            continue;
        };
        let moved = owner.moved(&from, to).zip(path.moved(&from, to));
        if let Some((owner, target)) = moved
            && at.has_any(&owner).await?
        {
            state.transfer_shelf(vec![(path, target)], false).await?;
        }
    }
    Ok(())
}

/// Gives what the shelf has of `from` to `to`, in place of what it has of a folder there.
async fn transfer_shelved(
    state: &State,
    from: &PathKey,
    to: &PathKey,
    has_any: bool,
) -> Result<(), StateError> {
    if has_any && !has_shelved(state, from) {
        // It has followed already.
        return Ok(());
    }
    carry_shelved(state, (from, to), to.name(), false).await.map(drop)
}

/// The same, whatever is there. `name` is the destination's, as the client spelled it; `keep_source` tells COPY from
/// MOVE. Returns from where to where that went which is beside it.
pub(super) async fn carry_shelved(
    state: &State,
    (from, to): (&PathKey, &PathKey),
    name: &str,
    keep_source: bool,
) -> Result<Option<(PathKey, PathKey)>, StateError> {
    // A folder that was replaced took with it what belonged to its files.
    let replaced = state.clear_shelf(vec![to.clone()]).await;
    let beside = companion_of(from).zip(companion_of(to));
    let has_beside = beside.as_ref().is_some_and(|(from, _)| state.shelf().get(from).is_some());
    let pairs = [Some((from.clone(), to.clone())), beside.clone()].into_iter().flatten().collect();
    replaced.and(state.transfer_shelf(pairs, keep_source).await)?;
    let beside = beside.filter(|_| has_beside);
    if let Some((_, target)) = &beside {
        log_failure(state.rename_shelved(target, format!("._{name}")).await);
    }
    Ok(beside)
}

/// What the shelf has of a file or folder: what is in it, and what is beside it.
pub(super) fn shelved_roots(path: &PathKey) -> Vec<PathKey> {
    [Some(path.clone()), companion_of(path)].into_iter().flatten().collect()
}

fn has_shelved(state: &State, path: &PathKey) -> bool {
    shelved_roots(path).iter().any(|root| !state.shelf().within(root).is_empty())
}

/// The path of an id, or of a path as the shelf names it.
fn path_of(id: &str) -> Option<ResourcePath> {
    ResourcePath::of_key(id.trim_matches('/'))
}

/// Between two tries where nothing answers.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::state::{PropertyChange, PropertyName, StoredProperty};

    /// What is there, and how often nothing answers.
    #[derive(Debug, Default)]
    struct There {
        ids: BTreeSet<&'static str>,
        outages: AtomicUsize,
    }

    #[async_trait]
    impl Locate for There {
        async fn find(&self, path: &ResourcePath) -> Result<Option<String>, Failure> {
            if self.outages.load(Ordering::Relaxed) > 0 {
                self.outages.fetch_sub(1, Ordering::Relaxed);
                return Err(StoreError::Unavailable("away".into()).into());
            }
            let (file, folder) = (path.key(), format!("{}/", path.key()));
            Ok([file, folder].into_iter().find(|id| self.ids.contains(id.as_str())))
        }

        fn keep(&self, _: &[&ResourcePath]) -> Option<Box<dyn Any + Send>> {
            None
        }

        fn came_or_went(&self, _: &str) {}
    }

    async fn state(dir: &tempfile::TempDir, ids: &[&str]) -> State {
        let state = State::open(dir.path(), "test").await.unwrap();
        for id in ids {
            let name = PropertyName { namespace: "urn:x".into(), local: "p".into() };
            let change = PropertyChange::Set(StoredProperty { name, xml: id.as_bytes().to_vec() });
            state.change_properties(id, vec![change]).await.unwrap();
        }
        state
    }

    /// Moves `from` to `to`, or deletes it, and dies; `ids` are there then. Whose properties are where after that.
    async fn after(kept: &[&str], from: &str, to: Option<&str>, ids: &[&'static str]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let begun = state(&dir, kept).await;
        Following::of_properties(&begun, from, to).await.unwrap();
        drop(begun);
        let state = state(&dir, &[]).await;
        let at = Arc::new(There { ids: ids.iter().copied().collect(), outages: 2.into() });
        let rows = state.recover().transfers;
        assert_eq!(rows.len(), 1);
        recover(at, state.clone(), rows, Shutdown::default()).await;
        assert!(state.pending().is_empty());
        let mut found = Vec::new();
        for id in state.resources_within("") {
            let of = String::from_utf8(state.properties(&id).await.unwrap().remove(0).xml).unwrap();
            found.push(format!("{id}={of}"));
        }
        found
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_where_it_belongs_however_far_a_move_came() {
        let tree = &["d/", "d/a", "d/b", "e/old"];
        assert_eq!(
            after(tree, "d/", Some("e/"), &["e/", "e/a", "e/b"]).await,
            ["e/=d/", "e/a=d/a", "e/b=d/b"]
        );
        let part = after(tree, "d/", Some("e/"), &["d/", "d/b", "e/", "e/a", "e/b", "e/old"]).await;
        assert_eq!(part, ["d/=d/", "d/b=d/b", "e/a=d/a", "e/old=e/old"]);
        let begun = after(tree, "d/", Some("e/"), &["d/", "d/a", "d/b", "e/", "e/a"]).await;
        assert_eq!(begun, ["d/=d/", "d/a=d/a", "d/b=d/b", "e/old=e/old"]);
        assert_eq!(after(tree, "d/", Some("e/"), &[]).await, ["e/old=e/old"], "both are gone");
        assert!(after(&["e"], "d", Some("e"), &["e"]).await.is_empty(), "what was replaced");
        assert!(after(&["e/", "e/x"], "d", Some("e"), &["e"]).await.is_empty(), "by a file");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_what_is_gone() {
        let tree = &["d/", "d/a", "d/b", "e"];
        assert_eq!(after(tree, "d/", None, &["e"]).await, ["e=e"]);
        assert_eq!(after(tree, "d/", None, &["d/", "d/b", "e"]).await, ["d/=d/", "d/b=d/b", "e=e"]);
        assert_eq!(after(tree, "d/a", None, &["d/", "d/a", "d/b", "e"]).await.len(), 4);
    }
}
