//! Names of resources, and which of AWS's partitions they are in.

/// An ARN in its parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arn<'t> {
    pub text: &'t str,
    pub partition: &'t str,
    pub service: &'t str,
    pub region: &'t str,
    pub account: &'t str,
    pub resource: &'t str,
}

/// What was named is not what a policy can name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct IamError {
    pub message: String,
    pub hint: &'static str,
}

impl IamError {
    pub(super) fn new(message: impl Into<String>, hint: &'static str) -> Self {
        Self { message: message.into(), hint }
    }
}

impl<'t> Arn<'t> {
    pub fn parse(text: &'t str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", partition, service, region, account, resource] = parts.as_slice() else { return None };
        let is_whole = is_partition(partition) && !service.is_empty() && !resource.is_empty();
        is_whole.then_some(Self { text, partition, service, region, account, resource })
    }
}

/// The partition that all of `arns` are in, and `given`, if one is given; `aws` where nothing says.
pub fn partition_of(given: Option<&str>, arns: &[&str]) -> Result<String, IamError> {
    if let Some(wrong) = given.filter(|given| !is_partition(given)) {
        let message = format!("{wrong:?} is not a partition");
        return Err(IamError::new(message, "use aws, aws-cn or aws-us-gov"));
    }
    let of_arns = arns.iter().filter_map(|arn| Some(Arn::parse(arn)?.partition));
    let mut all: Vec<&str> = of_arns.chain(given).collect();
    all.dedup();
    match all.as_slice() {
        [] => Ok("aws".to_owned()),
        [only] => Ok((*only).to_owned()),
        [one, another, ..] => {
            let message = format!("one name is in the partition {one}, another in {another}");
            Err(IamError::new(message, "name resources of one partition; --partition can be left out then"))
        }
    }
}

/// Also those that AWS tells nobody of (`aws-iso-b`).
fn is_partition(text: &str) -> bool {
    text.starts_with("aws") && text.chars().all(|c| c.is_ascii_lowercase() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_has_six_parts() {
        let arn = Arn::parse("arn:aws-cn:kms:cn-north-1:123456789012:key/a:b").unwrap();
        assert_eq!((arn.partition, arn.service, arn.region), ("aws-cn", "kms", "cn-north-1"));
        assert_eq!((arn.account, arn.resource), ("123456789012", "key/a:b"));
        for text in ["", "arn:aws:s3", "arn:gcp:s3:::b", "arn:aws::::b", "arn:aws:s3:::", "x:aws:s3:::b"] {
            assert_eq!(Arn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn all_are_in_one_partition() {
        assert_eq!(partition_of(None, &["photos"]).unwrap(), "aws");
        assert_eq!(partition_of(Some("aws-us-gov"), &["photos"]).unwrap(), "aws-us-gov");
        assert_eq!(partition_of(None, &["photos", "arn:aws-cn:s3:::b"]).unwrap(), "aws-cn");
        assert!(partition_of(Some("aws"), &["arn:aws-cn:s3:::b"]).is_err());
        assert!(partition_of(Some("azure"), &[]).is_err());
    }
}
