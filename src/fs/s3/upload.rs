//! PUT: an object written whole, on the condition that nobody else's change is replaced.
//!
//! What a client cannot be told of is copied to this machine's disk while it arrives, and accepted there when S3 takes
//! nothing of it for a while: see [`crate::store::journal`].

use std::pin::pin;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::delivery::{Delivery, Placed};
use super::silence::{Silence, writer};
use super::{Failure, S3FileSystem};
use crate::checksum::{Crc32c, Crc32cDigest};
use crate::fs::RequestContext;
use crate::fs::declared::{DeclaredBody, find_room};
use crate::fs::error::log_failure;
use crate::fs::file_system::{Meta, Writing};
use crate::fs::new_names::NewName;
use crate::fs::write_condition::WriteCondition;
use crate::logging::with_causes;
use crate::object::{Attributes, Condition, ETag, Key};
use crate::spool::{BodyCopy, Intake, KeptBody};
use crate::store::journal::NewFile;
use crate::store::multipart::{MultipartWriter, NewObject, RetainedBody, SentUpload, Unfinished};
use crate::store::namespace::Namespace;
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

/// What came in all.
#[derive(Debug, Clone, Copy)]
struct Whole {
    /// Bytes.
    size: u64,
    crc32c: Crc32c,
}

/// Where a body goes as it comes.
enum Route {
    /// To S3. `copy`: and to this machine's disk, of what may be accepted before S3 has it.
    Sent { intake: Intake<MultipartWriter>, copy: Option<BodyCopy> },
    /// To the disk alone: S3 takes nothing, or gets it later. An empty one goes nowhere.
    Kept(Option<BodyCopy>),
}

/// A body that has come.
enum Arrived {
    /// `accepted`: what of it may be accepted before S3 has it.
    Sent {
        intake: Intake<MultipartWriter>,
        accepted: Option<Acceptable>,
    },
    Kept(Acceptable),
}

/// A file that may be accepted; without a body it is empty.
#[derive(Debug, Clone)]
struct Acceptable(Option<KeptBody>);

/// Where an object comes, on what condition, and who is told. It outlives the client.
struct Placement {
    names: Namespace,
    context: Arc<RequestContext>,
    target: Target,
    delivery: Delivery<'static>,
    /// What S3 has of it, if it is sent in parts.
    sent: SentUpload,
    is_clients_own: bool,
    /// Whether it may be accepted before S3 has it.
    is_acceptable: bool,
    /// Keeps its folder where it is.
    entered: Entered,
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
        let copy = if is_acceptable { self.copy(length).await } else { None };
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
        let has_place = copy.is_some() || self.declares_nothing(length);
        let route = match copy {
            copy if is_acceptable && has_place && self.shared.accepts_at_once() => Route::Kept(copy),
            copy => Route::Sent { intake: self.shared.uploads.intake(names.objects(), object)?, copy },
        };
        let context = Arc::clone(context);
        let declared = DeclaredBody::new(&context, length);
        let placement =
            Placement { names, context, target, delivery, sent, is_clients_own, is_acceptable, entered };
        Ok(Upload { declared, arrived: Crc32cDigest::default(), route, silence, placement })
    }

    /// A place for its body; an empty one needs none.
    async fn copy(&self, length: Option<u64>) -> Option<BodyCopy> {
        if self.declares_nothing(length) {
            return None;
        }
        let declared = self.context.declared.or(length);
        self.shared.store.journal().copy(declared.unwrap_or_default()).await
    }

    fn declares_nothing(&self, length: Option<u64>) -> bool {
        self.context.declared.or(length) == Some(0)
    }
}

#[async_trait]
impl Writing for Upload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.declared.take(&bytes)?;
        self.arrived.update(&bytes);
        match &mut self.route {
            Route::Kept(Some(copy)) => copy.write(bytes).await.map_err(Failure::OwnDisk),
            // It is as long as it was declared, and that is nothing.
            Route::Kept(None) => Ok(()),
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
                    self.route = Route::Kept(Some(copy));
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
            Self::Kept(None) => Ok(Arrived::Kept(Acceptable(None))),
            Self::Kept(Some(copy)) => {
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

impl Placement {
    async fn finish(self, arrived: Arrived, whole: Whole, silence: Silence) -> Result<Placed, Failure> {
        let size = whole.size;
        let placed = match arrived {
            _ if self.is_put_off(size) => self.put_off().await?,
            Arrived::Kept(accepted) => match self.accept(accepted.clone(), size, false).await {
                Err(failure) if self.delivery.shared.is_for_store(&self.delivery.key, &failure) => {
                    let retained = accepted.0.map_or_else(RetainedBody::nothing, RetainedBody::Kept);
                    self.delivery.place(retained).await?
                }
                placed => placed?,
            },
            Arrived::Sent { intake, accepted: None } => self.store(intake, None, whole).await?,
            Arrived::Sent { intake, accepted: Some(accepted) } => {
                let mut storing = pin!(self.store(intake, accepted.0.clone(), whole));
                let early = tokio::select! {
                    placed = &mut storing => Some(placed),
                    () = silence.grown() => None,
                };
                match early {
                    Some(Err(failure)) if self.is_kept(&failure) => {
                        self.note_kept(&failure);
                        self.accept(accepted, size, false).await.map_err(|unkept| {
                            self.note_unkept(&unkept);
                            failure
                        })?
                    }
                    Some(placed) => placed?,
                    None => match self.accept(accepted, size, true).await {
                        Ok(placed) => placed,
                        // Then it waits for S3.
                        Err(failure) => {
                            self.note_unkept(&failure);
                            storing.await?
                        }
                    },
                }
            }
        };
        self.note(&placed, size).await;
        Ok(placed)
    }

    fn note_kept(&self, failure: &Failure) {
        let (key, error) = (&self.delivery.key, with_causes(failure));
        tracing::warn!(%key, error, "what is saved is kept on this machine, since its client cannot be told");
    }

    fn note_unkept(&self, failure: &Failure) {
        let (key, error) = (&self.delivery.key, with_causes(failure));
        tracing::warn!(%key, error, "what is saved cannot be kept on this machine");
    }

    /// Whether it is accepted though S3 has not taken it: whoever believes it saved cannot be told, and it is tried again,
    /// or refused where the user sees it.
    fn is_kept(&self, failure: &Failure) -> bool {
        matches!(failure, Failure::Store(_)) && self.context.client.quirks().hides_failed_close
    }

    /// Whether it is an empty file that its client fills right after: that is noted on this machine's disk anyway.
    fn is_put_off(&self, size: u64) -> bool {
        size == 0
            && self.target.replaces.is_none()
            && self.delivery.condition == Condition::IfAbsent
            && !self.is_clients_own
            && self.context.client.quirks().fills_later
            && !self.delivery.shared.store.journal().has(&self.delivery.key)
    }

    async fn put_off(&self) -> Result<Placed, Failure> {
        let Delivery { key, attributes, .. } = &self.delivery;
        match self.names.create(key, attributes).await {
            Ok(written) => Ok(Placed::There { size: 0, written }),
            Err(error) => {
                let retained = Some(RetainedBody::nothing());
                self.delivery.settle(Unfinished { error, retained }, self.is_clients_own).await
            }
        }
    }

    /// Stores it, or finds it another place if its own was taken and the client did not ask to be told.
    async fn store(
        &self,
        intake: Intake<MultipartWriter>,
        body: Option<KeptBody>,
        whole: Whole,
    ) -> Result<Placed, Failure> {
        match intake.end().await?.finish(whole.crc32c).await {
            Ok(written) => Ok(Placed::There { size: whole.size, written }),
            Err(Unfinished { error, retained }) => {
                let retained = retained.or(body.map(RetainedBody::Kept));
                self.delivery.settle(Unfinished { error, retained }, self.is_clients_own).await
            }
        }
    }

    /// Has the journal store it, since S3 takes nothing.
    async fn accept(
        &self,
        Acceptable(body): Acceptable,
        size: u64,
        was_sent: bool,
    ) -> Result<Placed, Failure> {
        let Delivery { shared, client, key, attributes, condition, .. } = &self.delivery;
        let (attributes, condition) = (attributes.clone(), condition.clone());
        let upload = body.as_ref().and_then(|body| self.sent.row(body.name()));
        let beside = self.delivery.beside.lock().take();
        let (key, loser) = (key.clone(), self.delivery.loser.clone());
        let file = NewFile { key, attributes, condition, body, was_sent, upload, beside, loser };
        self.context.accepting(size);
        let written = shared.store.names().accept_file(file, &writer(client)).await?;
        self.sent.leave();
        shared.note_accepted(&self.delivery.key, "a file");
        Ok(Placed::There { size, written })
    }

    /// Takes note of what became of it.
    async fn note(&self, placed: &Placed, size: u64) {
        let Delivery { shared, client, key, .. } = &self.delivery;
        let mut is_accepted = false;
        if let Placed::There { written, .. } = placed {
            is_accepted = shared.store.journal().has_version(key, &written.etag);
            if is_accepted {
                shared.seen_versions.made(client, key.as_str(), &written.etag);
            } else {
                shared.seen_versions.saw(client, key.as_str(), &written.etag);
            }
            shared.seen_versions.dates(key.as_str(), &written.etag, written.last_modified);
        } else {
            self.context.outcome.set_lost();
        }
        if let Placed::Existing(there) = placed {
            // It knows of no content there.
            let seen = if there.size == 0 { there.etag.clone() } else { ETag::of_nothing() };
            shared.seen_versions.made(client, key.as_str(), &seen);
        }
        if self.target.replaces.is_none() {
            shared.dates.touch_parent(key.as_str());
            // A file of this name may have been deleted by others.
            log_failure(shared.state.remove_properties(key.as_str()).await);
        }
        if is_accepted {
            self.context.accepted(size);
        } else {
            self.context.stored(size).await;
            // Whoever has lost must not replace the winner after a crash. Mostly that is on disk by now.
            if !matches!(placed, Placed::There { .. }) {
                log_failure(shared.state.sync().await);
            }
        }
        if self.context.mtime.is_some() {
            self.context.outcome.set_mtime_kept();
        }
    }
}
