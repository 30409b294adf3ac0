//! A policy document, as IAM reads it.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// A document; [`std::fmt::Display`] writes it as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    version: &'static str,
    pub(super) statement: Vec<Statement>,
}

/// A permission; what is absent is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Statement {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sid: Option<&'static str>,
    pub(super) effect: Allow,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) principal: BTreeMap<&'static str, String>,
    pub(super) action: Texts,
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub(super) resource: Texts,
    /// By operator and key.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) condition: BTreeMap<&'static str, BTreeMap<String, Texts>>,
}

/// The only effect that is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) enum Allow {
    #[default]
    Allow,
}

/// Texts, of which a single one needs no list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Texts(Vec<String>);

impl Document {
    pub(super) fn new(statement: Vec<Statement>) -> Self {
        Self { version: VERSION, statement }
    }
}

impl std::fmt::Display for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string_pretty(self).map_err(|_| std::fmt::Error)?)
    }
}

impl Statement {
    /// Adds a condition.
    pub(super) fn when(mut self, operator: &'static str, key: impl Into<String>, values: Texts) -> Self {
        self.condition.entry(operator).or_default().insert(key.into(), values);
        self
    }
}

impl Texts {
    pub(super) fn push(&mut self, text: impl Into<String>) {
        self.0.push(text.into());
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Into<String>, const N: usize> From<[T; N]> for Texts {
    fn from(texts: [T; N]) -> Self {
        Self(texts.into_iter().map(Into::into).collect())
    }
}

impl Serialize for Texts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [only] => only.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

/// Of the language; in the older one `${…}` means nothing.
const VERSION: &str = "2012-10-17";
