//! What the user gave already: no hint asks for it again, and where a name is needed it is that one.
//!
//! A process serves one configuration, so it is said once, at the start.

use std::sync::OnceLock;

use super::obstacle::{CertificateFault, Obstacle};
use super::{NotFoundAnywhere, NotSignedIn, StoreError};

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

/// The hints that depend on what was given. `Some(None)`: there is nothing to advise.
pub(super) fn of(error: &StoreError, given: &GivenOptions) -> Option<Option<String>> {
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
