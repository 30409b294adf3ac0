//! Finder, played by our model of macOS's WebDAV client.

mod answers;
mod blind;
mod broken;
pub mod busy;
pub mod client;
mod crashes;
mod creates;
mod dates;
mod day;
mod following;
mod golden;
mod kills;
pub mod mac;
mod missing;
mod names;
mod outages;
mod parser;
mod pauses;
mod quirks;
mod rules;
mod saving;
mod scenarios;
pub mod sender;
mod shelf;
mod unstored;
pub mod wire;
