//! A multistatus as WebDAVFS reads it: local names only, no namespaces, no statuses, and of each text only
//! what its parser hands over first.

use percent_encoding::percent_decode_str;

/// An entry as the client takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Decoded.
    pub href: String,
    pub is_folder: bool,
    pub size: Option<u64>,
    pub modified: String,
}

/// Every `href` begins an entry, wherever it stands.
pub fn entries(xml: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut open = String::new();
    for piece in xml.split('<').skip(1) {
        let Some((tag, text)) = piece.split_once('>') else { continue };
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap_or_default();
        let local = name.rsplit(':').next().unwrap_or_default().to_ascii_lowercase();
        if tag.starts_with('/') {
            open.clear();
            continue;
        }
        if local == "collection"
            && let Some(entry) = entries.last_mut()
        {
            entry.is_folder = true;
        }
        if !tag.ends_with('/') {
            open = local;
        }
        let first = first_chunk(text);
        match (open.as_str(), entries.last_mut()) {
            ("href", _) => {
                let href = percent_decode_str(first).decode_utf8_lossy().into_owned();
                entries.push(Entry { href, is_folder: false, size: None, modified: String::new() });
            }
            ("getcontentlength", Some(entry)) => entry.size = first.parse().ok(),
            ("getlastmodified", Some(entry)) => entry.modified = first.to_owned(),
            _ => {}
        }
    }
    entries
}

/// The parser breaks a text at each entity and at each character that is not ASCII.
fn first_chunk(text: &str) -> &str {
    let end = text.find(|c: char| c == '&' || !c.is_ascii()).unwrap_or(text.len());
    &text[..end]
}

/// The name of a child of `folder` (its decoded request path, with a slash at the end), by length alone;
/// `None`: the folder itself.
pub fn component<'e>(folder: &str, entry: &'e Entry) -> Option<&'e str> {
    let path = entry.href.trim_end_matches('/');
    (path.len() > folder.trim_end_matches('/').len()).then(|| path.rsplit('/').next().unwrap_or_default())
}
