//! Why a request is refused before anything behind the front sees it.

use http::{HeaderMap, StatusCode};

use crate::dav::status;
use crate::fs::PathError;

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

pub(super) fn refused(status: StatusCode, message: impl Into<String>) -> Refused {
    Refused { status, message: message.into() }
}

pub(super) fn bad_request(message: impl Into<String>) -> Refused {
    refused(StatusCode::BAD_REQUEST, message)
}

impl From<PathError> for Refused {
    fn from(error: PathError) -> Self {
        refused(status::of_path(&error), error.to_string())
    }
}

/// A header as it came, if it is text.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
