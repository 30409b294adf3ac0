//! What a stack is told: its name, and values for the template's parameters.

use serde_json::{Value, json};

use super::{NoValue, no_value};

/// The name of a stack, as CloudFormation takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackName(String);

impl std::str::FromStr for StackName {
    type Err = NoValue;

    fn from_str(text: &str) -> Result<Self, NoValue> {
        let is_well = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.len() <= LONGEST
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if is_well {
            Ok(Self(text.to_owned()))
        } else {
            Err(no_value(format!("{text:?} is not a valid name of a stack"), HOW_TO_NAME))
        }
    }
}

impl StackName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for StackName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A parameter, with a new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub key: &'static str,
    pub value: String,
}

impl Parameter {
    pub fn new(key: &'static str, value: impl Into<String>) -> Self {
        Self { key, value: value.into() }
    }

    /// As `--parameters` takes it.
    pub fn to_json(&self) -> Value {
        json!({ "ParameterKey": self.key, "ParameterValue": self.value })
    }

    /// All parameters of a stack that there is: those that are `changed`, and the others as they are.
    pub fn of_update(changed: &[Self], current: &std::collections::BTreeMap<String, String>) -> Vec<Value> {
        let kept = current.keys().filter(|key| changed.iter().all(|parameter| parameter.key != *key));
        let kept = kept.map(|key| json!({ "ParameterKey": key, "UsePreviousValue": true }));
        changed.iter().map(Self::to_json).chain(kept).collect()
    }
}

/// The name of the SecureString that holds the password of a stack's gateway.
pub fn password_parameter(name: &StackName) -> String {
    format!("/s3dav/{name}/password")
}

const HOW_TO_NAME: &str = "it must begin with a letter and have at most 64 letters, digits and dashes";
/// Names of what the stack makes begin with it.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn names_are_those_of_cloudformation() {
        assert_eq!("Files-2".parse::<StackName>().unwrap().as_str(), "Files-2");
        for wrong in ["", "2files", "-a", "a b", "a_b", "a/b", "--help", &"a".repeat(65)] {
            assert!(wrong.parse::<StackName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_changed_is_kept() {
        let current = ["Running", "Image"].map(|key| (key.to_owned(), String::new()));
        let all = Parameter::of_update(&[Parameter::new("Running", "0")], &BTreeMap::from(current));
        let expected = json!([
            { "ParameterKey": "Running", "ParameterValue": "0" },
            { "ParameterKey": "Image", "UsePreviousValue": true },
        ]);
        assert_eq!(Value::from(all), expected);
    }
}
