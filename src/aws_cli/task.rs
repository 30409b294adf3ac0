//! The task of a service of ECS, as Systems Manager names it.

use super::{AwsCli, AwsCliError};

impl AwsCli {
    /// The target for sessions with the task that runs now: `ecs:CLUSTER_TASK_RUNTIME`. Another task has another one.
    pub async fn session_target(&self, cluster: &str, service: &str) -> Result<String, AwsCliError> {
        let asked = ["ecs", "list-tasks", "--cluster", cluster, "--service-name", service];
        let answer = self.ask(&[&asked[..], &["--desired-status", "RUNNING"]].concat()).await?;
        let Some(arn) = answer["taskArns"][0].as_str() else {
            return Err(AwsCliError::NoTask("ECS has not started it yet".to_owned()));
        };
        let answer = self.ask(&["ecs", "describe-tasks", "--cluster", cluster, "--tasks", arn]).await?;
        let found = &answer["tasks"][0];
        let status = found["lastStatus"].as_str().unwrap_or("an unknown state");
        let id = arn.rsplit('/').next().unwrap_or_default();
        match found["containers"][0]["runtimeId"].as_str() {
            Some(runtime) if status == "RUNNING" => Ok(format!("ecs:{cluster}_{id}_{runtime}")),
            _ => Err(AwsCliError::NoTask(format!("it is in {status}"))),
        }
    }
}
