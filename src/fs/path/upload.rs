//! PUT: a file written whole beside its target, to be put in its place when it is complete.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::placing::{Placing, Target};
use super::writer::{Growing, PIECE, PartWriter, Plan};
use super::{Located, PathFileSystem, Shared, names};
use crate::fs::body::{Body, find_room};
use crate::fs::error::log_failure;
use crate::fs::file_system::{Meta, Writing};
use crate::fs::new_names::Spot;
use crate::fs::seen_versions::WriteCondition;
use crate::fs::{Failure, RequestContext, ResourcePath};

/// A file on its way.
pub(super) struct Upload {
    shared: Arc<Shared>,
    context: Arc<RequestContext>,
    body: Body<PartWriter>,
    target: Target,
    condition: WriteCondition,
}

impl PathFileSystem {
    /// Begins to write what belongs at `path`; `length` in bytes if the client told it.
    pub(super) async fn begin_upload(
        &self,
        path: &ResourcePath,
        create_new: bool,
        length: Option<u64>,
    ) -> Result<Upload, Failure> {
        self.refuse_protected(path, "written")?;
        find_room(&self.context, &self.shared.intakes)?;
        let target = self.write_target(path).await?;
        self.context.refuse_to_empty(target.replaces.as_ref().map_or(0, |stat| stat.size))?;
        let now = target.replaces.as_ref().map(|stat| (&stat.etag, stat.modified, stat.size));
        let basis = self.shared.seen_versions.to_replace(&self.context, &target.named, now);
        let condition = WriteCondition::of(&self.context, basis, create_new);
        let mode = target.replaces.as_ref().map(|stat| stat.mode);
        let plan = Plan { key: target.key.clone(), mode };
        // What comes in one piece is made, written and put in its place in one go.
        let part = if length.is_some_and(|length| length < PIECE as u64) {
            Growing::Planned(plan)
        } else {
            let shared = Arc::clone(&self.shared);
            let (part, file) = self.disk(move |_| plan.make(&shared)).await?;
            Growing::Made(part, file)
        };
        let writer = PartWriter::new(&self.shared, part, self.context.budget);
        Ok(Upload {
            shared: Arc::clone(&self.shared),
            context: Arc::clone(&self.context),
            body: Body::new(&self.context, self.shared.intakes.begin(writer), length),
            target,
            condition,
        })
    }

    /// Links are written through: what they lead to is replaced, not they.
    async fn write_target(&self, path: &ResourcePath) -> Result<Target, Failure> {
        match self.find_or_begin(path).await? {
            Spot::Taken(located) if located.stat.is_folder => Err(Failure::IsFolder),
            Spot::Taken(located) if located.is_link => {
                let named = located.key.clone();
                let key = self.disk(move |shared| Ok(shared.root.resolve(&located.key)?)).await?;
                if key.split('/').any(|name| names::owner(name).is_some()) {
                    return Err(Failure::Forbidden(
                        "the link leads to files of the file system itself".to_owned(),
                    ));
                }
                Ok(Target { key, named, replaces: Some(located.stat), _new_name: None })
            }
            Spot::Taken(Located { key, stat, .. }) => {
                Ok(Target { named: key.clone(), key, replaces: Some(stat), _new_name: None })
            }
            Spot::New { key, name } => {
                Ok(Target { named: key.clone(), key, replaces: None, _new_name: Some(Arc::new(name)) })
            }
        }
    }

    /// What is at `path`, or the name under which something can be made there.
    pub(super) async fn find_or_begin(&self, path: &ResourcePath) -> Result<Spot<Located>, Failure> {
        if let Some(found) = self.locate(path).await? {
            return Ok(Spot::Taken(found));
        }
        if path.has_trailing_slash() && self.context.method == http::Method::PUT {
            return Err(Failure::Conflict("there is no such folder; make it with MKCOL".to_owned()));
        }
        let again = async {
            self.located.lock().remove(path);
            self.locate(path).await
        };
        let prefix = async { Ok(self.parent_of(path).await?.id()) };
        self.maker.spot(path, &self.context.client, again, prefix).await
    }
}

#[async_trait]
impl Writing for Upload {
    fn meta(&self) -> Meta {
        Meta { is_folder: false, size: self.body.taken(), etag: None, modified: SystemTime::now() }
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.body.take(bytes).await
    }

    /// Once begun it goes on without the client.
    async fn commit(&mut self) -> Result<Meta, Failure> {
        let (intake, size) = self.body.end()?;
        let placing = Placing {
            shared: Arc::clone(&self.shared),
            context: Arc::clone(&self.context),
            target: self.target.clone(),
            condition: self.condition.clone(),
            size,
            given_up: CancellationToken::new(),
        };
        // Syncing takes as long as writing would have.
        let patience = self.context.budget + Duration::from_secs(size / SLOWEST);
        let (shared, context) = (Arc::clone(&self.shared), Arc::clone(&self.context));
        let placed = self.shared.shutdown.complete(async move {
            let part = intake.end().await?.finish().await?;
            let (disk, given_up) = (shared.disk.clone(), placing.given_up.clone());
            let placed = disk.by(Instant::now() + patience, move || placing.run(part)).await;
            // Whoever was told that it failed may have sent something newer since.
            if placed.is_err() {
                given_up.cancel();
            }
            let placed = placed?;
            if placed.is_new {
                // A file of this name may have been deleted by others.
                log_failure(shared.state.remove_properties(&placed.key).await);
            }
            context.stored(size).await;
            Ok::<_, Failure>(placed.meta)
        });
        let meta = placed.await??;
        if self.context.mtime.is_some() {
            self.context.outcome.set_mtime_kept();
        }
        Ok(meta)
    }
}

/// Bytes a second that even a slow disk writes.
const SLOWEST: u64 = 1 << 20;
