//! How many files and connections the process may have open at once.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises that number as far as the user may, since shells give few; returns it.
pub fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let allowed = limit.maximum.unwrap_or(u64::MAX).min(MOST);
    let before = limit.current.unwrap_or(u64::MAX);
    if before >= allowed {
        return before;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum: limit.maximum }) {
        Ok(()) => allowed,
        Err(_) => before,
    }
}

/// macOS takes no more (`OPEN_MAX`), and says that there is no limit.
#[cfg(target_os = "macos")]
const MOST: u64 = 10_240;
/// More than is ever open.
#[cfg(not(target_os = "macos"))]
const MOST: u64 = 1 << 20;
