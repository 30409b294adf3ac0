//! Mistakes of the user, each with what to do instead.

/// What is wrong with what a user wrote.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Mistake {
    pub message: String,
    /// What to write instead, as the text behind `hint:`.
    pub hint: Option<String>,
}

impl Mistake {
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()).filter(|hint| !hint.is_empty()) }
    }
}
