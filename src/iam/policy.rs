//! What the role of a gateway, or of the container that mounts a file system, may do.

use super::arn::{Arn, IamError};
use super::document::{Document, Statement, Texts};
use super::table::{BUCKET, FILE_SYSTEM, Grant, MOUNT_HELPER, On, SERVICE, SESSIONS};

/// A bucket, or what lies below a prefix of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPart {
    /// The ARN of the bucket or of an access point.
    arn: String,
    is_access_point: bool,
    /// Without slashes at its ends; empty for all.
    prefix: String,
    /// The ARN of the KMS key that encrypts it.
    key: Option<String>,
}

/// A file system of Amazon S3 Files, perhaps through one of its access points alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystemPart {
    arn: String,
    access_point: Option<String>,
}

impl BucketPart {
    /// `bucket`: its name, or the ARN of an access point.
    pub fn new(partition: &str, bucket: &str, prefix: &str, key: Option<String>) -> Result<Self, IamError> {
        if bucket.ends_with("-s3alias") {
            let hint = "name the access point by its ARN";
            return Err(IamError::new(format!("a policy cannot name {bucket:?}, which is an alias"), hint));
        }
        let is_key = |key: &String| {
            Arn::parse(key).is_some_and(|arn| arn.service == "kms" && arn.resource.starts_with("key/"))
        };
        if let Some(wrong) = key.as_ref().filter(|key| !is_key(key)) {
            let hint = "write it as arn:aws:kms:REGION:ACCOUNT:key/ID; a policy cannot name an alias";
            return Err(IamError::new(format!("{wrong:?} is not the ARN of a KMS key"), hint));
        }
        let is_access_point = bucket.starts_with("arn:");
        let arn = if is_access_point { bucket.to_owned() } else { format!("arn:{partition}:s3:::{bucket}") };
        Ok(Self { arn, is_access_point, prefix: prefix.to_owned(), key })
    }

    fn objects(&self) -> String {
        let object = if self.is_access_point { "/object" } else { "" };
        let prefix = literal(&self.prefix);
        let slash = if prefix.is_empty() { "" } else { "/" };
        format!("{}{object}/{prefix}{slash}*", self.arn)
    }

    /// A grant on this; `None` where there is no such thing.
    fn statement(&self, on: On) -> Option<Statement> {
        let resource = match on {
            On::Listings | On::Bucket => self.arn.clone(),
            On::Objects => self.objects(),
            On::Key => self.key.clone()?,
            _ => return None,
        };
        let statement = Statement { resource: [resource].into(), ..Statement::default() };
        if on != On::Listings || self.prefix.is_empty() {
            return Some(statement);
        }
        let prefix = literal(&self.prefix);
        let below = Texts::from([format!("{prefix}/"), format!("{prefix}/*")]);
        Some(statement.when("StringLike", "s3:prefix", below))
    }
}

impl FileSystemPart {
    pub fn new(arn: String, access_point: Option<String>) -> Result<Self, IamError> {
        let is = |arn: &str, is_point: bool| {
            let parts = Arn::parse(arn).filter(|arn| arn.service == "s3files");
            let resource = parts.map(|arn| arn.resource.split('/').collect::<Vec<_>>()).unwrap_or_default();
            match resource.as_slice() {
                ["file-system", id] => !is_point && id.starts_with("fs-"),
                ["file-system", _, "access-point", id] => is_point && id.starts_with("fsap-"),
                _ => false,
            }
        };
        if !is(&arn, false) {
            let hint = "write it as arn:aws:s3files:REGION:ACCOUNT:file-system/fs-ID";
            return Err(IamError::new(format!("{arn:?} is not the ARN of a file system of S3 Files"), hint));
        }
        if let Some(wrong) = access_point.as_ref().filter(|point| !is(point, true)) {
            let hint = "write it as arn:aws:s3files:REGION:ACCOUNT:file-system/fs-ID/access-point/fsap-ID";
            return Err(IamError::new(
                format!("{wrong:?} is not the ARN of an access point of S3 Files"),
                hint,
            ));
        }
        if let Some(foreign) = access_point.as_ref().filter(|point| !point.starts_with(&format!("{arn}/"))) {
            let message = format!("the access point {foreign:?} is one of another file system");
            return Err(IamError::new(message, "name an access point of the file system"));
        }
        Ok(Self { arn, access_point })
    }

    /// The account and the region that it is in.
    pub fn home(&self) -> Option<(&str, &str)> {
        Arn::parse(&self.arn).map(|arn| (arn.account, arn.region))
    }

    fn statement(&self) -> Statement {
        let statement = on(self.arn.clone());
        match &self.access_point {
            Some(point) => statement.when("StringEquals", "s3files:AccessPointArn", [point.as_str()].into()),
            None => statement,
        }
    }
}

/// What a gateway needs for a bucket. `read_only`: what `serve --read-only` needs.
pub fn of_bucket(part: &BucketPart, read_only: bool) -> Document {
    document(BUCKET, read_only, |on| part.statement(on))
}

/// What whoever mounts a file system of S3 Files by its mount helper needs, or by a task of ECS.
pub fn of_client(file_system: &FileSystemPart, bucket: &BucketPart, read_only: bool) -> Document {
    let helper = statements(MOUNT_HELPER, read_only, |what| match what {
        On::FileSystem => Some(on(file_system.arn.clone())),
        On::AccessPoint => file_system.access_point.clone().map(on),
        what => bucket.statement(what),
    });
    let mut document = of_file_system(file_system, read_only);
    document.statement.extend(helper);
    document
}

/// What S3 Files itself needs for the bucket behind a file system, in this account.
pub fn of_service(bucket: &BucketPart, partition: &str, account: &str) -> Document {
    let rules = |rule: &str| on(format!("arn:{partition}:events:*:*:rule/{rule}"));
    let own = |what| {
        bucket
            .statement(what)
            .map(|of_bucket| of_bucket.when("StringEquals", "aws:ResourceAccount", [account].into()))
    };
    document(SERVICE, false, |what| match what {
        On::OwnRules => {
            let rule = rules("DO-NOT-DELETE-S3-Files*");
            Some(rule.when("StringEquals", "events:ManagedBy", [S3_FILES].into()))
        }
        On::AllRules => Some(rules("*")),
        what => own(what),
    })
}

/// What a task needs that is reached by sessions of SSM.
pub fn of_sessions() -> Document {
    document(SESSIONS, false, |_| Some(on("*".to_owned())))
}

/// What whoever mounts a file system of S3 Files needs.
pub fn of_file_system(part: &FileSystemPart, read_only: bool) -> Document {
    document(FILE_SYSTEM, read_only, |_| Some(part.statement()))
}

fn on(resource: String) -> Statement {
    Statement { resource: [resource].into(), ..Statement::default() }
}

fn document(grants: &[Grant], read_only: bool, statement: impl Fn(On) -> Option<Statement>) -> Document {
    Document::new(statements(grants, read_only, statement))
}

fn statements(
    grants: &[Grant],
    read_only: bool,
    statement: impl Fn(On) -> Option<Statement>,
) -> Vec<Statement> {
    let mut statements: Vec<Statement> = Vec::new();
    for grant in grants.iter().filter(|grant| !(read_only && grant.is_write)) {
        let known = statements.last_mut().filter(|last| last.sid == Some(grant.sid));
        if let Some(last) = known {
            last.action.push(grant.action);
        } else if let Some(new) = statement(grant.on) {
            statements.push(Statement { sid: Some(grant.sid), action: [grant.action].into(), ..new });
        }
    }
    statements
}

/// The service that S3 Files is to IAM.
pub(super) const S3_FILES: &str = "elasticfilesystem.amazonaws.com";

/// A text in which nothing stands for anything else.
fn literal(text: &str) -> String {
    let escaped = |c: char| match c {
        '*' | '?' | '$' => format!("${{{c}}}"),
        c => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(document: &Document) -> Vec<String> {
        let json = serde_json::to_value(document).unwrap();
        let statements = json["Statement"].as_array().unwrap().iter();
        let texts = statements.flat_map(|statement| match &statement["Action"] {
            serde_json::Value::Array(several) => several.clone(),
            only => vec![only.clone()],
        });
        texts.map(|text| text.as_str().unwrap().to_owned()).collect()
    }

    const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/k";
    const FILE_SYSTEM_ARN: &str = "arn:aws:s3files:eu-west-1:123456789012:file-system/fs-1";

    #[test]
    fn everything_of_the_table_is_allowed_and_nothing_else() {
        let part = BucketPart::new("aws", "photos", "", Some(KEY.to_owned())).unwrap();
        let all: Vec<_> = BUCKET.iter().map(|grant| grant.action).collect();
        assert_eq!(actions(&of_bucket(&part, false)), all);
        let part = FileSystemPart::new(FILE_SYSTEM_ARN.to_owned(), None).unwrap();
        let all: Vec<_> = FILE_SYSTEM.iter().map(|grant| grant.action).collect();
        assert_eq!(actions(&of_file_system(&part, false)), all);
    }

    #[test]
    fn who_only_reads_may_write_nothing() {
        let part = BucketPart::new("aws", "photos", "", Some(KEY.to_owned())).unwrap();
        assert_eq!(actions(&of_bucket(&part, true)), ["s3:ListBucket", "s3:GetObject", "kms:Decrypt"]);
        let part = FileSystemPart::new(FILE_SYSTEM_ARN.to_owned(), None).unwrap();
        assert_eq!(actions(&of_file_system(&part, true)), ["s3files:ClientMount"]);
    }

    #[test]
    fn no_wildcard_of_a_prefix_is_one_of_the_policy() {
        let part = BucketPart::new("aws-cn", "photos", "a*/${b}?", None).unwrap();
        let text = of_bucket(&part, true).to_string();
        for expected in [
            "\"arn:aws-cn:s3:::photos\"",
            "\"a${*}/${$}{b}${?}/\"",
            "\"a${*}/${$}{b}${?}/*\"",
            "\"arn:aws-cn:s3:::photos/a${*}/${$}{b}${?}/*\"",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }

    #[test]
    fn an_access_point_has_its_objects_below_a_name_of_its_own() {
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/team";
        let part = BucketPart::new("aws", arn, "a", None).unwrap();
        assert_eq!(part.objects(), format!("{arn}/object/a/*"));
        assert!(BucketPart::new("aws", "team-abc-s3alias", "", None).is_err());
    }

    #[test]
    fn what_is_no_key_and_no_file_system_is_refused() {
        for key in ["k", "alias/k", "arn:aws:kms:eu-west-1:123456789012:alias/k", "arn:aws:s3:::key/k"] {
            assert!(BucketPart::new("aws", "photos", "", Some(key.to_owned())).is_err(), "{key}");
        }
        let point = format!("{FILE_SYSTEM_ARN}/access-point/fsap-1");
        let with =
            |arn: &str, point: Option<&str>| FileSystemPart::new(arn.to_owned(), point.map(str::to_owned));
        let part = with(FILE_SYSTEM_ARN, Some(&point)).unwrap();
        assert_eq!(part.home(), Some(("123456789012", "eu-west-1")));
        assert!(with(&point, None).is_err() && with("fs-1", None).is_err());
        assert!(with(FILE_SYSTEM_ARN, Some("fsap-1")).is_err());
        let other = point.replace("fs-1", "fs-12");
        assert!(with(FILE_SYSTEM_ARN, Some(&other)).is_err(), "one of another file system");
    }
}
