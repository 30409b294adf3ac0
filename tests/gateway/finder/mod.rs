//! Finder, played by our model of macOS's WebDAV client.

mod client;
mod creates;
mod shelf;
