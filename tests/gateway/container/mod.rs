//! What runs in containers.

mod engine;
