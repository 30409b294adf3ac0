//! Where what has come of a PUT is placed: in the store, or on this machine's disk until the store takes it.

use std::pin::pin;
use std::sync::Arc;

use super::Target;
use crate::checksum::Crc32c;
use crate::fs::error::log_failure;
use crate::fs::s3::delivery::{Delivery, Placed};
use crate::fs::s3::silence::{Silence, writer};
use crate::fs::{Failure, RequestContext};
use crate::logging::with_causes;
use crate::object::{Condition, ETag};
use crate::spool::{Intake, KeptBody};
use crate::store::journal::NewFile;
use crate::store::multipart::{MultipartWriter, RetainedBody, SentUpload, Unfinished};
use crate::store::namespace::Namespace;
use crate::sync::Entered;

/// What came in all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole {
    /// Bytes.
    pub(super) size: u64,
    pub(super) crc32c: Crc32c,
}

/// A body that has come.
pub(super) enum Arrived {
    /// `accepted`: what of it may be accepted before S3 has it.
    Sent {
        intake: Intake<MultipartWriter>,
        accepted: Option<Acceptable>,
    },
    Kept(Acceptable),
}

/// A file that may be accepted; without a body it is empty.
#[derive(Debug, Clone)]
pub(super) struct Acceptable(pub(super) Option<KeptBody>);

/// Where an object comes, on what condition, and who is told. It outlives the client.
pub(super) struct Placement {
    pub(super) names: Namespace,
    pub(super) context: Arc<RequestContext>,
    pub(super) target: Target,
    pub(super) delivery: Delivery<'static>,
    /// What S3 has of it, if it is sent in parts.
    pub(super) sent: SentUpload,
    pub(super) is_clients_own: bool,
    /// Whether it may be accepted before S3 has it.
    pub(super) is_acceptable: bool,
    /// Keeps its folder where it is.
    pub(super) entered: Entered,
}

impl Placement {
    pub(super) async fn finish(
        self,
        arrived: Arrived,
        whole: Whole,
        silence: Silence,
    ) -> Result<Placed, Failure> {
        let size = whole.size;
        let placed = match arrived {
            _ if self.is_put_off(size) => self.put_off().await?,
            Arrived::Kept(accepted) => self.accept_or_place(accepted, size).await?,
            Arrived::Sent { intake, accepted: None } => self.store(intake, None, whole).await?,
            Arrived::Sent { intake, accepted: Some(accepted) } => {
                self.store_or_accept((intake, accepted), whole, silence).await?
            }
        };
        self.note(&placed, size).await;
        Ok(placed)
    }

    /// Accepts what has come to this machine alone.
    async fn accept_or_place(&self, accepted: Acceptable, size: u64) -> Result<Placed, Failure> {
        match self.accept(accepted.clone(), size, false).await {
            Err(failure) if self.delivery.shared.is_for_store(&self.delivery.key, &failure) => {
                let retained = accepted.0.map_or_else(RetainedBody::nothing, RetainedBody::Kept);
                self.delivery.place(retained).await
            }
            placed => placed,
        }
    }

    /// Accepts what was sent when S3 is silent for too long, or fails to take it and its client cannot be told.
    async fn store_or_accept(
        &self,
        (intake, accepted): (Intake<MultipartWriter>, Acceptable),
        whole: Whole,
        silence: Silence,
    ) -> Result<Placed, Failure> {
        let mut storing = pin!(self.store(intake, accepted.0.clone(), whole));
        let early = tokio::select! {
            placed = &mut storing => Some(placed),
            () = silence.grown() => None,
        };
        match early {
            Some(Err(failure)) if self.is_kept(&failure) => {
                self.note_kept(&failure);
                self.accept(accepted, whole.size, false).await.map_err(|unkept| {
                    self.note_unkept(&unkept);
                    failure
                })
            }
            Some(placed) => placed,
            None => match self.accept(accepted, whole.size, true).await {
                Ok(placed) => Ok(placed),
                // Then it waits for S3.
                Err(failure) => {
                    self.note_unkept(&failure);
                    storing.await
                }
            },
        }
    }

    pub(super) fn note_kept(&self, failure: &Failure) {
        let (key, error) = (&self.delivery.key, with_causes(failure));
        tracing::warn!(%key, error, "what is saved is kept on this machine, since its client cannot be told");
    }

    fn note_unkept(&self, failure: &Failure) {
        let (key, error) = (&self.delivery.key, with_causes(failure));
        tracing::warn!(%key, error, "what is saved cannot be kept on this machine");
    }

    /// Whether it is accepted though S3 has not taken it: whoever believes it saved cannot be told, and it is tried again,
    /// or refused where the user sees it.
    pub(super) fn is_kept(&self, failure: &Failure) -> bool {
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
        }
        let new = match placed {
            Placed::There { .. } => self.target.replaces.is_none().then_some(key),
            Placed::Beside { copy, .. } => Some(copy),
            Placed::Existing(_) => None,
        };
        if let Some(new) = new {
            // A file of this name may have been deleted by others.
            log_failure(shared.state.remove_properties(new.as_str()).await);
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
