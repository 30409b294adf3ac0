//! PUT: a file written whole beside its target, to be put in its place when it is complete.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::placing::{Placing, Target};
use super::writer::{Growing, PIECE, PartWriter, Plan};
use super::{Located, PathFileSystem, names};
use crate::fs::declared::{DeclaredBody, find_room};
use crate::fs::error::log_failure;
use crate::fs::file_system::{Meta, Writing};
use crate::fs::new_names::Spot;
use crate::fs::write_condition::WriteCondition;
use crate::fs::{Failure, ResourcePath};
use crate::spool::Intake;

/// A file on its way: what takes it, as long as it is what the client declared.
pub(super) struct Upload {
    declared: DeclaredBody,
    intake: Intake<PartWriter>,
    placing: Placing,
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
            declared: DeclaredBody::new(&self.context, length),
            intake: self.shared.intakes.begin(writer),
            placing: Placing {
                shared: Arc::clone(&self.shared),
                context: Arc::clone(&self.context),
                target,
                condition,
            },
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
                Ok(Target { named: key.clone(), key, replaces: None, _new_name: Some(name) })
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
    async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.declared.take(&bytes)?;
        self.intake.write(bytes).await
    }

    async fn commit(self: Box<Self>) -> Result<Meta, Failure> {
        let Self { mut declared, intake, placing } = *self;
        let size = declared.end()?;
        let (shared, context) = (Arc::clone(&placing.shared), Arc::clone(&placing.context));
        // Syncing takes as long as writing would have.
        let patience = context.budget + Duration::from_secs(size / SLOWEST);
        let shutdown = shared.shutdown.clone();
        let placed = shutdown.complete(async move {
            let part = intake.end().await?.finish().await?;
            let placed = placing.run_by(Instant::now() + patience, part, size).await?;
            if placed.is_new {
                // A file of this name may have been deleted by others.
                log_failure(shared.state.remove_properties(&placed.key).await);
            }
            context.stored(size).await;
            if context.mtime.is_some() {
                context.outcome.set_mtime_kept();
            }
            Ok::<_, Failure>(placed.meta)
        });
        placed.await?
    }
}

/// Bytes a second that even a slow disk writes.
const SLOWEST: u64 = 1 << 20;
