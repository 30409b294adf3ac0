//! The image that the task runs, by its digest: a tag may mean something else tomorrow.

use super::{NoValue, no_value};

/// `REPOSITORY@sha256:DIGEST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef(String);

/// An image of Elastic Container Registry, where it can be looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EcrImage<'t> {
    pub account: &'t str,
    pub region: &'t str,
    pub repository: &'t str,
    pub digest: &'t str,
}

impl std::str::FromStr for ImageRef {
    type Err = NoValue;

    fn from_str(text: &str) -> Result<Self, NoValue> {
        let wrong = || no_value(format!("{text:?} does not name an image by its digest"), HOW_TO_NAME);
        let (repository, digest) = text.split_once('@').ok_or_else(wrong)?;
        let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let digest = digest.strip_prefix("sha256:").ok_or_else(wrong)?;
        let is_repository = |c: char| c.is_ascii_alphanumeric() || "._-/:".contains(c);
        let is_well = digest.len() == DIGITS
            && digest.chars().all(is_digit)
            && !repository.is_empty()
            && repository.chars().all(is_repository);
        if is_well { Ok(Self(text.to_owned())) } else { Err(wrong()) }
    }
}

impl ImageRef {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `None` where it is in another registry.
    pub fn of_ecr(&self) -> Option<EcrImage<'_>> {
        let (place, digest) = self.0.split_once('@')?;
        let (host, repository) = place.split_once('/')?;
        // A tag beside the digest says nothing.
        let repository = repository.split(':').next()?;
        let labels: Vec<&str> = host.split('.').collect();
        match labels.as_slice() {
            [account, "dkr", "ecr", region, "amazonaws", "com" | "com.cn", ..] => {
                Some(EcrImage { account, region, repository, digest })
            }
            _ => None,
        }
    }
}

/// The image of this release. Empty until one is published: then `--image` must name one.
pub const RELEASE_IMAGE: &str = "";
const HOW_TO_NAME: &str =
    "write REPOSITORY@sha256:DIGEST; `docker push`, and `docker buildx imagetools inspect`, print the digest";
/// Of a SHA-256 in hexadecimal.
const DIGITS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_a_digest() {
        let digest = "sha256:".to_owned() + &"0a".repeat(32);
        let image = |text: &str| text.parse::<ImageRef>();
        let found =
            image(&format!("123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/s3dav:1@{digest}")).unwrap();
        let expected = EcrImage {
            account: "123456789012",
            region: "eu-west-1",
            repository: "team/s3dav",
            digest: &digest,
        };
        assert_eq!(found.of_ecr(), Some(expected));
        assert_eq!(image(&format!("registry.example:5000/s3dav@{digest}")).unwrap().of_ecr(), None);
        for wrong in ["s3dav", "s3dav:1", "s3dav@sha256:12", "@sha256:", "s3dav@md5:00", ""] {
            assert!(image(wrong).is_err(), "{wrong}");
        }
        assert!(image(&format!("s3 dav@{digest}")).is_err() && image(&format!("@{digest}")).is_err());
        assert!(image(&format!("s3dav@{}", digest.to_uppercase())).is_err());
    }

    #[test]
    fn the_release_names_an_image_or_none() {
        assert!(RELEASE_IMAGE.is_empty() || RELEASE_IMAGE.parse::<ImageRef>().is_ok());
    }
}
