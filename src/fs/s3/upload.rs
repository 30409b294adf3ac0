//! PUT: an object written whole, on the condition that nobody else's change is replaced.
//!
//! What a client cannot be told of is copied to this machine's disk while it arrives, and accepted there when S3 takes
//! nothing of it for a while: see [`crate::store::journal`].

mod placement;

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use self::placement::{Acceptable, Arrived, Placement, Whole};
use super::delivery::{Delivery, Placed};
use super::silence::Silence;
use super::{Failure, S3FileSystem};
use crate::checksum::Crc32cDigest;
use crate::fs::declared::{DeclaredBody, find_room};
use crate::fs::file_system::{Meta, Writing};
use crate::fs::new_names::NewName;
use crate::fs::write_condition::WriteCondition;
use crate::object::{Attributes, ETag, Key};
use crate::spool::{BodyCopy, Intake};
use crate::store::multipart::{MultipartWriter, NewObject, SentUpload};
use crate::sync::Entered;

/// Where an object is written to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) key: String,
    /// The newest version that is known, with its date and its bytes; `None`: there is nothing yet.
    pub(super) replaces: Option<(ETag, SystemTime, u64)>,
    /// Of what is new; held until it is there.
    pub(super) new_name: Option<NewName>,
}

/// An object on its way: what takes it, as long as it is what the client declared.
pub(super) struct Upload {
    declared: DeclaredBody,
    arrived: Crc32cDigest,
    route: Route,
    silence: Silence,
    placement: Placement,
}

/// Where a body goes as it comes.
enum Route {
    /// To S3. `copy`: and to this machine's disk, of what may be accepted before S3 has it.
    Sent { intake: Intake<MultipartWriter>, copy: Option<BodyCopy> },
    /// To the disk alone: S3 takes nothing, or gets it later.
    Kept(BodyCopy),
    /// Nowhere: there is none, and it is accepted.
    Empty,
}

/// What is answered of it.
fn meta(placed: Placed) -> Meta {
    let (size, etag, modified) = match placed {
        Placed::There { size, written } => (size, Some(written.etag), written.last_modified),
        // The object's own ETag is not that of what the client sent.
        Placed::Beside { size, .. } => (size, None, SystemTime::now()),
        Placed::Existing(meta) => (meta.size, Some(meta.etag), meta.last_modified),
    };
    Meta { is_folder: false, size, etag, modified }
}

impl S3FileSystem {
    /// Begins to write to `target`, which was entered; `length` in bytes if the client told it.
    pub(super) async fn begin_upload(
        &self,
        (target, entered): (Target, Entered),
        attributes: Attributes,
        create_new: bool,
        length: Option<u64>,
    ) -> Result<Upload, Failure> {
        let context = &self.context;
        find_room(context, self.shared.uploads.intakes())?;
        let now = target.replaces.as_ref().map(|(etag, modified, size)| (etag, *modified, *size));
        let basis = self.shared.seen_versions.to_replace(context, &target.key, now);
        let WriteCondition { condition, is_clients_own } = WriteCondition::of(context, basis, create_new);
        let names = self.patient_store();
        let loser = self.shared.loser(&context.client, &target.key);
        let delivery = Delivery {
            shared: Arc::clone(&self.shared),
            store: names.objects(),
            client: context.client.clone(),
            key: Key::new(&target.key)?,
            attributes,
            condition,
            change: None,
            beside: Mutex::default(),
            loser,
        };
        let is_acceptable = self.may_accept() && !is_clients_own;
        // What a client has in mind besides is no promise.
        let is_empty = length == Some(0);
        let copy = if is_acceptable && !is_empty { self.copy(length).await } else { None };
        let silence = Silence::begin(&self.shared, &delivery.key);
        let sent = SentUpload::default();
        let object = NewObject {
            key: delivery.key.clone(),
            attributes: delivery.attributes.clone(),
            condition: delivery.condition.clone(),
            length,
            keep: !is_clients_own && copy.is_none(),
            sent: sent.clone(),
        };
        let route = match copy {
            Some(copy) if self.shared.accepts_at_once(&delivery.key) => Route::Kept(copy),
            None if is_acceptable && is_empty && self.shared.accepts_at_once(&delivery.key) => Route::Empty,
            copy => Route::Sent { intake: self.shared.uploads.intake(names.objects(), object)?, copy },
        };
        let context = Arc::clone(context);
        let declared = DeclaredBody::new(&context, length);
        let placement =
            Placement { names, context, target, delivery, sent, is_clients_own, is_acceptable, entered };
        Ok(Upload { declared, arrived: Crc32cDigest::default(), route, silence, placement })
    }

    /// A place for its body.
    async fn copy(&self, length: Option<u64>) -> Option<BodyCopy> {
        let declared = self.context.declared.or(length);
        self.shared.store.journal().copy(declared.unwrap_or_default()).await
    }
}

#[async_trait]
impl Writing for Upload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.declared.take(&bytes)?;
        self.arrived.update(&bytes);
        match &mut self.route {
            Route::Kept(copy) => copy.write(bytes).await.map_err(Failure::OwnDisk),
            Route::Empty if bytes.is_empty() => Ok(()),
            Route::Empty => Err(Failure::BadRequest("the body is longer than announced".to_owned())),
            Route::Sent { intake, copy } => {
                if let Some(kept) = copy
                    && let Err(error) = kept.write(bytes.clone()).await
                {
                    tracing::info!(%error, "what is saved cannot be kept on this machine");
                    *copy = None;
                }
                let sent = intake.write(bytes).await.map_err(Failure::from);
                let is_over = match &sent {
                    Ok(()) => intake.is_behind() && self.silence.is_long(),
                    Err(failure) => self.placement.is_kept(failure),
                };
                // From here on the copy stands for it, and need not wait.
                if let Some(copy) = copy.take_if(|_| is_over) {
                    if let Err(failure) = &sent {
                        self.placement.note_kept(failure);
                    }
                    self.route = Route::Kept(copy);
                    return Ok(());
                }
                sent
            }
        }
    }

    async fn commit(self: Box<Self>) -> Result<Meta, Failure> {
        let Self { mut declared, arrived, route, mut silence, placement } = *self;
        let whole = Whole { size: declared.end()?, crc32c: arrived.end() };
        placement.entered.put_file()?;
        silence.begin_again();
        let shutdown = placement.delivery.shared.shutdown.clone();
        let placed = shutdown.complete(async move {
            let arrived = route.end(whole.size, placement.is_acceptable).await?;
            placement.finish(arrived, whole, silence).await
        });
        Ok(meta(placed.await??))
    }
}

impl Route {
    async fn end(self, size: u64, is_acceptable: bool) -> Result<Arrived, Failure> {
        match self {
            Self::Empty => Ok(Arrived::Kept(Acceptable(None))),
            Self::Kept(copy) => {
                let body = copy.end().await.map_err(Failure::OwnDisk)?;
                Ok(Arrived::Kept(Acceptable((size > 0).then_some(body))))
            }
            Self::Sent { intake, copy: None } => {
                let accepted = (is_acceptable && size == 0).then_some(Acceptable(None));
                Ok(Arrived::Sent { intake, accepted })
            }
            Self::Sent { intake, copy: Some(copy) } => {
                let body = copy.end().await;
                let body = body.inspect_err(|error| {
                    tracing::info!(%error, "what is saved cannot be kept on this machine");
                });
                let accepted = body.ok().map(|body| Acceptable((size > 0).then_some(body)));
                Ok(Arrived::Sent { intake, accepted })
            }
        }
    }
}
