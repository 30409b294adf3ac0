//! Servers that do otherwise than AWS.

mod policies;
