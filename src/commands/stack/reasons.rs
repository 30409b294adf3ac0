//! Why a change of a stack failed, as CloudFormation's events tell it.

use serde_json::Value;

/// The first resource that failed in the last change, with what AWS said. `events`: the answer of
/// `describe-stack-events`, newest first.
pub(super) fn first_failure(events: &Value, stack_id: &str) -> Option<String> {
    let events = events.get("StackEvents")?.as_array()?;
    let text =
        |event: &Value, name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let begins = |event: &&Value| {
        let is_of_stack = text(event, "PhysicalResourceId") == stack_id;
        is_of_stack && BEGINNINGS.contains(&text(event, "ResourceStatus").as_str())
    };
    let change = events.iter().take_while(|event| !begins(event));
    let failed = change.filter(|event| {
        let reason = text(event, "ResourceStatusReason");
        text(event, "ResourceStatus").ends_with("_FAILED") && !reason.to_lowercase().contains(FOLLOWS)
    });
    let first = failed.last()?;
    Some(format!("{}: {}", text(first, "LogicalResourceId"), text(first, "ResourceStatusReason")))
}

/// What helps against a cause.
pub(super) fn advice(cause: &str) -> Option<&'static str> {
    let cause = cause.to_lowercase();
    let known = ADVICE.iter().find(|(words, _)| words.iter().any(|word| cause.contains(word)));
    known.map(|(_, advice)| *advice)
}

/// Of a stack, when a change of it begins.
const BEGINNINGS: [&str; 3] = ["CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS"];
/// Of resources that were given up because another one failed.
const FOLLOWS: &str = "cancelled";

const ADVICE: &[(&[&str], &str)] = &[
    (
        &["circuit breaker", "failed to stabilize", "did not stabilize"],
        "see the task's log in CloudWatch: the image may be for another processor (--architecture), or \
         cannot be pulled",
    ),
    (
        &["is in use", "already assigned", "address in use"],
        "the address was taken in the meantime: the next try picks another",
    ),
    (&["internet gateway"], "name a public subnet, whose VPC has an internet gateway"),
    (&["versioning"], "turn on versioning of the bucket"),
    (
        &["is not authorized", "accessdenied", "access denied"],
        "ask for the rights that `s3dav stack template --iam` prints",
    ),
    (
        &["limit", "quota", "maximum number"],
        "raise the quota of the account in the console under Service Quotas",
    ),
    (&["already exists"], "delete what has that name, or give the stack another name"),
    (
        &["unrecognized resource type", "not supported in this region", "not available in"],
        "choose a region that has Amazon S3 Files",
    ),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_failure_of_the_last_change_is_the_cause() {
        let event = |id: &str, resource: &str, status: &str, reason: &str| {
            json!({ "PhysicalResourceId": id, "LogicalResourceId": resource, "ResourceStatus": status,
                    "ResourceStatusReason": reason })
        };
        let events = json!({ "StackEvents": [
            event("arn", "files", "UPDATE_ROLLBACK_IN_PROGRESS", "The following resource(s) failed"),
            event("", "TaskGroup", "UPDATE_FAILED", "Resource update cancelled"),
            event("", "MountTarget", "UPDATE_FAILED", "The address 10.0.0.9 is in use"),
            event("arn", "files", "UPDATE_IN_PROGRESS", "User Initiated"),
            event("", "Vpc", "CREATE_FAILED", "of long ago"),
        ] });
        let cause = first_failure(&events, "arn").unwrap();
        assert_eq!(cause, "MountTarget: The address 10.0.0.9 is in use");
        assert!(advice(&cause).unwrap().contains("picks another"));
        assert_eq!(first_failure(&json!({ "StackEvents": [] }), "arn"), None);
        assert_eq!(first_failure(&Value::Null, "arn"), None);
        assert_eq!(advice("something new"), None);
    }
}
