//! What `aws` says when it fails, and what can be done.

use crate::process::ProcessError;

/// Why a call of `aws` came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum AwsCliError {
    #[error("{program} was not found in PATH")]
    Missing { program: &'static str, install: &'static str },
    #[error("no region is set")]
    NoRegion,
    #[error("the task is not running: {0}")]
    NoTask(String),
    #[error("`aws {call}` failed")]
    Failed { call: String, source: ProcessError },
    #[error("`aws {call}` printed an incomplete answer")]
    Incomplete { call: &'static str },
    #[error("`aws {call}` printed something that s3dav cannot parse")]
    Unreadable { call: String, source: serde_json::Error },
}

impl AwsCliError {
    /// Whether it failed with these words, in whatever case.
    pub fn says(&self, words: &str) -> bool {
        matches!(self, Self::Failed { source, .. } if source.says(words))
    }

    /// Whether AWS has surely not done it: it said why not. That it had trouble of its own says nothing.
    pub fn is_refusal(&self) -> bool {
        let unknown =
            ["internalfailure", "internalerror", "serviceunavailable", "requesttimeout", "timed out"];
        self.says("an error occurred (") && !unknown.iter().any(|word| self.says(word))
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let source = match self {
            Self::Missing { install, .. } => return Some((*install).to_owned()),
            Self::NoRegion => return Some("add --region, such as --region eu-west-1".to_owned()),
            Self::Incomplete { .. } | Self::Unreadable { .. } => {
                return Some("version 2 of the AWS CLI is needed".to_owned());
            }
            Self::NoTask(_) => return Some("wait until ECS has started it, then try again".to_owned()),
            Self::Failed { source, .. } => source,
        };
        if let ProcessError::TooSlow { .. } = source {
            return Some("check that `aws sts get-caller-identity` works, then try again".to_owned());
        }
        let known = HINTS.iter().find(|(words, _)| words.iter().any(|word| source.says(word)));
        known.map(|(_, hint)| (*hint).to_owned())
    }
}

/// Words, in small letters, and what helps; the first row that fits counts.
const HINTS: &[(&[&str], &str)] = &[
    (
        &[
            "expiredtoken",
            "requestexpired",
            "token has expired",
            "token included in the request is expired",
            "error loading sso token",
            "sso session associated with this profile",
            "error when retrieving token from sso",
        ],
        "the sign-in has expired: run `aws sso login` (with --profile NAME unless it is the default \
         profile), then try again",
    ),
    (
        &["unable to locate credentials", "nocredentials", "partial credentials found"],
        "sign in with `aws sso login`, set up keys with `aws configure`, or name a profile with --profile",
    ),
    (&["config profile"], "`aws configure list-profiles` lists the profiles"),
    (
        &["invalidclienttokenid", "unrecognizedclient", "signaturedoesnotmatch", "authfailure"],
        "AWS does not know these keys: check them with `aws sts get-caller-identity`",
    ),
    (
        &["accessdenied", "unauthorizedoperation", "not authorized to perform"],
        "ask for the rights that `s3dav stack template --iam` prints",
    ),
    (
        &[
            "could not connect to the endpoint",
            "endpoint url",
            "name or service not known",
            "connection reset",
        ],
        "AWS cannot be reached: check the network and the name of the region",
    ),
    (
        &["throttling", "rate exceeded", "toomanyrequests"],
        "AWS is throttling requests: try again in a minute",
    ),
    (
        &["limitexceeded", "quotaexceeded", "limit exceeded", "maximum number of"],
        "a quota of the account is used up: raise it in the console under Service Quotas, or remove what is not needed",
    ),
    (
        &["invalid choice", "unknown options", "unrecognized arguments"],
        "this AWS CLI is too old: version 2 is needed",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(words: &str) -> AwsCliError {
        let source = ProcessError::Failed { program: "aws".into(), code: 254, words: words.to_owned() };
        AwsCliError::Failed { call: "cloudformation describe-stacks".to_owned(), source }
    }

    #[test]
    fn what_aws_says_has_its_hint() {
        for (words, hint) in [
            (
                "An error occurred (ExpiredToken) when calling the DescribeStacks operation: The security token \
                 included in the request is expired",
                "aws sso login",
            ),
            ("Error when retrieving token from sso: Token has expired and refresh failed", "aws sso login"),
            ("Error loading SSO Token: Token for work does not exist", "aws sso login"),
            (
                "Unable to locate credentials. You can configure credentials by running \"aws login\".",
                "`aws sso login`, set up keys with `aws configure`",
            ),
            ("The config profile (work) could not be found", "list-profiles"),
            (
                "An error occurred (AccessDenied) when calling the CreateStack operation: User: arn:aws:iam::1:user/u \
                 is not authorized to perform: cloudformation:CreateStack on resource: x",
                "stack template --iam",
            ),
            (
                "An error occurred (InvalidClientTokenId) when calling the DescribeStacks operation",
                "does not know",
            ),
            ("Could not connect to the endpoint URL: \"https://ssm.eu-x-9.amazonaws.com/\"", "region"),
            (
                "An error occurred (Throttling) when calling the DescribeStacks operation: Rate exceeded",
                "throttling",
            ),
            ("An error occurred (LimitExceededException) when calling the CreateStack operation", "quota"),
            ("aws: error: argument command: Invalid choice, valid choices are:", "too old"),
        ] {
            let found = failed(words).hint().unwrap_or_default();
            assert!(found.contains(hint), "{words}: {found}");
        }
        assert_eq!(failed("something new").hint(), None);
        assert!(
            failed("An error occurred (AccessDenied) when calling the CreateStack operation").is_refusal()
        );
        for words in ["Read timeout on endpoint URL", "An error occurred (ServiceUnavailable) when calling"] {
            assert!(!failed(words).is_refusal(), "{words}");
        }
        assert!(failed("Stack with id x does not exist").says("does not exist"));
    }
}
