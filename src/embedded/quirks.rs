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
    /// The `KeyCount` of a listing counts its objects, and no common prefixes.
    pub counts_objects_only: bool,
    /// What a policy lets one list; `None`: all. Where the right to list depends on a prefix, what is not there is
    /// denied to HEAD and GET, which have none.
    pub listable: Option<Vec<Listable>>,
    /// Below which prefixes a policy lets one write; `None`: everywhere.
    pub writable: Option<Vec<&'static str>>,
    /// Below which prefix a policy lets one use objects at all; `None`: everywhere.
    pub objects_below: Option<&'static str>,
    /// Actions of IAM that a policy denies, such as `s3:GetObject`; see [`super::ACTIONS`].
    pub denied_actions: Vec<String>,
    /// A policy denies all deletes.
    pub denies_deletes: bool,
    /// Objects are kept for a time by default, as by Object Lock: `PutObject` must carry a checksum.
    pub retains: bool,
    /// Successes of these operations name no ETag.
    pub without_etag: Vec<String>,
    /// The XML of these operations' successes is a `...Response`, not a `...Result`, as moto's was before 5.2.5.
    pub other_roots: Vec<String>,
    /// A header that objects are read with; its value may be no text.
    pub raw_header: Option<(&'static str, &'static [u8])>,
    /// What these names end in is decompressed on its way, as by Google where it was stored with gzip: nobody
    /// knows its length, and it has no ETag.
    pub gunzips: Vec<String>,
    /// Even where gzip is accepted.
    pub gunzips_always: bool,
    /// An object of this url-encoded key stands in listings, and may be no UTF-8.
    pub raw_key: Option<&'static str>,
    /// HEAD of a folder's name finds something, as with Ozone and SeaweedFS.
    pub heads_folders: bool,
    /// Listings have other ETags than the objects.
    pub other_listed_etags: bool,
    /// Listings name an empty storage class, and a write that names one is refused.
    pub empty_classes: bool,
    /// Objects are read with weak ETags, which fit no condition.
    pub weak_etags: bool,
    /// Completions that tell the whole's size are refused.
    pub takes_no_size: bool,
    /// Listings are answered as version 1 of ListObjects does, whichever is asked for.
    pub lists_as_v1: bool,
    /// Listings lag behind: they show what was there when the first one was asked for.
    pub lists_late: bool,
    /// The server's name: what stands before it in a host is the name of a bucket. `None`: no host names one.
    pub domain: Option<&'static str>,
    /// Status and code by which buckets that are named in the path are refused.
    pub refuses_paths: Option<(u16, &'static str)>,
    /// The same for those that are named in the host.
    pub refuses_hosts: Option<(u16, &'static str)>,
    /// What its answers say that it is.
    pub server: Option<&'static str>,
}

/// What the condition of a policy lets one list.
#[derive(Debug, Clone)]
pub struct Listable {
    /// `x*` is all that begins with `x`. A request without any prefix does not fit.
    pub prefix: &'static str,
    /// `None`: whatever it is, or none.
    pub delimiter: Option<&'static str>,
}
