//! The properties that the gateway computes.

use std::fmt::Write;
use std::time::SystemTime;

use httpdate::HttpDate;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::dav::locks::RequestLocks;
use crate::dav::xml::escape;
use crate::fs::Resource;
use crate::object::ETag;
use crate::state::PropertyName;

/// A live property: RFC 4918's, and the gateway's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Live {
    ResourceType,
    ContentLength,
    LastModified,
    CreationDate,
    ETag,
    ContentType,
    DisplayName,
    SupportedLock,
    LockDiscovery,
    /// The modification time that a client asked to keep.
    Mtime,
    /// See [`crate::fs::ExportStatus`]: these four cost a question to the file system each time.
    ExportState,
    ExportError,
    ExportKey,
    OriginalPath,
}

/// Namespace of the gateway's own properties.
const OWN: &str = "urn:s3dav";

impl Live {
    /// What `allprop` gives, in this order.
    pub(super) const OF_DAV: [Self; 9] = [
        Self::ResourceType,
        Self::ContentLength,
        Self::LastModified,
        Self::CreationDate,
        Self::ETag,
        Self::ContentType,
        Self::DisplayName,
        Self::SupportedLock,
        Self::LockDiscovery,
    ];

    /// The gateway's own, given to whoever names them.
    const OWN: [Self; 5] =
        [Self::Mtime, Self::ExportState, Self::ExportError, Self::ExportKey, Self::OriginalPath];

    /// The live property of this name.
    pub(super) fn named(name: &PropertyName) -> Option<Self> {
        let mut all = Self::OF_DAV.into_iter().chain(Self::OWN);
        all.find(|live| live.local_name() == name.local && live.namespace() == name.namespace)
    }

    pub(super) fn name(self) -> PropertyName {
        PropertyName { namespace: self.namespace().to_owned(), local: self.local_name().to_owned() }
    }

    fn namespace(self) -> &'static str {
        if Self::OWN.contains(&self) { OWN } else { "DAV:" }
    }

    fn local_name(self) -> &'static str {
        match self {
            Self::ResourceType => "resourcetype",
            Self::ContentLength => "getcontentlength",
            Self::LastModified => "getlastmodified",
            Self::CreationDate => "creationdate",
            Self::ETag => "getetag",
            Self::ContentType => "getcontenttype",
            Self::DisplayName => "displayname",
            Self::SupportedLock => "supportedlock",
            Self::LockDiscovery => "lockdiscovery",
            Self::Mtime => "mtime",
            Self::ExportState => "export-state",
            Self::ExportError => "export-error",
            Self::ExportKey => "export-key",
            Self::OriginalPath => "original-path",
        }
    }

    /// Whether it is told by [`Resource::export`].
    pub(super) fn is_of_export(self) -> bool {
        matches!(self, Self::ExportState | Self::ExportError | Self::ExportKey | Self::OriginalPath)
    }

    /// Whether `resource` has this property.
    pub(super) fn is_of(self, resource: &Resource) -> bool {
        match self {
            Self::ContentLength => !resource.is_folder,
            Self::ETag => resource.etag.is_some(),
            Self::ContentType => resource.content_type.is_some(),
            Self::DisplayName => !resource.name.is_empty(),
            Self::Mtime => resource.kept_mtime.is_some(),
            _ if self.is_of_export() => self.exported(resource).is_some(),
            _ => true,
        }
    }

    /// Adds the element of a resource that has this property. `href` is the resource's.
    pub(super) fn write(self, text: &mut String, href: &str, resource: &Resource, locks: &RequestLocks) {
        let name = self.local_name();
        let (prefix, declared) =
            if Self::OWN.contains(&self) { ("o", " xmlns:o=\"urn:s3dav\"") } else { ("D", "") };
        push(text, ["<", prefix, ":", name, declared, ">"]);
        match self {
            Self::ResourceType if resource.is_folder => text.push_str("<D:collection/>"),
            Self::ResourceType => {}
            Self::ContentLength => display(text, resource.size),
            Self::LastModified => display(text, HttpDate::from(resource.modified)),
            Self::CreationDate => text.push_str(&rfc3339(resource.modified)),
            Self::ETag => resource.etag.iter().for_each(|etag| quoted(text, etag)),
            Self::ContentType => text.push_str(&escape(resource.content_type.as_deref().unwrap_or_default())),
            Self::DisplayName => text.push_str(&escape(&resource.name)),
            Self::SupportedLock => text.push_str(SUPPORTED_LOCK),
            Self::LockDiscovery => text.push_str(&locks.discovery(href)),
            Self::Mtime => text.push_str(&escape(resource.kept_mtime.as_deref().unwrap_or_default())),
            Self::ExportState | Self::ExportError | Self::ExportKey | Self::OriginalPath => {
                text.push_str(&escape(&self.exported(resource).unwrap_or_default()));
            }
        }
        push(text, ["</", prefix, ":", name, ">"]);
    }
}

impl Live {
    /// The value of a property about the way into the bucket.
    fn exported(self, resource: &Resource) -> Option<String> {
        let export = resource.export.as_ref()?;
        match self {
            Self::ExportState => Some(export.state.to_string()),
            Self::ExportError => export.error.clone(),
            Self::ExportKey => export.key.clone(),
            Self::OriginalPath => export.original.clone(),
            _ => None,
        }
    }
}

fn push<const N: usize>(text: &mut String, parts: [&str; N]) {
    parts.iter().for_each(|part| text.push_str(part));
}

fn display(text: &mut String, value: impl std::fmt::Display) {
    // A `String` takes all.
    let _ = write!(text, "{value}");
}

/// Quotes need no escape in content, and clients compare the text.
fn quoted(text: &mut String, etag: &ETag) {
    let weak = if etag.quoted().starts_with("W/") { "W/" } else { "" };
    push(text, [weak, "\"", &escape(etag.unquoted()), "\""]);
}

/// RFC 3339 in whole seconds, as `creationdate` wants it.
fn rfc3339(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time).truncate_to_second();
    time.format(&Rfc3339).unwrap_or_default()
}

const SUPPORTED_LOCK: &str = "<D:lockentry><D:lockscope><D:exclusive/></D:lockscope>\
    <D:locktype><D:write/></D:locktype></D:lockentry>\
    <D:lockentry><D:lockscope><D:shared/></D:lockscope>\
    <D:locktype><D:write/></D:locktype></D:lockentry>";
