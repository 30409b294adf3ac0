//! Layers: stores over another store that keep nothing of their own.
//!
//! Each changes one thing of what goes through it, and hands all else on.

pub mod aliases;
pub mod conditional;
pub mod prefix;
pub mod retry;
pub mod routed;
pub mod throttle;
