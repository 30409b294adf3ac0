//! Credentials as the SDK's chain finds them, for other programs.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::ProvideCredentials;
use aws_sdk_s3::config::SharedHttpClient;
use tokio::time::timeout;

use super::client::{http_client, load};
use super::profile::Profile;
use super::{ConnectError, S3Options};
use crate::logging::with_causes;

/// What signs requests. No log shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    pub access_key: String,
    pub secret: String,
    /// Of a session.
    pub token: Option<String>,
    pub expires: Option<SystemTime>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Keys {
    /// How long they last; `None`: for ever.
    pub fn left(&self) -> Option<Duration> {
        self.expires.map(|end| end.duration_since(SystemTime::now()).unwrap_or_default())
    }

    pub fn is_valid(&self) -> bool {
        self.left().is_none_or(|left| !left.is_zero())
    }
}

/// Why there are no valid ones now.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct NoKeys {
    pub message: String,
    /// What to do, where it is not to sign in.
    pub hint: Option<String>,
}

/// The chain of a region and a profile, or of what the environment says of them.
#[derive(Debug)]
pub struct Chain {
    options: S3Options,
    http: SharedHttpClient,
}

impl Chain {
    pub async fn new(region: Option<String>, profile: Option<String>) -> Result<Self, ConnectError> {
        let options = S3Options { region, profile, ..S3Options::default() };
        let http = http_client(&options).await?;
        Ok(Self { options, http })
    }

    /// What it finds now and is valid, within a time.
    pub async fn valid(&self) -> Result<Keys, NoKeys> {
        let (message, hint) = match timeout(PATIENCE, self.obtain()).await {
            Ok(Ok(keys)) if keys.is_valid() => return Ok(keys),
            Ok(Ok(_)) => ("the credentials that were found have expired".to_owned(), None),
            Ok(Err(error)) => {
                (with_causes(&*error), error.downcast_ref::<ConnectError>().map(ConnectError::hint))
            }
            Err(_) => (format!("no credentials within {PATIENCE:?}"), None),
        };
        Err(NoKeys { message, hint })
    }

    /// What it finds now: files are read anew, as a login may have changed them. With a hint where the profile has one.
    async fn obtain(&self) -> Result<Keys, Box<dyn std::error::Error + Send + Sync>> {
        let Profile { hint, .. } = Profile::read(&self.options).await?;
        let config = load(&self.options, &self.http).await;
        let provider = config.credentials_provider().ok_or("the chain is empty")?;
        match provider.provide_credentials().await {
            Ok(keys) => Ok(Keys {
                access_key: keys.access_key_id().to_owned(),
                secret: keys.secret_access_key().to_owned(),
                token: keys.session_token().map(str::to_owned),
                expires: keys.expiry(),
            }),
            Err(error) => match hint {
                Some(hint) => Err(format!("{error}; {hint}").into()),
                None => Err(error.into()),
            },
        }
    }
}

/// Of one look through the chain, whose slowest link is a metadata service that is not there.
const PATIENCE: Duration = Duration::from_secs(20);
