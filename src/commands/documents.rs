//! `s3dav completions` and `s3dav man-pages`.

use std::path::Path;

use anyhow::Context;

use super::CommandError;
use super::words::counted;
use crate::cli;

pub(super) fn complete(shell: cli::Shell) {
    say!("{}", cli::completions(shell).trim_end());
}

pub(super) fn write_man_pages(directory: &Path) -> Result<(), CommandError> {
    let written = cli::write_man_pages(directory);
    let count =
        written.with_context(|| format!("the manual pages cannot be written to {}", directory.display()))?;
    say!("wrote {} to {}", counted(count as u64, "manual page"), directory.display());
    Ok(())
}
