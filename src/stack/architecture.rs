//! Processors that a task can run on.

use crate::named::names;

/// What the task's image is for, as images name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    Arm64,
    Amd64,
}

names!(Architecture { Arm64 = "arm64", Amd64 = "amd64" });

impl Architecture {
    /// As ECS names it.
    pub fn of_ecs(self) -> &'static str {
        match self {
            Self::Arm64 => "ARM64",
            Self::Amd64 => "X86_64",
        }
    }
}
