//! What runs in containers.

mod direct;
mod engine;
mod mount;
mod s3files;
