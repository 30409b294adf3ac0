//! Credentials as the SDK's chain finds them, for other programs.

use std::fmt;
use std::time::SystemTime;

use aws_sdk_s3::config::ProvideCredentials;
use aws_sdk_s3::config::SharedHttpClient;

use super::client::{http_client, load};
use super::profile::Profile;
use super::{ConnectError, S3Options};

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

    /// What it finds now: files are read anew, as a login may have changed them. With a hint where the profile has one.
    pub async fn obtain(&self) -> Result<Keys, Box<dyn std::error::Error + Send + Sync>> {
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
