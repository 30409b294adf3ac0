//! What runs in containers.

mod direct;
mod engine;
