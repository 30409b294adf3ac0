//! What is served.

/// A bucket and a place in it, as `--bucket` names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSpec {
    /// Name, access point alias or ARN.
    pub bucket: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
}

impl BucketSpec {
    /// Reads `NAME[/PREFIX]` or `arn:…:accesspoint/NAME[/PREFIX]`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let segments = if text.starts_with("arn:") { 2 } else { 1 };
        let mut parts = text.splitn(segments + 1, '/');
        let bucket = parts.by_ref().take(segments).collect::<Vec<_>>().join("/");
        let prefix = parts.next().unwrap_or_default().trim_matches('/').to_owned();
        if bucket.is_empty() || bucket.contains(char::is_whitespace) {
            return Err(format!("{text:?} is not a bucket"));
        }
        if bucket.starts_with("s3:") || bucket.starts_with("http") && bucket.ends_with(':') {
            return Err(format!(
                "{text:?} is a URL; give the bucket's name alone, e.g. --bucket photos/2026"
            ));
        }
        let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !text.starts_with("arn:") && !bucket.chars().all(is_legal) {
            return Err(format!(
                "{bucket:?} is no bucket's name: those have letters, digits, dots and dashes"
            ));
        }
        if text.starts_with("arn:") && !bucket.contains(":accesspoint/") {
            return Err(format!("{text:?} is not the ARN of an access point; give a bucket's name instead"));
        }
        if prefix
            .split('/')
            .any(|segment| matches!(segment, "." | "..") || (segment.is_empty() && !prefix.is_empty()))
        {
            return Err(format!("the prefix of {text:?} has an empty or dotted segment"));
        }
        Ok(Self { bucket, prefix })
    }

    /// The folder that stands for it beside others.
    pub fn folder(&self) -> &str {
        self.bucket.rsplit('/').next().unwrap_or(&self.bucket)
    }
}

impl std::fmt::Display for BucketSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.prefix.is_empty() {
            true => f.write_str(&self.bucket),
            false => write!(f, "{}/{}", self.bucket, self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_prefixes_and_arns() {
        let spec = BucketSpec::parse("photos/2026/may/").unwrap();
        assert_eq!((spec.bucket.as_str(), spec.prefix.as_str()), ("photos", "2026/may"));
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/ap";
        let spec = BucketSpec::parse(&format!("{arn}/in/side")).unwrap();
        assert_eq!((spec.bucket.as_str(), spec.prefix.as_str(), spec.folder()), (arn, "in/side", "ap"));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(BucketSpec::parse("s3://photos").unwrap_err().contains("URL"));
        assert!(BucketSpec::parse("arn:aws:s3:::photos").unwrap_err().contains("access point"));
        assert!(BucketSpec::parse("Bad Name!").is_err());
        assert!(BucketSpec::parse("Bad_Name!!").is_err());
        assert!(BucketSpec::parse("").is_err());
        assert!(BucketSpec::parse("a/../b").is_err());
    }
}
