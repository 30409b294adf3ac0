//! The AWS command line: the one door to CloudFormation, ECS and SSM.
//!
//! Sessions of SSM need it in any case, so no further SDK is built in. Every call has a time limit. Nothing secret is
//! in an argument: what is secret goes in by a private file, and comes back on standard output.

mod error;
mod task;

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::process;

pub use error::AwsCliError;

/// The program, and for whom it acts.
#[derive(Debug, Clone)]
pub struct AwsCli {
    program: PathBuf,
    profile: Option<String>,
    region: String,
}

impl AwsCli {
    /// The one in the path. `region`: where it is not given, the environment or the configuration must say it.
    pub async fn find(profile: Option<String>, region: Option<String>) -> Result<Self, AwsCliError> {
        let program =
            process::of_user("aws").ok_or(AwsCliError::Missing { program: "aws", install: INSTALL })?;
        let mut cli = Self { program, profile, region: String::new() };
        cli.region = match region.or_else(region_of_environment) {
            Some(region) => region,
            None => cli.configured_region().await?,
        };
        Ok(cli)
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    /// The same for another region.
    pub fn in_region(&self, region: &str) -> Self {
        Self { region: region.to_owned(), ..self.clone() }
    }

    /// A command line. The environment is the user's own, with his credentials; nothing of ours is in it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("S3DAV_"))
        {
            command.env_remove(name);
        }
        // A pager would wait for somebody, and colours would be in the way.
        command.env("AWS_PAGER", "").args(arguments).args(["--output", "json", "--color", "off"]);
        if !self.region.is_empty() {
            command.args(["--region", &self.region]);
        }
        if let Some(profile) = &self.profile {
            command.args(["--profile", profile]);
        }
        command
    }

    /// Runs a command to its end; gives what it printed.
    pub async fn run(&self, arguments: &[&str]) -> Result<String, AwsCliError> {
        let done = process::run(self.command(arguments), LIMIT).await;
        done.map_err(|source| AwsCliError::Failed { call: call(arguments), source })
    }

    /// The same of a command that prints JSON; none is null.
    pub async fn ask(&self, arguments: &[&str]) -> Result<Value, AwsCliError> {
        let printed = self.run(arguments).await?;
        if printed.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&printed)
            .map_err(|source| AwsCliError::Unreadable { call: call(arguments), source })
    }

    async fn configured_region(&self) -> Result<String, AwsCliError> {
        // It ends with 1 where there is none.
        let said = self.run(&["configure", "get", "region"]).await;
        said.ok().filter(|region| !region.is_empty()).ok_or(AwsCliError::NoRegion)
    }
}

/// The plugin by which `aws` holds sessions of SSM.
pub fn session_plugin() -> Result<PathBuf, AwsCliError> {
    process::of_user(PLUGIN).ok_or(AwsCliError::Missing { program: PLUGIN, install: INSTALL_PLUGIN })
}

/// The service and the operation.
fn call(arguments: &[&str]) -> String {
    arguments.iter().take(2).copied().collect::<Vec<_>>().join(" ")
}

/// The region that the environment names, as all of AWS's tools read it.
pub fn region_of_environment() -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"))
}

/// For one call; credentials may have to be fetched first.
const LIMIT: Duration = Duration::from_secs(60);
const PLUGIN: &str = "session-manager-plugin";
const INSTALL: &str = if cfg!(target_os = "macos") {
    "install it: `brew install awscli`, then sign in with `aws configure sso`"
} else {
    "install it: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html, then sign in with \
     `aws configure sso`"
};
const INSTALL_PLUGIN: &str = if cfg!(target_os = "macos") {
    "install it: `brew install --cask session-manager-plugin`"
} else {
    "install it: https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html"
};
