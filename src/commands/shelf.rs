//! `s3dav shelf`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::states::{Known, known, looked_at};
use super::words::{counted, quoted, size};
use super::{CommandError, running};
use crate::cli::{ExportArgs, ShelfArgs, ShelfCommand};
use crate::config::states_of_source;
use crate::control::{ControlError, Reply, Request, ask};
use crate::fs::sidecar;
use crate::state::{State, is_state_directory};

pub(super) async fn run(args: ShelfArgs) -> Result<(), CommandError> {
    let ShelfCommand::Export(args) = args.command;
    let directory = std::path::absolute(&args.directory)?;
    let state_dir = which(args).await?;
    let (files, bytes) = export(&state_dir, &directory).await?;
    say!("{}, {}, in {}", counted(files as u64, "file"), size(bytes), directory.display());
    Ok(())
}

/// The running gateway does it, since it holds the shelf; without one it is done here.
async fn export(state_dir: &Path, directory: &Path) -> Result<(usize, u64), CommandError> {
    let request = Request::ExportShelf { directory: directory.to_owned() };
    match ask(state_dir, request, PATIENCE).await {
        Ok(Reply::Exported { files, bytes }) => return Ok((files, bytes)),
        Ok(_) => return Err(running::unexpected()),
        Err(ControlError::NotRunning { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let state = State::visit(state_dir, "s3dav shelf export").await?;
    let exported = sidecar::export(&state, directory).await?;
    Ok((exported.files, exported.bytes))
}

/// The state that is meant: the one that is named; of several the one that a gateway has, else the only one that
/// holds anything of Finder's.
async fn which(args: ExportArgs) -> Result<PathBuf, CommandError> {
    let (mut candidates, wanted) = if let Some(source) = &args.source {
        let states = states_of_source(args.config.clone(), source)?;
        (looked_at(states).await?, Some(format!("the source {source:?} of the configuration")))
    } else if !args.bucket.is_empty() {
        let mut all = known(None).await?;
        all.retain(|known| known.is_of(&args.bucket));
        (all, Some(args.bucket.join(", ")))
    } else {
        let named = args.gateway.state_dir.as_deref();
        let mut all = known(named).await?;
        all.retain(|known| is_state_directory(&known.state_dir));
        (all, named.map(|directory| directory.display().to_string()))
    };
    if candidates.is_empty() {
        return Err(none(wanted));
    }
    let is_named = wanted.is_some();
    for is_meant in [|known: &Known| known.in_use, holds_files] {
        if candidates.len() > 1 && candidates.iter().any(is_meant) {
            candidates.retain(is_meant);
        }
    }
    match candidates.as_slice() {
        [only] => Ok(only.state_dir.clone()),
        several if several.iter().any(holds_files) => Err(ambiguous(several, is_named)),
        [first, ..] => Ok(first.state_dir.clone()),
        [] => Err(none(wanted)),
    }
}

/// What cannot be read may be one.
fn holds_files(known: &Known) -> bool {
    known.holds.is_none_or(|holds| holds.shelf_files > 0)
}

fn none(wanted: Option<String>) -> CommandError {
    let (error, elsewhere) = match wanted {
        Some(wanted) => (anyhow::anyhow!("no state was found for {wanted}"), ""),
        None => (anyhow::anyhow!("no gateway has kept state here"), "; --state-dir names one elsewhere"),
    };
    CommandError::hinted(error, format!("`s3dav state list` lists them{elsewhere}"))
}

fn ambiguous(several: &[Known], is_named: bool) -> CommandError {
    let by = if is_named { "--state-dir" } else { "--bucket, --source or --state-dir" };
    let lines: Vec<String> = several
        .iter()
        .map(|known| {
            format!(
                "  {}, used {}: --state-dir {}",
                known.place(),
                known.last_used(),
                quoted(&known.state_dir.display().to_string())
            )
        })
        .collect();
    CommandError::hinted(
        anyhow::anyhow!("several shelves match"),
        format!("name one with {by}:\n{}", lines.join("\n")),
    )
}

/// A gigabyte of small files takes a while.
const PATIENCE: Duration = Duration::from_secs(600);
