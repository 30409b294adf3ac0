//! A stack as `aws cloudformation describe-stacks` shows it.

use std::collections::BTreeMap;

use serde_json::Value;

/// A stack that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its ARN, by which it is found after its end, too.
    pub id: String,
    pub status: String,
    /// Why it has that status, if AWS says so.
    pub reason: Option<String>,
    /// Whether it was made of this program's template.
    pub is_ours: bool,
    pub parameters: BTreeMap<String, String>,
    outputs: BTreeMap<String, String>,
}

/// What can be done with a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Ready,
    /// Something is being done to it.
    UnderWay,
    /// It never came to be, and can only be removed.
    Stillborn,
    /// Neither the new state nor the old one could be reached.
    Stuck,
    /// Its removal failed.
    HalfRemoved,
    Gone,
}

/// What the template tells of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    pub region: String,
    pub bucket: String,
    /// Empty, or ends in a slash.
    pub prefix: String,
    pub read_only: bool,
    pub file_system: String,
    pub access_point: String,
    pub az_id: String,
    pub client_policy: String,
    pub cluster: String,
    pub service: String,
    /// Whether the task is meant to run.
    pub running: bool,
    pub port: u16,
    pub password_parameter: String,
    /// Host name of the load balancer, if there is one.
    pub load_balancer: Option<String>,
}

/// Why the outputs say nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoOutputs {
    #[error("it is not a stack of s3dav: it has no output S3davVersion")]
    Foreign,
    #[error("it was created by another version of s3dav: its outputs have version {0}")]
    Version(String),
    #[error("its output {0} is missing")]
    Missing(&'static str),
}

impl Found {
    /// Reads the answer of `describe-stacks`.
    pub fn parse(answer: &Value) -> Option<Self> {
        let stack = answer.get("Stacks")?.as_array()?.first()?;
        let text = |name: &str| stack.get(name).and_then(Value::as_str).map(str::to_owned);
        let outputs = pairs(stack, "Outputs", "OutputKey", "OutputValue");
        let tags = pairs(stack, "Tags", "Key", "Value");
        Some(Self {
            id: text("StackId")?,
            status: text("StackStatus")?,
            reason: text("StackStatusReason").filter(|reason| !reason.is_empty()),
            // One that never came to be has no outputs.
            is_ours: tags.contains_key(TAG) || outputs.contains_key(VERSION_OUTPUT),
            parameters: pairs(stack, "Parameters", "ParameterKey", "ParameterValue"),
            outputs,
        })
    }

    pub fn phase(&self) -> Phase {
        match self.status.as_str() {
            "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_COMPLETE" => {
                Phase::Ready
            }
            "REVIEW_IN_PROGRESS" | "CREATE_FAILED" | "ROLLBACK_COMPLETE" | "ROLLBACK_FAILED" => {
                Phase::Stillborn
            }
            "DELETE_FAILED" => Phase::HalfRemoved,
            "DELETE_COMPLETE" => Phase::Gone,
            status if status.ends_with("_IN_PROGRESS") => Phase::UnderWay,
            _ => Phase::Stuck,
        }
    }

    /// Whether it was made anew or changed as it was told.
    pub fn is_done(&self) -> bool {
        ["CREATE_COMPLETE", "UPDATE_COMPLETE"].contains(&self.status.as_str())
    }

    /// Whether its task is to run, now or when the change has ended.
    pub fn is_meant_to_run(&self) -> bool {
        self.parameters.get("Running").is_none_or(|number| number != "0")
    }

    /// Whether its task is for ARM.
    pub fn is_arm(&self) -> bool {
        self.parameters.get("Architecture").is_none_or(|name| name == "ARM64")
    }

    pub fn outputs(&self) -> Result<Outputs, NoOutputs> {
        let version = self.outputs.get(VERSION_OUTPUT).ok_or(NoOutputs::Foreign)?;
        if version != VERSION {
            return Err(NoOutputs::Version(version.clone()));
        }
        let text = |name: &'static str| self.outputs.get(name).cloned().ok_or(NoOutputs::Missing(name));
        Ok(Outputs {
            region: text("Region")?,
            bucket: text("BucketName")?,
            prefix: text("BucketPrefix").unwrap_or_default(),
            read_only: text("ReadOnly")? == "true",
            file_system: text("FileSystemId")?,
            access_point: text("AccessPointId")?,
            az_id: text("AvailabilityZoneId")?,
            client_policy: text("ClientPolicyArn")?,
            cluster: text("ClusterName")?,
            service: text("ServiceName")?,
            running: text("Running")? != "0",
            port: text("GatewayPort")?.parse().map_err(|_| NoOutputs::Missing("GatewayPort"))?,
            password_parameter: text("PasswordParameter")?,
            load_balancer: text("LoadBalancerName").ok(),
        })
    }
}

impl Outputs {
    /// The bucket as an option names it.
    pub fn source(&self) -> String {
        match self.prefix.trim_end_matches('/') {
            "" => self.bucket.clone(),
            prefix => format!("{}/{prefix}", self.bucket),
        }
    }
}

/// A list of objects that have a key and a value.
fn pairs(stack: &Value, list: &str, key: &str, value: &str) -> BTreeMap<String, String> {
    let entries = stack.get(list).and_then(Value::as_array).into_iter().flatten();
    let text = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
    entries.filter_map(|entry| Some((text(entry, key)?, text(entry, value)?))).collect()
}

/// Tag of all stacks that `s3dav stack up` has made.
pub const TAG: &str = "s3dav";
const VERSION_OUTPUT: &str = "S3davVersion";
/// Of the outputs, as the template has it.
const VERSION: &str = "1";

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A stack with the outputs of the template, and these besides or in their place; null takes one away.
    pub fn found(more: &[(&str, Option<&str>)]) -> Found {
        let mut outputs: BTreeMap<&str, Option<&str>> = BTreeMap::from([
            ("S3davVersion", Some("1")),
            ("Region", Some("eu-west-1")),
            ("BucketName", Some("photos")),
            ("ReadOnly", Some("false")),
            ("FileSystemId", Some("fs-0123456789abcdef0")),
            ("AccessPointId", Some("fsap-0123456789abcdef0")),
            ("AvailabilityZoneId", Some("euw1-az1")),
            ("ClientPolicyArn", Some("arn:aws:iam::123456789012:policy/p")),
            ("ClusterName", Some("c")),
            ("ServiceName", Some("s")),
            ("Running", Some("1")),
            ("GatewayPort", Some("8330")),
            ("PasswordParameter", Some("/s3dav/files/password")),
        ]);
        outputs.extend(more.iter().copied());
        let outputs: Vec<Value> = outputs
            .iter()
            .filter_map(|(key, value)| Some(json!({ "OutputKey": key, "OutputValue": (*value)? })))
            .collect();
        let stack = json!({ "StackId": "arn:x", "StackStatus": "CREATE_COMPLETE", "Outputs": outputs });
        Found::parse(&json!({ "Stacks": [stack] })).unwrap()
    }

    #[test]
    fn outputs_are_read_and_what_is_not_ours_is_told() {
        let outputs = found(&[("BucketPrefix", Some("team/"))]).outputs().unwrap();
        assert_eq!((outputs.source().as_str(), outputs.load_balancer), ("photos/team", None));
        assert_eq!(found(&[]).outputs().unwrap().source(), "photos");
        assert_eq!(found(&[("S3davVersion", None)]).outputs(), Err(NoOutputs::Foreign));
        assert_eq!(found(&[("S3davVersion", Some("2"))]).outputs(), Err(NoOutputs::Version("2".to_owned())));
        assert_eq!(found(&[("Region", None)]).outputs(), Err(NoOutputs::Missing("Region")));
    }

    #[test]
    fn each_status_says_what_can_be_done() {
        let phase = |status: &str| Found { status: status.to_owned(), ..found(&[]) }.phase();
        for (status, expected) in [
            ("CREATE_COMPLETE", Phase::Ready),
            ("UPDATE_ROLLBACK_COMPLETE", Phase::Ready),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", Phase::UnderWay),
            ("ROLLBACK_IN_PROGRESS", Phase::UnderWay),
            ("REVIEW_IN_PROGRESS", Phase::Stillborn),
            ("ROLLBACK_COMPLETE", Phase::Stillborn),
            ("UPDATE_ROLLBACK_FAILED", Phase::Stuck),
            ("DELETE_FAILED", Phase::HalfRemoved),
            ("DELETE_COMPLETE", Phase::Gone),
        ] {
            assert_eq!(phase(status), expected, "{status}");
        }
    }
}
