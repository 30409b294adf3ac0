//! A stack by its name, in an account and a region.

use anyhow::anyhow;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::CommandError;
use super::super::words::lasted;
use super::{mistaken, reasons};
use crate::aws_cli::{AwsCli, AwsCliError};
use crate::cli::{AwsArgs, StackNamedArgs, StackTimes};
use crate::stack::{Found, Outputs, Phase, StackName};

/// A stack that there may be.
pub(super) struct Handle {
    pub(super) aws: AwsCli,
    pub(super) name: StackName,
    pub(super) times: StackTimes,
}

impl Handle {
    pub(super) async fn of(args: StackNamedArgs) -> Result<Self, CommandError> {
        Self::new(&args.name, args.aws).await
    }

    pub(super) async fn new(name: &str, args: AwsArgs) -> Result<Self, CommandError> {
        let name = name.parse().map_err(mistaken)?;
        let AwsArgs { region, profile, times } = args;
        Ok(Self { aws: AwsCli::find(profile, region).await?, name, times })
    }

    /// What there is of that name.
    pub(super) async fn find(&self) -> Result<Option<Found>, CommandError> {
        match self.look(self.name.as_str()).await {
            // Other things may not exist, either: a profile's token, for one.
            Err(error) if error.says("stack with id") && error.says("does not exist") => Ok(None),
            found => Ok(Some(found?)),
        }
    }

    /// The same where there must be one that this program made.
    pub(super) async fn existing(&self) -> Result<Found, CommandError> {
        self.own(self.find().await?.ok_or_else(|| self.missing())?)
    }

    pub(super) fn missing(&self) -> CommandError {
        CommandError::hinted(
            anyhow!("there is no stack {} in {}", self.name, self.aws.region()),
            format!("`s3dav stack up {}` creates it; --region and --profile look elsewhere", self.name),
        )
    }

    /// Refuses to touch a stack of somebody else's.
    pub(super) fn own(&self, found: Found) -> Result<Found, CommandError> {
        if found.is_ours {
            return Ok(found);
        }
        Err(CommandError::hinted(
            anyhow!("the stack {} was not created by s3dav, and is left alone", self.name),
            "name another stack",
        ))
    }

    /// The outputs of one that is there and well.
    pub(super) fn outputs(&self, found: &Found) -> Result<Outputs, CommandError> {
        found.outputs().map_err(|error| {
            let error = anyhow::Error::new(error)
                .context(format!("the outputs of the stack {} cannot be read", self.name));
            CommandError::hinted(
                error,
                format!("run `s3dav stack up {}` with this version to update it", self.name),
            )
        })
    }

    /// An error where nothing can be changed now.
    pub(super) fn changeable(&self, found: &Found) -> Result<(), CommandError> {
        self.obstacle(found).map_or(Ok(()), Err)
    }

    /// Why nothing can be changed now; `None` if it can.
    pub(super) fn obstacle(&self, found: &Found) -> Option<CommandError> {
        let name = &self.name;
        let hint = match found.phase() {
            Phase::Ready | Phase::Gone => return None,
            Phase::UnderWay => {
                format!("wait until `s3dav stack status {name}` shows that it has finished, then try again")
            }
            Phase::Stillborn | Phase::HalfRemoved => {
                format!("`s3dav stack down {name}` deletes what is left of it; a bucket with files is kept")
            }
            Phase::Stuck => format!(
                "run `aws cloudformation continue-update-rollback --stack-name {name}` to roll it back"
            ),
        };
        let reason = found.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        Some(CommandError::hinted(anyhow!("the stack {name} is in state {}{reason}", found.status), hint))
    }

    /// That there is none AWS says by an error, and never by an answer without it.
    async fn look(&self, name: &str) -> Result<Found, AwsCliError> {
        let answer = self.aws.ask(&["cloudformation", "describe-stacks", "--stack-name", name]).await?;
        Found::parse(&answer).ok_or(AwsCliError::Incomplete { call: "cloudformation describe-stacks" })
    }

    /// Waits until what is being done to a stack has come to its end, whatever that is. `id`: its ARN, which is known
    /// after its end, too.
    pub(super) async fn follow(&self, id: &str) -> Result<Found, CommandError> {
        let until = Instant::now() + self.times.change_limit.0;
        let mut failures = 0;
        let mut told = String::new();
        while Instant::now() < until {
            match self.look(id).await {
                Ok(found) if found.phase() != Phase::UnderWay => return Ok(found),
                Ok(found) => {
                    failures = 0;
                    if told != found.status {
                        tell!("{}: {}", self.name, found.status);
                        told = found.status;
                    }
                }
                Err(error) if failures < PATIENCE => {
                    tracing::debug!(%error, "the stack cannot be looked up");
                    failures += 1;
                }
                Err(error) => {
                    tell!(
                        "the change of {} continues; `s3dav stack status {}` shows it",
                        self.name,
                        self.name
                    );
                    return Err(error.into());
                }
            }
            sleep(self.times.poll_interval.0).await;
        }
        let limit = lasted(self.times.change_limit.0.as_secs());
        Err(self.goes_on(&format!("it has not finished within {limit}")))
    }

    fn goes_on(&self, why: &str) -> CommandError {
        CommandError::hinted(
            anyhow!("the stack {}: {why}", self.name),
            format!("it continues without this command; `s3dav stack status {}` shows it", self.name),
        )
    }

    /// Why the last change of a stack came to nothing, by the first of its resources that failed.
    pub(super) async fn failure(&self, found: &Found) -> CommandError {
        let asked =
            ["cloudformation", "describe-stack-events", "--stack-name", &found.id, "--max-items", EVENTS];
        let events = self.aws.ask(&asked).await.unwrap_or(Value::Null);
        let cause = reasons::first_failure(&events, &found.id).or_else(|| found.reason.clone());
        let shown = cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
        let error = anyhow!("the stack {} ended in {}{shown}", self.name, found.status);
        let step = match found.phase() {
            Phase::Stillborn => format!("then `s3dav stack down {}`, and again", self.name),
            Phase::HalfRemoved => format!("then `s3dav stack down {}` again", self.name),
            Phase::Stuck => {
                format!("then `aws cloudformation continue-update-rollback --stack-name {}`", self.name)
            }
            _ => "then try again; the previous state was restored".to_owned(),
        };
        let advice = cause.as_deref().and_then(reasons::advice).unwrap_or("fix that");
        CommandError::hinted(error, format!("{advice}, {step}"))
    }
}

/// Looks in a row that may fail while a stack is followed.
const PATIENCE: u32 = 3;
/// Enough for all that happens to a stack of this size in one change.
const EVENTS: &str = "300";
