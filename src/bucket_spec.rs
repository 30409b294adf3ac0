//! A bucket and a place in it, as people write it.

/// A bucket and a place in it, as `--bucket` names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSpec {
    /// Name, access point alias or ARN.
    pub bucket: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
}

impl BucketSpec {
    /// Reads `NAME[/PREFIX]`, `arn:…:accesspoint/NAME[/PREFIX]` or what other programs write for the former:
    /// `s3://NAME[/PREFIX]` and `arn:aws:s3:::NAME[/PREFIX]`.
    pub fn parse(given: &str) -> Result<Self, String> {
        let text = plain(given);
        let segments = if text.starts_with("arn:") { 2 } else { 1 };
        let mut parts = text.splitn(segments + 1, '/');
        if Self::meant(given).is_some() {
            return Err(format!("{given:?} is not a bucket"));
        }
        let bucket = parts.by_ref().take(segments).collect::<Vec<_>>().join("/");
        let prefix = parts.next().unwrap_or_default().trim_matches('/').to_owned();
        if bucket.is_empty() || bucket.contains(char::is_whitespace) {
            return Err(format!("{given:?} is not a bucket"));
        }
        if ["http:", "https:"].iter().any(|scheme| bucket.eq_ignore_ascii_case(scheme)) {
            return Err(format!(
                "{given:?} is a URL; name the bucket, e.g. s3://photos/2026, and its server with --endpoint-url"
            ));
        }
        let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !text.starts_with("arn:") && !bucket.chars().all(is_legal) {
            return Err(format!(
                "{bucket:?} is not a valid bucket name, which has letters, digits, dots and dashes"
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

    /// What is meant by a name that begins almost as `s3://` does, and with what no bucket's can.
    pub fn meant(given: &str) -> Option<String> {
        let rest = given.get(..3).filter(|begin| begin.eq_ignore_ascii_case("s3:")).map(|_| &given[3..])?;
        let name = rest.trim_start_matches('/');
        (!name.is_empty() && !given.starts_with("s3://")).then(|| format!("s3://{name}"))
    }

    /// The folder that stands for it beside others.
    pub fn folder(&self) -> &str {
        self.bucket.rsplit('/').next().unwrap_or(&self.bucket)
    }
}

/// Without what only says that it is a bucket. Its ARN names neither a region nor an account.
fn plain(text: &str) -> &str {
    let text = text.strip_prefix("s3://").unwrap_or(text);
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "s3", "", "", bucket] => bucket,
        _ => text,
    }
}

impl std::fmt::Display for BucketSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.prefix.is_empty() {
            f.write_str(&self.bucket)
        } else {
            write!(f, "{}/{}", self.bucket, self.prefix)
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
    fn a_bucket_is_the_same_however_it_is_written() {
        for (text, same) in [
            ("s3://photos", "photos"),
            ("s3://photos/", "photos"),
            ("s3://photos/2026/", "photos/2026"),
            ("arn:aws:s3:::photos", "photos"),
            ("arn:aws-us-gov:s3:::photos/2026", "photos/2026"),
            ("s3://arn:aws:s3:eu-west-1:1:accesspoint/ap/in", "arn:aws:s3:eu-west-1:1:accesspoint/ap/in"),
        ] {
            assert_eq!(BucketSpec::parse(text).unwrap().to_string(), same);
        }
    }

    #[test]
    fn what_begins_almost_as_other_programs_write_it_is_understood() {
        for text in ["S3://photos/2026", "s3:photos/2026", "s3:/photos/2026", "S3:photos/2026"] {
            assert_eq!(BucketSpec::meant(text).as_deref(), Some("s3://photos/2026"), "{text}");
            assert!(BucketSpec::parse(text).is_err(), "{text}");
        }
        for text in ["s3://photos", "s3", "s3:", "s3photos", "é3:x", "arn:aws:s3:::photos"] {
            assert_eq!(BucketSpec::meant(text), None, "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert!(BucketSpec::parse("https://s3.example/photos").unwrap_err().contains("URL"));
        assert!(BucketSpec::parse("arn:aws:s3:eu-west-1:1:photos").unwrap_err().contains("access point"));
        for nothing in ["s3://", "s3:///photos", "arn:aws:s3:::", "s3://s3://photos"] {
            assert!(BucketSpec::parse(nothing).is_err(), "{nothing}");
        }
        assert!(BucketSpec::parse("Bad Name!").is_err());
        assert!(BucketSpec::parse("Bad_Name!!").is_err());
        assert!(BucketSpec::parse("").is_err());
        assert!(BucketSpec::parse("a/../b").is_err());
    }
}
