//! What is mounted, checked before anything is done: the mount helper breaks at a `=` within a value, and takes a `,`
//! for the next option.

use std::path::PathBuf;
use std::time::Duration;

/// What is to be mounted, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub file_system: String,
    pub region: Option<String>,
    pub az_id: Option<String>,
    /// A host name or an address.
    pub mount_target: Option<String>,
    pub access_point: Option<String>,
    /// Large files are read from S3 itself.
    pub direct_reads: bool,
    /// Where to.
    pub dir: PathBuf,
    /// Its programs write logs and metrics to CloudWatch.
    pub cloudwatch: bool,
    pub times: Times,
}

/// How long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// For the first credentials.
    pub credentials: Duration,
    /// For the mount, all tries together: the helper's third one has no limit.
    pub mount: Duration,
    /// For an orderly unmount; half as long for each of those that are not.
    pub unmount: Duration,
    /// Between two looks at what should run.
    pub watch: Duration,
}

impl Times {
    /// Unless a test wants it otherwise.
    pub const DEFAULT: Self = Self {
        credentials: Duration::from_secs(10),
        mount: Duration::from_secs(60),
        unmount: Duration::from_secs(10),
        watch: Duration::from_secs(1),
    };
}

/// An option's value that cannot be one.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("--{option} {value:?} is not a valid {what}")]
pub struct OptionError {
    option: &'static str,
    value: String,
    what: &'static str,
    pub hint: &'static str,
}

impl Options {
    /// Refuses what cannot be right.
    pub fn check(&self) -> Result<(), OptionError> {
        let check = |option, value: &str, what, hint, is_well: bool| {
            if is_well { Ok(()) } else { Err(OptionError { option, value: value.to_owned(), what, hint }) }
        };
        let id = &self.file_system;
        check("s3files", id, "file system ID", A_FILE_SYSTEM, has_id(id, "fs-", 17..=40))?;
        if let Some(id) = &self.access_point {
            check("access-point", id, "access point ID", AN_ACCESS_POINT, has_id(id, "fsap-", 17..=17))?;
        }
        if let Some(region) = &self.region {
            let is_well = is_name(region, "-") && region.contains('-') && !region.contains(is_upper);
            check("region", region, "AWS region", "write it as in us-east-1", is_well)?;
        }
        if let Some(zone) = &self.az_id {
            check("az-id", zone, "availability zone ID", AN_AZ_ID, is_name(zone, "-"))?;
        }
        if let Some(host) = &self.mount_target {
            check("mount-target", host, "host name or address", A_HOST, is_name(host, "-.:"))?;
        }
        let dir = self.dir.to_string_lossy();
        let is_well = self.dir.is_absolute() && self.dir.parent().is_some();
        check("dir", &dir, "mount directory", "write an absolute path, such as /mnt/s3files", is_well)
    }

    /// What the mount helper is told behind `-o`.
    pub(super) fn of_mount(&self) -> String {
        let given =
            |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name}={value}"));
        // Only the name of a mount target needs the zone, and the helper asks for it in any case.
        let zone = self.az_id.clone().or_else(|| self.mount_target.as_ref().map(|_| ANY_ZONE.to_owned()));
        let named = [
            given("region", &self.region),
            given("azid", &zone),
            given("mounttargetip", &self.mount_target),
            given("accesspoint", &self.access_point),
            (!self.direct_reads).then(|| "nodirects3read".to_owned()),
        ];
        named.into_iter().flatten().collect::<Vec<_>>().join(",")
    }
}

/// `start` and hexadecimal digits.
fn has_id(text: &str, start: &str, digits: std::ops::RangeInclusive<usize>) -> bool {
    let is_digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.strip_prefix(start).is_some_and(|id| digits.contains(&id.len()) && id.chars().all(is_digit))
}

/// Letters, digits and `more`.
fn is_name(text: &str, more: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
}

fn is_upper(c: char) -> bool {
    c.is_ascii_uppercase()
}

/// Where it is mounted in a container.
pub const DEFAULT_DIR: &str = "/mnt/s3files";
const A_FILE_SYSTEM: &str = "write its ID, as in fs-0123456789abcdef0";
const AN_ACCESS_POINT: &str = "write its ID, as in fsap-0123456789abcdef0";
const AN_AZ_ID: &str = "write it as in use1-az1";
const A_HOST: &str = "write a name or an address alone; the port is always 2049";
/// Nothing is looked up by it.
const ANY_ZONE: &str = "none";

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            file_system: "fs-0123456789abcdef0".to_owned(),
            region: None,
            az_id: None,
            mount_target: None,
            access_point: None,
            direct_reads: true,
            dir: DEFAULT_DIR.into(),
            cloudwatch: false,
            times: Times::DEFAULT,
        }
    }

    #[test]
    fn what_cannot_be_right_is_refused() {
        assert_eq!(options().check(), Ok(()));
        type Change = fn(&mut Options, String);
        let changes: [(Change, &[&str], &[&str]); 6] = [
            (
                |o, v| o.file_system = v,
                &["fs-0123456789abcdef0123456789abcdef01234567"],
                &[
                    "",
                    "fs-",
                    "fs-0123",
                    "fs-0123456789ABCDEF0",
                    "fs-0123456789abcdef0,x",
                    "fs-0123456789abcdefg",
                    "xfs-0123456789abcdef0",
                ],
            ),
            (
                |o, v| o.access_point = Some(v),
                &["fsap-0123456789abcdef0"],
                &["fsap-xyz", "fsap-0123456789abcdef01", "fs-0123456789abcdef0", "fsap-0123456789abcde=0"],
            ),
            (
                |o, v| o.region = Some(v),
                &["us-east-1", "us-gov-west-1"],
                &["US_EAST", "", "us east-1", "us-east-1,x", "a=b", "US-EAST-1"],
            ),
            (|o, v| o.az_id = Some(v), &["use1-az1"], &["", "use1-az1,x", "a=b", "a b"]),
            (
                |o, v| o.mount_target = Some(v),
                &["10.0.0.1", "fd00::1", "host.docker.internal"],
                &["", "a,b", "a=b", "a\tb", "x\n"],
            ),
            (|o, v| o.dir = v.into(), &["/a"], &["", "a", "/"]),
        ];
        for (change, well, wrong) in changes {
            for (values, is_well) in [(well, true), (wrong, false)] {
                for value in values {
                    let mut options = options();
                    change(&mut options, (*value).to_owned());
                    assert_eq!(options.check().is_ok(), is_well, "{value:?}");
                }
            }
        }
    }

    #[test]
    fn the_mount_is_told_what_was_given() {
        let all = Options {
            region: Some("us-east-1".to_owned()),
            az_id: Some("use1-az1".to_owned()),
            mount_target: Some("10.0.0.1".to_owned()),
            access_point: Some("fsap-0123456789abcdef0".to_owned()),
            direct_reads: false,
            ..options()
        };
        let told = "region=us-east-1,azid=use1-az1,mounttargetip=10.0.0.1,accesspoint=fsap-0123456789abcdef0,nodirects3read";
        assert_eq!(all.of_mount(), told);
        assert_eq!(options().of_mount(), "");
        let abroad = Options { mount_target: Some("nlb".to_owned()), ..options() };
        assert_eq!(abroad.of_mount(), "azid=none,mounttargetip=nlb");
    }
}
