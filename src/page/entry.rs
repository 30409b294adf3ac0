//! A line of a listing.

use std::time::SystemTime;

/// A file or a folder, as a line of the page shows it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub name: String,
    /// Its address, escaped.
    pub href: String,
    pub is_folder: bool,
    /// Bytes.
    pub size: u64,
    /// `None` where nobody keeps that.
    pub modified: Option<SystemTime>,
    pub content_type: Option<String>,
}
