//! What other S3 servers do otherwise than AWS: one field a kind. A test switches on what it is about.

/// See the module. By default the server does as AWS.
#[derive(Debug, Clone, Default)]
pub struct Quirks {
    /// Conditions of these operations are ignored. `CopyObject` is a copy's destination, `CopySource` its source.
    pub unconditional: Vec<String>,
    /// New objects get ETags that look like an MD5 and tell nothing, as on AWS where KMS encrypts them.
    pub opaque_etags: bool,
    /// Answers to these operations carry no request id.
    pub unnamed: Vec<String>,
    /// `DeleteObjects` without `Content-MD5` is refused, whatever other checksum comes with it.
    pub demands_md5: bool,
}
