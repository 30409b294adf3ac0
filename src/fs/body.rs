//! The body of a PUT on its way to where it is written.

use bytes::Bytes;

use super::declared::DeclaredBody;
use super::{Failure, RequestContext};
use crate::spool::{Intake, IntakeError, Intakes, Sink};

/// Refuses a body that would have to pause. Only one that macOS streams, as it does when a file is copied: it
/// gives that up after half a minute, and says so. Of a document that is saved a refusal is not even shown, and
/// others just take longer.
pub fn find_room(context: &RequestContext, intakes: &Intakes) -> Result<(), Failure> {
    let is_full = context.streamed_length.is_some_and(|length| intakes.is_full_for(length));
    if context.client.quirks().aborts_paused_uploads && is_full { Err(Failure::NoRoom) } else { Ok(()) }
}

/// A body that must be as it was announced.
pub struct Body<S: Sink> {
    declared: DeclaredBody,
    /// Gone when all has come, or it has failed. Dropping it undoes everything.
    intake: Option<Intake<S>>,
}

impl<S: Sink> Body<S>
where
    Failure: From<S::Error>,
{
    /// `length` in bytes, if the client told it.
    pub fn new(context: &RequestContext, intake: Intake<S>, length: Option<u64>) -> Self {
        Self { declared: DeclaredBody::new(context, length), intake: Some(intake) }
    }

    /// Bytes that have come.
    pub fn taken(&self) -> u64 {
        self.declared.taken()
    }

    /// Takes the next bytes. After an error nothing more is taken.
    pub async fn take(&mut self, bytes: Bytes) -> Result<(), Failure> {
        let mut intake = self.intake.take().ok_or(IntakeError::Ended)?;
        self.declared.take(&bytes)?;
        intake.write(bytes).await?;
        self.intake = Some(intake);
        Ok(())
    }

    /// Nothing more comes. Gives what is on its way to the sink, and the size in bytes.
    pub fn end(&mut self) -> Result<(Intake<S>, u64), Failure> {
        let intake = self.intake.take().ok_or(IntakeError::Ended)?;
        Ok((intake, self.declared.end()?))
    }
}
