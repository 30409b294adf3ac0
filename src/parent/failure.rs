//! Why a gateway did not start: it notes that for its parent, which tells it to whoever asks.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::FIRST_WORDS;
use crate::process::last_words;
use crate::state::{read_private, write_private};

#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    reason: String,
    #[serde(default)]
    hint: String,
}

/// Notes why this gateway ends. Blocks for the time of a small file.
pub fn note(state_dir: &Path, reason: &str, hint: Option<&str>) {
    let failure = Failure { reason: reason.to_owned(), hint: hint.unwrap_or_default().to_owned() };
    let noted = serde_json::to_string(&failure)
        .map_err(std::io::Error::from)
        .and_then(|text| write_private(&state_dir.join(FILE), &text));
    if let Err(error) = noted {
        tracing::debug!(%error, "`s3dav status` will not know why");
    }
}

/// The reason, and what to do, as the gateway noted it, or as its first words have it: what is wrong with its command
/// line it says before it knows where its state is.
pub fn read(state_dir: &Path) -> Option<(String, String)> {
    let noted = read_private(&state_dir.join(FILE)).ok().and_then(|text| serde_json::from_str(&text).ok());
    if let Some(Failure { reason, hint }) = noted {
        return Some((reason, hint));
    }
    let (reason, hint) = last_words(&read_private(&state_dir.join(FIRST_WORDS)).ok()?);
    Some((reason?, hint.unwrap_or_default()))
}

pub(super) fn forget(state_dir: &Path) {
    // Most often there is none.
    let _ = fs::remove_file(state_dir.join(FILE));
}

const FILE: &str = "failure.json";
