//! Links within the repository lead somewhere.

use super::{Document, all, root};

#[test]
fn links_lead_somewhere() {
    let documents = all();
    let mut checked = 0;
    for document in &documents {
        for (line, target) in targets(document) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let place = format!("{}:{line}: {target}", document.name());
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => document.path.clone(),
                file => document.path.parent().unwrap().join(file),
            };
            let path = path.canonicalize().unwrap_or_else(|error| panic!("{place}: {error}"));
            assert!(path.starts_with(root().canonicalize().unwrap()), "{place}: leads out of the repository");
            if !anchor.is_empty() {
                let text = std::fs::read_to_string(&path).unwrap();
                let target = Document { path, text };
                assert!(
                    anchors(&target).iter().any(|known| known == anchor),
                    "{place}: {:?}",
                    anchors(&target)
                );
            }
            checked += 1;
        }
    }
    println!("links within the documents: {checked}");
}

/// What `[text](target)` and `![text](target)` lead to, with the line from 1.
fn targets(document: &Document) -> Vec<(usize, &str)> {
    let of_line = |(at, line): (usize, _)| {
        let line: &str = line;
        let ends = line.match_indices("](").map(move |(start, _)| &line[start + 2..]);
        ends.filter_map(move |rest| Some((at + 1, rest.split_once(')')?.0)))
    };
    document.prose().flat_map(of_line).collect()
}

/// As GitHub names its headings.
fn anchors(document: &Document) -> Vec<String> {
    let headings = document.prose().filter_map(|(_, line)| line.strip_prefix('#'));
    let slug = |heading: &str| {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(slug).collect()
}
