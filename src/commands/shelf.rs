//! `s3dav shelf`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{CommandError, running, status};
use crate::cli::{ShelfArgs, ShelfCommand};
use crate::control::{ControlError, Reply, Request, ask};
use crate::fs::shelf;
use crate::state::State;

pub(super) async fn run(args: ShelfArgs) -> Result<(), CommandError> {
    let ShelfCommand::Export { directory, gateway } = args.command;
    let directory = std::path::absolute(&directory)?;
    let state_dir = which(gateway.state_dir.as_deref())?;
    let (files, bytes) = export(&state_dir, &directory).await?;
    say!("{files} files, {}, in {}", status::size(bytes), directory.display());
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
    let state = State::open(state_dir, "s3dav shelf export").await?;
    let exported = shelf::export(&state, directory).await?;
    Ok((exported.files, exported.bytes))
}

fn which(named: Option<&Path>) -> Result<PathBuf, CommandError> {
    let found: Vec<PathBuf> = running::state_dirs(named)?
        .into_iter()
        .filter(|directory| crate::state::is_state_directory(directory))
        .collect();
    match found.as_slice() {
        [] => Err(CommandError::hinted(
            anyhow::anyhow!("there is no state of a gateway here"),
            "--state-dir names the one that `s3dav serve` was given",
        )),
        [only] => Ok(only.clone()),
        several => Err(running::ambiguous(
            several
                .iter()
                .map(|d| (d.as_path(), d.file_name().and_then(|name| name.to_str()).unwrap_or_default())),
        )),
    }
}

/// A gigabyte of small files takes a while.
const PATIENCE: Duration = Duration::from_secs(600);
