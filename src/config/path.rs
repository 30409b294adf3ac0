//! A directory as what is served.

use std::path::Path;

use super::Source;
use crate::cache::CacheOptions;
use crate::cli::ServeArgs;
use crate::fs::path::PathOptions;
use crate::mistake::Mistake;
use crate::spool::IntakeOptions;

/// Looks whether the directory is one.
pub(super) fn source(
    given: &Path,
    cache: CacheOptions,
    intake: IntakeOptions,
    args: &ServeArgs,
) -> Result<Source, Mistake> {
    let shown = given.display();
    let directory = given.canonicalize().map_err(|error| {
        Mistake::new(format!("{shown} cannot be served: {error}"), "name an existing directory with --path")
    })?;
    if !directory.is_dir() {
        return Err(Mistake::new(format!("{shown} is not a directory"), "serve the folder that holds it"));
    }
    std::fs::read_dir(&directory).map_err(|error| {
        Mistake::new(format!("{shown} cannot be read: {error}"), "s3dav needs to read it")
    })?;
    Ok(Source::Path(PathOptions {
        delete_hidden: args.delete_hidden,
        show_conflicts: args.show_conflicts,
        export_wait: args.export_wait.0,
        cache,
        intake,
        ..PathOptions::new(directory)
    }))
}

/// What the gateway keeps for itself must not show in what it serves.
pub(super) fn check_state(source: &Source, state_dir: &Path) -> Result<(), Mistake> {
    let Source::Path(PathOptions { directory, .. }) = source else { return Ok(()) };
    let state_dir = std::path::absolute(state_dir).unwrap_or_else(|_| state_dir.to_owned());
    // The nearest folder that exists tells where links lead.
    let existing = state_dir.ancestors().find_map(|folder| folder.canonicalize().ok());
    if !existing.is_some_and(|folder| folder.starts_with(directory)) {
        Ok(())
    } else {
        Err(Mistake::new(
            format!("the state would be in {}, inside the served directory", state_dir.display()),
            "name another place with --state-dir",
        ))
    }
}
