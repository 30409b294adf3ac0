//! Servers that do otherwise than AWS.

mod markers;
mod policies;
