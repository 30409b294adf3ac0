//! Spellings of names: Unicode writes `é` in two ways, clients and buckets choose freely.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

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

/// Whether no other name means the same to Unicode, but for rare signs that are another's double.
pub fn has_one_spelling(name: &str) -> bool {
    name.is_ascii() || name.nfc().eq(name.nfd())
}

/// How every spelling of `name` begins, one of these: up to the first letter that has marks, and with it.
pub fn first_letters(name: &str) -> Vec<String> {
    let decomposed: Vec<char> = name.nfd().collect();
    let Some(mark) = decomposed.iter().position(|c| is_combining_mark(*c)) else {
        return vec![name.to_owned()];
    };
    let marks = decomposed[mark..].iter().take_while(|c| is_combining_mark(**c)).take(MAX_MARKS);
    let (before, letter) = decomposed.split_at(mark.saturating_sub(1));
    let mut letters: Vec<String> = vec![letter.iter().take(1).collect()];
    for mark in marks {
        let more: Vec<String> =
            letters.iter().map(|letter| letter.chars().chain([*mark]).nfc().collect()).collect();
        letters.extend(more.into_iter().filter(|letter| letter.chars().count() == 1));
    }
    letters.sort();
    letters.dedup();
    letters.into_iter().map(|letter| before.iter().copied().nfc().chain(letter.chars()).collect()).collect()
}

/// The name to store for something new that `client` calls `name`.
pub fn for_new(name: &str, client: &Client) -> String {
    if client.quirks().decomposes_names { composed(name) } else { name.to_owned() }
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

/// No letter of any language has more.
const MAX_MARKS: usize = 3;
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
    fn all_spellings_of_a_name_begin_in_few_ways() {
        let first = |name: &str| first_letters(name);
        assert_eq!(first("Ti\u{1ebf}ng"), ["Tie", "Ti\u{e9}", "Ti\u{ea}", "Ti\u{1ebf}"]);
        assert_eq!(first("u\u{308}"), ["u", "\u{fc}"]);
        assert_eq!(first("\u{6771}"), ["\u{6771}"]);
        assert!(has_one_spelling("\u{6771}") && has_one_spelling("a") && !has_one_spelling("\u{fc}"));
    }

    #[test]
    fn new_names_are_composed_but_for_apples_exceptions() {
        assert_eq!(composed("e\u{301}"), "\u{e9}");
        assert_eq!(composed("\u{212b}"), "\u{212b}", "the Angstrom sign stays itself");
        assert_eq!(composed("A\u{30a}"), "\u{c5}");
    }

    /// A name with the Angstrom sign, which Apple leaves alone.
    const ANGSTROM: &str = "\u{212b}\u{e9}";

    #[test]
    fn each_other_spelling_is_tried_once_and_there_are_few() {
        let spellings = |name: &str, depth| {
            let path = ResourcePath::default().with_segments(vec![name.to_owned(); depth]);
            let mut keys: Vec<String> = other_spellings(&path).iter().map(ResourcePath::key).collect();
            assert!(!keys.contains(&path.key()), "its own");
            keys.sort();
            keys
        };
        assert_eq!(spellings("\u{e9}", 1), ["e\u{301}"]);
        assert_eq!(spellings("\u{e9}", 2), ["e\u{301}/e\u{301}", "e\u{301}/\u{e9}", "\u{e9}/e\u{301}"]);
        let mut many = spellings("\u{e9}", 5);
        many.dedup();
        assert_eq!(many.len(), MAX_SPELLINGS);
        assert!(many.contains(&["e\u{301}"; 5].join("/")), "the same in all segments comes first");
        let expected = ["A\u{30a}e\u{301}", "\u{c5}\u{e9}", "\u{212b}e\u{301}"];
        assert_eq!(spellings(ANGSTROM, 1), expected);
    }

    #[test]
    fn a_new_name_is_composed_for_a_client_that_decomposes() {
        let new = |agent: &str| for_new("e\u{301}", &Client::new(None, [127, 0, 0, 1].into(), agent));
        assert_eq!(new("WebDAVFS/3.0.0"), "\u{e9}");
        assert_eq!(new("davfs2/1.6.1"), "e\u{301}", "as it was sent");
    }

    #[test]
    fn what_apple_leaves_alone_stays_when_the_rest_is_decomposed() {
        assert_eq!(decomposed(ANGSTROM), "\u{212b}e\u{301}");
        assert_eq!(composed(&decomposed(ANGSTROM)), ANGSTROM);
    }
}
