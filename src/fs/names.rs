//! Spellings of names: Unicode writes `é` in two ways, clients and buckets choose freely.

use unicode_normalization::UnicodeNormalization;

use crate::fs::{Client, ResourcePath};

/// The other spellings that `path` may be stored under: each segment composed (NFC) or decomposed
/// (NFD), fully or as Apple does it. The first ones are of one kind throughout.
pub fn other_spellings(path: &ResourcePath) -> Vec<ResourcePath> {
    if path.segments().iter().all(|segment| segment.is_ascii()) {
        return Vec::new();
    }
    let uniform = FORMS.map(|form| path.segments().iter().map(|segment| form(segment)).collect::<Vec<_>>());
    let mut found: Vec<Vec<String>> = uniform.into_iter().collect();
    found.extend(mixed(path.segments()));
    let mut spellings: Vec<ResourcePath> = Vec::new();
    for segments in found {
        let spelling = path.with_segments(segments);
        if spelling != *path && !spellings.contains(&spelling) && spellings.len() < MAX_SPELLINGS {
            spellings.push(spelling);
        }
    }
    spellings
}

/// Every combination of spellings by segment, up to the limit.
fn mixed(segments: &[String]) -> Vec<Vec<String>> {
    let mut combinations: Vec<Vec<String>> = vec![Vec::new()];
    for segment in segments {
        let mut forms = vec![segment.clone()];
        for form in FORMS {
            let spelled = form(segment);
            if !forms.contains(&spelled) {
                forms.push(spelled);
            }
        }
        combinations = combinations
            .iter()
            .flat_map(|start| {
                forms.iter().map(move |form| [start.as_slice(), std::slice::from_ref(form)].concat())
            })
            .take(MAX_SPELLINGS * 2)
            .collect();
    }
    combinations
}

/// The name to store for something new that `client` calls `name`.
pub fn for_new(name: &str, client: &Client) -> String {
    match client.is_webdavfs() {
        true => composed(name),
        false => name.to_owned(),
    }
}

/// The form in which a new name from macOS is stored: composed, leaving alone what Apple's own
/// decomposition leaves alone, so that the name it sends again still means this one.
fn composed(name: &str) -> String {
    piecewise(name, |run| run.nfc().collect())
}

const FORMS: [fn(&str) -> String; 4] = [composed, |s| s.nfc().collect(), |s| s.nfd().collect(), decomposed];

fn decomposed(name: &str) -> String {
    piecewise(name, |run| run.nfd().collect())
}

/// Applies `form` to the runs between characters that Apple's decomposition excludes.
fn piecewise(name: &str, form: impl Fn(&str) -> String) -> String {
    let mut result = String::with_capacity(name.len());
    let mut run = String::new();
    for c in name.chars() {
        if apple_excludes(c) {
            result.push_str(&form(&run));
            result.push(c);
            run.clear();
        } else {
            run.push(c);
        }
    }
    result.push_str(&form(&run));
    result
}

/// The ranges that HFS+ and its heirs never decompose.
fn apple_excludes(c: char) -> bool {
    matches!(c, '\u{2000}'..='\u{2FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{2F800}'..='\u{2FAFF}')
}

/// Each costs two requests when nothing is known; real paths have few such segments.
const MAX_SPELLINGS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ascii_has_one_spelling() {
        assert!(other_spellings(&ResourcePath::parse("/a/b").unwrap()).is_empty());
    }

    #[test]
    fn both_spellings_find_each_other_also_mixed() {
        let path = ResourcePath::default().with_segments(vec!["e\u{301}".into(), "\u{fc}".into()]);
        let keys: Vec<String> = other_spellings(&path).iter().map(ResourcePath::key).collect();
        assert!(keys.contains(&"\u{e9}/\u{fc}".to_owned()));
        assert!(keys.contains(&"e\u{301}/u\u{308}".to_owned()));
        assert!(keys.contains(&"\u{e9}/u\u{308}".to_owned()));
        assert!(keys.len() <= MAX_SPELLINGS);
    }

    #[test]
    fn new_names_are_composed_but_for_apples_exceptions() {
        assert_eq!(composed("e\u{301}"), "\u{e9}");
        assert_eq!(composed("\u{212b}"), "\u{212b}", "the Angstrom sign stays itself");
        assert_eq!(composed("A\u{30a}"), "\u{c5}");
    }
}
