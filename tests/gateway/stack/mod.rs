//! `s3dav stack` and `s3dav mount --stack`: against an `aws` that records what it is told, and answers as it is told to;
//! and the template, by what knows CloudFormation.

mod changes;
mod fake;
mod mounting;
mod refusals;
mod render;
mod rights;
mod template;
mod terminal;
