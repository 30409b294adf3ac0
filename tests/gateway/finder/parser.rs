//! Answers as WebDAVFS reads them: local names only, no namespaces, no statuses, and of each text only what its
//! parser hands over first. Golden results of Apple's own code are in `data/webdavfs/parse/`.

use std::time::SystemTime;

use percent_encoding::percent_decode_str;

/// An entry as the client takes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entry {
    /// Decoded.
    pub href: String,
    pub is_folder: bool,
    pub size: Option<u64>,
    pub modified: String,
}

impl Entry {
    /// A folder has a size of its own.
    pub fn shown_size(&self) -> u64 {
        if self.is_folder { FOLDER_SIZE } else { self.size.unwrap_or_default() }
    }

    /// Its date in seconds; 0: none that can be read.
    pub fn modified_at(&self) -> u64 {
        seconds(&self.modified)
    }
}

/// What the XML library tells of an answer.
enum Event<'x> {
    /// The beginning of an element, by its local name.
    Start(String),
    /// The first piece of the text that follows the beginning of an element.
    Text(&'x str),
}

fn events(xml: &str) -> Vec<Event<'_>> {
    let mut events = Vec::new();
    for piece in xml.split('<').skip(1) {
        let Some((tag, text)) = piece.split_once('>') else { continue };
        if tag.starts_with(['/', '?']) {
            continue;
        }
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap_or_default();
        events.push(Event::Start(name.rsplit(':').next().unwrap_or_default().to_ascii_lowercase()));
        let first = first_chunk(text);
        if !tag.ends_with('/') && !first.is_empty() {
            events.push(Event::Text(first));
        }
    }
    events
}

/// The parser breaks a text at each entity and at each character that is not ASCII.
fn first_chunk(text: &str) -> &str {
    let end = text.find(|c: char| c == '&' || !c.is_ascii()).unwrap_or(text.len());
    &text[..end]
}

/// A listing (parse_opendir): every `href` begins an entry, wherever it stands.
pub fn entries(xml: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut open = String::new();
    for event in events(xml) {
        let text = match event {
            Event::Start(name) => {
                match (name.as_str(), entries.last_mut()) {
                    ("href", _) => entries.push(Entry::default()),
                    ("collection", Some(entry)) => entry.is_folder = true,
                    _ => {}
                }
                open = name;
                continue;
            }
            Event::Text(text) => text,
        };
        let Some(entry) = entries.last_mut() else { continue };
        match open.as_str() {
            "href" => entry.href = percent_decode_str(text).decode_utf8_lossy().into_owned(),
            "getcontentlength" => entry.size = text.parse().ok(),
            "getlastmodified" => entry.modified = text.to_owned(),
            _ => {}
        }
    }
    entries
}

/// The name of a child of `folder` (its decoded request path, with a slash at the end), by length alone;
/// `None`: the folder itself.
pub fn component<'e>(folder: &str, entry: &'e Entry) -> Option<&'e str> {
    let path = entry.href.trim_end_matches('/');
    (path.len() > folder.trim_end_matches('/').len()).then(|| path.rsplit('/').next().unwrap_or_default())
}

/// One file or folder (parse_stat): all that is said anywhere is said of it.
pub fn stat(xml: &str) -> Entry {
    let mut entry = Entry::default();
    for (name, text) in texts(xml) {
        match name.as_str() {
            "getcontentlength" => entry.size = text.parse().ok(),
            "getlastmodified" => entry.modified = text.to_owned(),
            _ => {}
        }
    }
    entry.is_folder =
        events(xml).iter().any(|event| matches!(event, Event::Start(name) if name == "collection"));
    entry
}

/// Texts with the elements that they follow.
fn texts(xml: &str) -> Vec<(String, &str)> {
    let mut open = String::new();
    let mut texts = Vec::new();
    for event in events(xml) {
        match event {
            Event::Start(name) => open = name,
            Event::Text(text) => texts.push((open.clone(), text)),
        }
    }
    texts
}

/// How many hrefs there are (parse_file_count): more than one is a folder that is not empty.
pub fn count(xml: &str) -> usize {
    events(xml).iter().filter(|event| matches!(event, Event::Start(name) if name == "href")).count()
}

/// The token (parse_lock): the text of the first href that follows a `locktoken`.
pub fn lock_token(xml: &str) -> Option<String> {
    let (mut in_token, mut in_href, mut token) = (false, false, None);
    for event in events(xml) {
        match event {
            Event::Start(name) if name == "locktoken" => (in_token, in_href) = (true, false),
            Event::Start(name) if name == "href" => (in_token, in_href) = (false, in_token),
            Event::Start(_) => {}
            Event::Text(text) if in_href => {
                token = Some(text.trim_end().to_owned());
                in_href = false;
            }
            Event::Text(_) => {}
        }
    }
    token
}

/// Whether a number is told for any of the quotas (parse_statfs): macOS 15.4 and later would wait for 90 s.
pub fn has_quota(xml: &str) -> bool {
    texts(xml).iter().any(|(name, _)| name.starts_with("quota"))
}

/// Date and ETag (parse_cachevalidators). What follows one of the two elements overwrites it, since only these
/// two names change what is being read.
pub fn validators(xml: &str) -> (u64, String) {
    let (mut date, mut etag) = (0, String::new());
    let mut open = String::new();
    for event in events(xml) {
        match event {
            Event::Start(name) if matches!(name.as_str(), "getlastmodified" | "getetag") => open = name,
            Event::Start(_) => {}
            Event::Text(text) if open == "getlastmodified" => date = seconds(text),
            Event::Text(text) if open == "getetag" => etag = text.to_owned(),
            Event::Text(_) => {}
        }
    }
    (date, etag)
}

fn seconds(date: &str) -> u64 {
    let date = httpdate::parse_http_date(date).ok();
    date.and_then(|date| date.duration_since(SystemTime::UNIX_EPOCH).ok()).map_or(0, |age| age.as_secs())
}

/// What every folder's size is (WEBDAV_DIR_SIZE).
const FOLDER_SIZE: u64 = 2048;
