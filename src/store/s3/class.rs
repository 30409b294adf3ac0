//! Classes of requests.

/// What a request is for. Each class has retries of its own, so that failing listings cannot use
/// up what uploads have.
#[derive(Debug, Clone, Copy)]
pub(super) enum Class {
    List,
    Read,
    Write,
}
