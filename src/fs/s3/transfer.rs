//! COPY and MOVE: server-side, whole trees in one call, the destination replaced and never removed
//! first.

mod accepted;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::markers;
use super::metadata::{Located, Node, folder_prefix};
use super::placing::{Job, Placing, Progress};
use super::removal::{deletable, delete_objects, keep_parent, put_marker};
use super::{Failure, ResourcePath, S3FileSystem, Shared};
use crate::fs::RequestContext;
use crate::fs::error::log_failure;
use crate::fs::file_system::Transfer;
use crate::fs::following::Following;
use crate::fs::new_names::{NewName, Spot};
use crate::object::{Condition, DeleteTarget, ETag, Key};
use crate::store::StoreError;
use crate::store::namespace::Namespace;
use crate::store::tree::{self, Leaf};
use crate::sync::Use;

impl S3FileSystem {
    /// Copies or moves a file or a folder with everything in it.
    pub(super) async fn place_tree(
        &self,
        from: ResourcePath,
        to: ResourcePath,
        kind: Transfer,
    ) -> Result<(), Failure> {
        let (source, target) = self.ends(&from, &to, kind).await?;
        let uses = uses(&source, &target, kind);
        let entered = self.enter(&[(&from, uses.0), (&to, uses.1)])?;
        let (source, target) = self.ends(&from, &to, kind).await?;
        if uses != self::uses(&source, &target, kind) {
            return Err(Failure::UnderWay);
        }
        let may_accept = kind == Transfer::Move
            && !source.is_folder()
            && target.old.as_ref().is_none_or(|old| !old.is_folder())
            && !self.context.has_own_condition
            && self.may_accept();
        let work = Transferring {
            store: self.patient_store(),
            shared: Arc::clone(&self.shared),
            context: Arc::clone(&self.context),
            source,
            target,
            kind,
            overwrite: self.context.overwrite,
        };
        let key = Key::new(&work.target.key)?;
        if may_accept {
            let run = async move {
                let _entered = entered;
                work.run_or_accept().await
            };
            return self.detached(run).await;
        }
        let is_loose = kind == Transfer::Copy;
        let run = async move {
            let _entered = entered;
            work.run(&mut Progress::default()).await
        };
        self.unless_silent(&key, is_loose, run).await
    }

    /// COPY of a folder with `Depth: 0`: the folder and its properties, none of its children.
    pub(super) async fn copy_marker(&self, to: &ResourcePath) -> Result<(), Failure> {
        let from = &self.context.path;
        let entered = self.enter(&[(from, Use::Inside), (to, Use::Tree)])?;
        let (source, target) = self.ends(from, to, Transfer::Copy).await?;
        let (store, shared) = (self.patient_store(), Arc::clone(&self.shared));
        self.detached(async move {
            let _entered = entered;
            let prefix = folder_prefix(&target.key);
            let old = target.old_objects(&store, &shared).await?;
            match put_marker(&store, &prefix).await {
                Ok(()) | Err(Failure::Store(StoreError::ConditionFailed)) => {}
                Err(failure) => return Err(failure),
            }
            delete_objects(&store, &without(old, |key| key == prefix)).await?;
            shared.dates.touch_parent(&prefix);
            shared.dates.touch(&prefix);
            let own = shared.state.properties(&source.id()).await?;
            shared.state.remove_properties(&prefix).await?;
            let own = own.into_iter().map(crate::state::PropertyChange::Set).collect::<Vec<_>>();
            if own.is_empty() { Ok(()) } else { Ok(shared.state.change_properties(&prefix, own).await?) }
        })
        .await
    }

    /// What is to be copied or moved, and where it goes, if it may.
    async fn ends(
        &self,
        from: &ResourcePath,
        to: &ResourcePath,
        kind: Transfer,
    ) -> Result<(Located, TransferTarget), Failure> {
        let source = self.locate(from).await?.ok_or(Failure::NotFound)?;
        if kind == Transfer::Move {
            self.refuse_protected(from, "moved")?;
        }
        let target = self.transfer_target(to).await?;
        self.refuse_unsuitable(&source, &target)?;
        Ok((source, target))
    }

    /// What the front and the engine let pass: two spellings of one name, and a destination that
    /// appeared under another spelling than the one that was asked for.
    fn refuse_unsuitable(&self, source: &Located, target: &TransferTarget) -> Result<(), Failure> {
        let (a, b) = (folder_prefix(&source.key), folder_prefix(&target.key));
        if a.starts_with(&b) || b.starts_with(&a) {
            return Err(Failure::Forbidden(
                "source and destination are the same, or one contains the other".to_owned(),
            ));
        }
        if target.old.is_some() && !self.context.overwrite {
            Err(StoreError::ConditionFailed.into())
        } else {
            Ok(())
        }
    }

    async fn transfer_target(&self, to: &ResourcePath) -> Result<TransferTarget, Failure> {
        self.refuse_protected(to, "replaced")?;
        Ok(match self.find_or_begin(to).await? {
            Spot::Taken(old) => TransferTarget { key: old.key.clone(), old: Some(old), _new_name: None },
            Spot::New { key, name } => TransferTarget { key, old: None, _new_name: Some(name) },
        })
    }
}

/// Where a transfer goes.
struct TransferTarget {
    /// Without a slash at the end.
    key: String,
    /// What it replaces.
    old: Option<Located>,
    /// Held until the destination is there.
    _new_name: Option<NewName>,
}

impl TransferTarget {
    /// The objects of what is replaced, if it may be: the same rule as for DELETE.
    async fn old_objects(&self, store: &Namespace, shared: &Shared) -> Result<Vec<DeleteTarget>, Failure> {
        match &self.old {
            None => Ok(Vec::new()),
            Some(Located { node: Node::File(meta), key }) => {
                Ok(vec![DeleteTarget { key: Key::new(key)?, etag: Some(meta.etag.clone()) }])
            }
            Some(folder) => {
                deletable(store, tree::list(&store.objects(), &folder.prefix()).await?, shared, folder).await
            }
        }
    }
}

/// What is done to source and destination.
fn uses(source: &Located, target: &TransferTarget, kind: Transfer) -> (Use, Use) {
    let from = match (source.is_folder(), kind) {
        (true, Transfer::Move) => Use::Tree,
        (true, Transfer::Copy) => Use::Source,
        (false, Transfer::Move) => Use::File,
        (false, Transfer::Copy) => Use::Inside,
    };
    let replaces_folder = target.old.as_ref().is_some_and(Located::is_folder);
    (from, if source.is_folder() || replaces_folder { Use::Tree } else { Use::File })
}

/// A COPY or MOVE that nothing interrupts.
struct Transferring {
    store: Namespace,
    shared: Arc<Shared>,
    context: Arc<RequestContext>,
    source: Located,
    target: TransferTarget,
    kind: Transfer,
    /// The destination may be replaced.
    overwrite: bool,
}

impl Transferring {
    async fn run(&self, progress: &mut Progress) -> Result<(), Failure> {
        self.settle().await?;
        let beside = self.markers().await?;
        let old = self.target.old_objects(&self.store, &self.shared).await?;
        let jobs = self.jobs(beside, &old).await?;
        let written: HashSet<String> = jobs.iter().map(|job| job.to.to_string()).collect();
        let placing = Placing {
            store: self.store.clone(),
            shared: Arc::clone(&self.shared),
            context: Arc::clone(&self.context),
            kind: self.kind,
            ends: (self.source.id(), self.target_id()),
            may_replace: self.overwrite,
        };
        let mut result = placing.run(jobs, progress).await;
        self.shared.dates.touch_parent(&self.target_id());
        if result.is_ok() {
            result = delete_objects(&self.store, &without(old, |key| written.contains(key))).await;
        }
        if let (Err(failure), Some(following)) = (&result, progress.following.take_if(|_| result.is_err())) {
            following.failed(failure, &self.shared.looking(), &self.shared.shutdown).await;
        }
        result?;
        if self.kind == Transfer::Move {
            log_failure(keep_parent(&self.store, &self.shared, &self.source.key).await);
        }
        let beside = self.beside();
        if let Some(old) = self.target.old.as_ref().filter(|_| beside.is_none()) {
            log_failure(self.shared.state.remove_properties(&old.id()).await);
        }
        let to = beside.unwrap_or_else(|| self.target_id());
        let (from, keep_source) = (self.source.id(), self.kind == Transfer::Copy);
        log_failure(self.shared.state.transfer_properties(&from, &to, keep_source).await);
        progress.following.take().into_iter().for_each(Following::end);
        Ok(())
    }

    /// Of folders all that was accepted is in S3 before they are listed: what is to be deleted there is on no list.
    async fn settle(&self) -> Result<(), Failure> {
        let ends = [
            (Some(&self.source), self.source.prefix()),
            (self.target.old.as_ref(), folder_prefix(&self.target.key)),
        ];
        for (end, prefix) in ends {
            if end.is_some_and(Located::is_folder) {
                self.store.settle_below(&prefix).await?;
            }
        }
        Ok(())
    }

    /// What goes along with a folder that is moved, from beside it.
    async fn markers(&self) -> Result<Vec<Leaf>, Failure> {
        if self.kind == Transfer::Copy || !self.source.is_folder() {
            return Ok(Vec::new());
        }
        let beside = markers::beside(&self.store, &self.source).await?;
        if self.source.covers_object() && beside.iter().all(|leaf| leaf.key.as_str() != self.source.key) {
            // Moving the folder alone would leave a file of its name behind, as if by magic.
            return Err(Failure::Conflict(format!(
                "the object {:?} is hidden by this folder and would show in its place; rename it with \
                 another S3 tool first",
                self.source.key
            )));
        }
        Ok(beside)
    }

    /// Where a file lies that lost its place: what the winner has is its own.
    fn beside(&self) -> Option<String> {
        let has_lost = self.context.outcome.has_lost() && !self.source.is_folder();
        let loser = has_lost.then(|| self.shared.seen_versions.loser(&self.context.client, &self.target.key));
        loser.flatten().map(|(copy, _)| copy)
    }

    /// What is to be copied where, hidden keys included, and what lies `beside` the source for it; `old` is what
    /// is there now.
    async fn jobs(&self, beside: Vec<Leaf>, old: &[DeleteTarget]) -> Result<Vec<Job>, Failure> {
        let old: HashMap<&str, &ETag> =
            old.iter().filter_map(|old| Some((old.key.as_str(), old.etag.as_ref()?))).collect();
        let leaves = match &self.source.node {
            Node::Folder { .. } => tree::list(&self.store.objects(), &self.source.prefix()).await?,
            Node::File(meta) => vec![Leaf {
                key: Key::new(&self.source.key)?,
                etag: meta.etag.clone(),
                size: meta.size,
                storage_class: meta.storage_class.clone(),
            }],
        };
        let job = |from: &str, to: &str, leaf: Leaf| {
            // Leaves were listed below the source. What is not would take the destination's own place.
            let rest = leaf.key.as_str().strip_prefix(from);
            let rest =
                rest.ok_or_else(|| StoreError::InvalidAnswer("a key outside the folder".to_owned()))?;
            let to = Key::new(format!("{to}{rest}"))?;
            let condition = self.condition(&to, old.get(to.as_str()).copied());
            Ok(Job { from: leaf, to, condition })
        };
        let (from, to) = (self.source.id(), self.target_id());
        let within = leaves.into_iter().map(|leaf| job(&from, &to, leaf));
        within.chain(beside.into_iter().map(|leaf| job(&self.source.key, &self.target.key, leaf))).collect()
    }

    /// The destination's basis is what this client last saw there, else what is there now.
    fn condition(&self, to: &Key, old: Option<&ETag>) -> Condition {
        if self.overwrite
            && !self.source.is_folder()
            && let Some(Located { node: Node::File(now), key }) = &self.target.old
        {
            let now = (&now.etag, now.last_modified, now.size);
            let basis = self.shared.seen_versions.to_replace(&self.context, key, Some(now));
            return basis.map_or(Condition::IfAbsent, Condition::IfMatch);
        }
        match old.filter(|_| self.overwrite) {
            None => Condition::IfAbsent,
            Some(now) => {
                let basis = self.shared.seen_versions.of(&self.context.client, to.as_str());
                Condition::IfMatch(basis.unwrap_or_else(|| now.clone()))
            }
        }
    }

    fn target_id(&self) -> String {
        if self.source.is_folder() { folder_prefix(&self.target.key) } else { self.target.key.clone() }
    }
}

fn without(objects: Vec<DeleteTarget>, is_kept: impl Fn(&str) -> bool) -> Vec<DeleteTarget> {
    objects.into_iter().filter(|object| !is_kept(object.key.as_str())).collect()
}
