//! The template with its conditions decided and its references followed, as CloudFormation does it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::harness::clients::{self, Tools};
use crate::harness::process::outcome;

pub const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/infra/s3files.yaml");
pub const ACCOUNT: &str = "123456789012";
pub const REGION: &str = "us-east-1";

/// Prints the template as JSON.
const READ: &str = "
import json, sys
from cfnlint.decode import cfn_yaml
print(json.dumps(cfn_yaml.load(sys.argv[1])))";

/// The template, and what reads it.
pub struct Template {
    pub tools: Tools,
    pub json: Value,
}

/// One rendering.
pub struct Rendered<'t> {
    template: &'t Value,
    parameters: BTreeMap<String, String>,
}

impl Template {
    /// `None` where nothing reads it.
    pub async fn read() -> Option<Self> {
        let tools = clients::needs(&["cfn-lint"])?;
        let mut python = tools.command("cfn-lint");
        python.args(["-c", READ, PATH]);
        let (code, text, error) = outcome(python).await;
        assert_eq!(code, 0, "{error}");
        Some(Self { tools, json: serde_json::from_str(&text).unwrap() })
    }

    pub fn render(&self, given: &[(&str, &str)]) -> Rendered<'_> {
        let known = self.json["Parameters"].as_object().unwrap();
        let default = |parameter: &Value| match &parameter["Default"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut parameters: BTreeMap<String, String> =
            known.iter().map(|(name, parameter)| (name.clone(), default(parameter))).collect();
        for (name, value) in given {
            assert!(known.contains_key(*name), "{name}");
            parameters.insert((*name).to_owned(), (*value).to_owned());
        }
        Rendered { template: &self.json, parameters }
    }
}

impl Rendered<'_> {
    /// The resources that are made, with their properties; no reference leads to another.
    pub fn resources(&self) -> BTreeMap<String, Value> {
        let all = self.template["Resources"].as_object().unwrap();
        let made = all.iter().filter(|(_, resource)| self.is_made(resource));
        made.map(|(name, resource)| (name.clone(), self.resolve(resource).unwrap())).collect()
    }

    pub fn outputs(&self) -> BTreeMap<String, Value> {
        let all = self.template["Outputs"].as_object().unwrap();
        let told = all.iter().filter(|(_, output)| self.is_made(output));
        told.map(|(name, output)| (name.clone(), self.resolve(&output["Value"]).unwrap())).collect()
    }

    /// Whether the template's rules take the parameters.
    pub fn is_taken(&self) -> bool {
        let rules = self.template["Rules"].as_object().unwrap().values();
        let holds = |rule: &Value| {
            let assertions = rule["Assertions"].as_array().unwrap().iter();
            !self.truth(&rule["RuleCondition"])
                || assertions.into_iter().all(|one| self.truth(&one["Assert"]))
        };
        rules.into_iter().all(holds)
    }

    fn is_made(&self, resource: &Value) -> bool {
        resource.get("Condition").is_none_or(|name| self.condition(name.as_str().unwrap()))
    }

    fn condition(&self, name: &str) -> bool {
        self.truth(&self.template["Conditions"][name])
    }

    fn truth(&self, value: &Value) -> bool {
        let (function, argument) = function(value).expect("a condition is a function");
        let all = |argument: &Value| {
            argument.as_array().unwrap().iter().map(|one| self.truth(one)).collect::<Vec<_>>()
        };
        match function {
            "Fn::Equals" => self.resolve(&argument[0]) == self.resolve(&argument[1]),
            "Fn::Not" => !self.truth(&argument[0]),
            "Fn::Or" => all(argument).contains(&true),
            "Fn::And" => !all(argument).contains(&false),
            "Condition" => self.condition(argument.as_str().unwrap()),
            other => panic!("{other} is not known here"),
        }
    }

    /// `None` for `AWS::NoValue`.
    fn resolve(&self, value: &Value) -> Option<Value> {
        if let Some((function, argument)) = function(value) {
            return self.call(function, argument);
        }
        Some(match value {
            Value::Object(map) => {
                let entries = map.iter().filter_map(|(key, value)| Some((key.clone(), self.resolve(value)?)));
                Value::Object(entries.collect::<Map<_, _>>())
            }
            Value::Array(list) => list.iter().filter_map(|value| self.resolve(value)).collect(),
            plain => plain.clone(),
        })
    }

    fn call(&self, function: &str, argument: &Value) -> Option<Value> {
        match function {
            "Ref" => self.reference(argument.as_str().unwrap()),
            "Fn::If" => {
                let way = if self.condition(argument[0].as_str().unwrap()) { 1 } else { 2 };
                self.resolve(&argument[way])
            }
            "Fn::GetAtt" => {
                let name = argument[0].as_str().unwrap();
                self.must_be_made(name);
                Some(attribute(name, argument[1].as_str().unwrap()).into())
            }
            "Fn::Sub" => Some(self.substitute(argument).into()),
            "Fn::Select" => Some(json!(format!("{REGION}a"))),
            other => panic!("{other} is not known here"),
        }
    }

    fn reference(&self, name: &str) -> Option<Value> {
        Some(match name {
            "AWS::NoValue" => return None,
            "AWS::Partition" => json!("aws"),
            "AWS::AccountId" => json!(ACCOUNT),
            "AWS::Region" => json!(REGION),
            "AWS::StackName" => json!("files"),
            name => match self.parameters.get(name) {
                Some(value) => json!(value),
                None => {
                    self.must_be_made(name);
                    json!(attribute(name, "Ref"))
                }
            },
        })
    }

    /// A text with `${…}`, or one with a map of names.
    fn substitute(&self, argument: &Value) -> String {
        let (text, names) = match argument {
            Value::String(text) => (text.as_str(), None),
            both => (both[0].as_str().unwrap(), both[1].as_object()),
        };
        let mut parts = text.split("${");
        let mut made = parts.next().unwrap().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap();
            let value = match (names.and_then(|names| names.get(name)), name.split_once('.')) {
                (Some(value), _) => self.resolve(value).unwrap(),
                (None, Some((resource, of))) => self.call("Fn::GetAtt", &json!([resource, of])).unwrap(),
                (None, None) => self.reference(name).unwrap(),
            };
            made += value.as_str().unwrap();
            made += rest;
        }
        made
    }

    fn must_be_made(&self, name: &str) {
        let resource = self.template["Resources"].get(name).unwrap_or_else(|| panic!("there is no {name}"));
        assert!(self.is_made(resource), "{name} is not made with {:?}", self.parameters);
    }
}

/// What a made resource is called by AWS.
fn attribute(name: &str, of: &str) -> String {
    let file_system = format!("arn:aws:s3files:{REGION}:{ACCOUNT}:file-system/fs-0123456789abcdef0");
    match (name, of) {
        ("Bucket", "Ref") => "files-bucket-1".to_owned(),
        ("Bucket", "Arn") => "arn:aws:s3:::files-bucket-1".to_owned(),
        ("FileSystem", "FileSystemArn") => file_system,
        ("AccessPoint", "AccessPointArn") => file_system + "/access-point/fsap-0123456789abcdef0",
        _ => format!("{name}.{of}"),
    }
}

/// A map of one function, if it is one.
fn function(value: &Value) -> Option<(&str, &Value)> {
    let map = value.as_object().filter(|map| map.len() == 1)?;
    let (name, argument) = map.iter().next()?;
    let is_function =
        name.starts_with("Fn::") || name == "Ref" || (name == "Condition" && argument.is_string());
    is_function.then_some((name.as_str(), argument))
}
