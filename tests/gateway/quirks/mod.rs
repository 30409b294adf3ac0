//! S3 servers that are no AWS: each does something otherwise, and works all the same.

mod answers;
mod markers;
mod policies;
