//! The contents of changes on this machine's disk, as rows come and go.

use std::collections::HashSet;
use std::io;

use crate::spool::{Bodies, KeptBody};
use crate::state::{AcceptedRow, LeftChange};
use crate::sync::blocking;

/// The body of a row, if its file is there.
pub(super) async fn body_of(bodies: &Bodies, row: &AcceptedRow) -> io::Result<Option<KeptBody>> {
    let Some(body) = row.body().cloned() else { return Ok(None) };
    let bodies = bodies.clone();
    blocking(move || bodies.of_row(&body)).await?.map(Some)
}

/// Before the row of a body goes.
pub(super) async fn disown(body: Option<&KeptBody>) {
    if let Some(body) = body
        && let Err(error) = body.disown().await
    {
        tracing::info!(%error, "the copy of a stored file stays on this machine's disk if this program ends now");
    }
}

/// Before anybody reads or removes it.
pub(super) async fn claim(body: Option<&KeptBody>) {
    if let Some(body) = body
        && let Err(error) = body.claim().await
    {
        tracing::warn!(%error, "the content of an accepted file cannot be given its name");
    }
}

pub(super) async fn remove(body: Option<&KeptBody>) {
    if let Some(body) = body
        && let Err(error) = body.remove().await
    {
        tracing::info!(%error, "the copy of a stored file stays on this machine's disk");
    }
}

pub(super) async fn sweep(bodies: &Bodies, left: Vec<LeftChange>) {
    let place = bodies.clone();
    let sweeping = move || {
        let names = left.iter().filter_map(|left| left.row.body());
        place.sweep(&names.map(|body| body.name.as_str()).collect::<HashSet<_>>())
    };
    match blocking(sweeping).await.map_err(io::Error::from).flatten() {
        Ok(0) => {}
        Ok(count) => {
            let place = bodies.aside();
            tracing::warn!(
                count,
                place = %place.display(),
                hint = "look through them; nothing deletes them",
                "contents of files were found of which nothing else is known"
            );
        }
        Err(error) => tracing::warn!(%error, "contents that an earlier run left cannot be looked through"),
    }
}
