//! An S3 server in this process: for `s3dav demo`, the tests and the benches.
//!
//! The protocol (signatures, XML, chunked bodies) is the crate `s3s`; objects and their rules are
//! ours, as faithful as what the gateway relies on. Hooks count requests and inject what a healthy
//! server does not do: latency, failures, answers that are lost, bodies that break or stall.

mod actions;
mod answers;
mod blob;
mod bodies;
mod deletes;
mod hooks;
mod hosts;
mod keys;
mod listing;
mod operations;
mod policies;
mod quirks;
mod rules;
mod server;
mod service;
mod storage;
mod uploads;
mod wrong;

pub use actions::ACTIONS;
pub use hooks::{Action, Gate, Hooks, Rule, Tokens, Write};
pub use keys::Keys;
pub use quirks::{Listable, Quirks};
pub use server::{EmbeddedOptions, EmbeddedS3};
