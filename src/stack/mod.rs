//! The stack of CloudFormation that puts Amazon S3 Files on a bucket, and what is known of one.
//!
//! Pure: what the template says, what a stack's outputs mean, which way leads to it, what it costs. Who talks to AWS is
//! [`crate::commands`], by [`crate::aws_cli`].

mod architecture;
mod cost;
mod found;
mod image;
mod network;
mod parameters;
mod way;

pub use architecture::Architecture;
pub use cost::{Estimate, PRICES_OF, PRICES_SOURCES};
pub use found::{Found, Outputs, Phase, TAG};
pub use image::{EcrImage, ImageRef, RELEASE_IMAGE};
pub use network::{SourceRange, free_address};
pub use parameters::{Parameter, StackName, password_parameter};
pub use way::{Choice, Direct, Docker, NoWay, Task, Via, Way, choose, has_alternatives};

/// The template, as `deploy/infra` has it.
pub const TEMPLATE: &str = include_str!("../../deploy/infra/s3files.yaml");

/// What stands in front of the message of a value that cannot be one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct NoValue {
    pub message: String,
    pub hint: &'static str,
}

fn no_value(message: impl Into<String>, hint: &'static str) -> NoValue {
    NoValue { message: message.into(), hint }
}
