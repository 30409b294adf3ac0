//! What the user can do about a failure of the store.
//!
//! No hint asks for what was given already, and where a name is needed it is that one.
//!
//! A process serves one configuration, so it is said once, at the start.

use std::sync::OnceLock;

use super::obstacle::{CertificateFault, Obstacle};
use super::{NotFoundAnywhere, NotSignedIn, Setting, StoreError};

/// Options that hints depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GivenOptions {
    pub profile: Option<String>,
    /// A file of certificates.
    pub ca_bundle: Option<String>,
    /// A server that is not AWS itself.
    pub has_endpoint: bool,
    /// `--force-path-style=false`: the bucket's name stands in the host.
    pub names_hosts: bool,
    /// Checksums are sent with all that is stored.
    pub sends_checksums: bool,
}

/// Says what this process was given. Only the first time counts.
pub fn note_given(given: GivenOptions) {
    let _ = GIVEN.set(given);
}

/// What this process was given; nothing, if nobody has said it.
pub fn given() -> &'static GivenOptions {
    GIVEN.get_or_init(GivenOptions::default)
}

impl StoreError {
    /// What the user can do about it, as the text behind `hint:`.
    pub fn hint(&self) -> Option<String> {
        self.hint_with(given())
    }

    /// The same where that was given.
    pub fn hint_with(&self, given: &GivenOptions) -> Option<String> {
        if let Some(hint) = of(self, given) {
            return hint;
        }
        let hint = match self {
            Self::AccessDenied(_) => "check the policy of the bucket and of the credentials in use",
            Self::NoSuchBucket => "check the spelling, the account and --endpoint-url",
            Self::WrongRegion(_) => "name the bucket's own region with --region",
            Self::ClockSkew => "set this machine's clock (S3 tolerates 15 minutes)",
            Self::Blocked(obstacle) => obstacle.hint(),
            Self::InvalidBucket(_) => {
                "a bucket name has 3 to 63 lower-case letters, digits, dots and hyphens, and begins and ends \
                 with a letter or a digit"
            }
            Self::SettingRefused { setting: Setting::StorageClass, .. } => {
                "choose another one, which this store supports, with --storage-class, or leave it out for the bucket's \
                 own"
            }
            Self::SettingRefused { setting: Setting::Encryption, .. } => {
                "check --sse and --sse-kms-key-id, the key that the bucket encrypts with, and whether these \
                 credentials may use it"
            }
            Self::Unavailable(_) => "check the network, the proxy settings and --endpoint-url",
            Self::SlowDown(_) => "the bucket is busy; s3dav slows down by itself",
            Self::EarlierChange => "try again later; `s3dav pending` lists what is on its way",
            Self::Archived(_) => {
                "restore it with `aws s3api restore-object`; it costs money, so s3dav never does"
            }
            Self::ChecksumDemanded(_) => {
                "start the gateway with --checksums when-supported (Object Lock requires a checksum for each \
                 object)"
            }
            Self::UnreadableKeys(_) => "rename or delete them with another tool",
            Self::InvalidAnswer(_) => {
                "something between here and S3 answers in its place: a captive portal or a proxy?"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// What is wrong with the whole bucket, and what to do; `None` where it concerns one request alone.
    pub fn trouble(&self) -> Option<(String, String)> {
        let concerns_all = matches!(
            self,
            Self::Credentials(_)
                | Self::NoSuchBucket
                | Self::WrongRegion(_)
                | Self::ClockSkew
                | Self::Unavailable(_)
                | Self::Blocked(_)
                | Self::SettingRefused { .. }
                | Self::InvalidAnswer(_)
        );
        concerns_all.then(|| (self.to_string(), self.hint().unwrap_or_default()))
    }
}

/// The hints that depend on what was given. `Some(None)`: there is nothing to advise.
fn of(error: &StoreError, given: &GivenOptions) -> Option<Option<String>> {
    Some(Some(match error {
        StoreError::Credentials(cause) => {
            if let Some(NotSignedIn { hint, .. }) = cause.downcast_ref() {
                return Some(Some(hint.clone()));
            }
            let is_nowhere = cause.is::<NotFoundAnywhere>() && given.profile.is_none();
            if is_nowhere {
                let step =
                    "set them up with `aws configure`, or as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY";
                return Some(Some(format!("{step}{GOES_ON}")));
            }
            let profile = given.profile.as_ref().map(|name| format!(" --profile {name}")).unwrap_or_default();
            format!(
                "renew them (`aws sso login{profile}`) or set them up (`aws configure{profile}`){GOES_ON}"
            )
        }
        StoreError::Blocked(Obstacle::Certificate(CertificateFault::Unknown)) => {
            let file = given.ca_bundle.as_ref()?;
            format!(
                "the CA of the server's certificate is not in {file}, which --ca-bundle names: add it there, \
                 or check for a proxy in between"
            )
        }
        StoreError::Blocked(Obstacle::NoHost(_)) if given.names_hosts => {
            "leave out --force-path-style=false, so that the bucket's name stands in the path".to_owned()
        }
        StoreError::ChecksumDemanded(_) if given.sends_checksums => return Some(None),
        _ => return None,
    }))
}

static GIVEN: OnceLock<GivenOptions> = OnceLock::new();
/// How a hint ends that leaves nothing to do in the gateway; untrue of one that ends.
pub const GOES_ON: &str = "; s3dav then continues by itself";
