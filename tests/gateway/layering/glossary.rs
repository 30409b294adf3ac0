//! `src/ARCHITECTURE.md` is true: what it names is there, and no type of the store is missing in it.

use std::collections::BTreeSet;

use super::{code, sources};
use crate::harness::in_repository;

fn page() -> String {
    std::fs::read_to_string(in_repository("src/ARCHITECTURE.md")).unwrap()
}

/// What stands between backquotes.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_glossary_has_every_public_type_of_the_store() {
    let page = page();
    let (_, glossary) = page.split_once("## Glossary").unwrap();
    let rows: String = glossary.lines().filter(|line| line.starts_with('|')).collect();
    let glossary = quoted(&rows);
    let sources = sources();
    let of_store = sources.iter().filter(|(path, _)| path.starts_with("src/store"));
    let mut types = BTreeSet::new();
    for (_, text) in of_store {
        for line in code(text).lines() {
            let item = ["struct ", "enum ", "trait ", "type "]
                .iter()
                .find_map(|kind| line.strip_prefix("pub ")?.strip_prefix(kind));
            let name = item.map(|item| item.split(|c: char| !c.is_alphanumeric()).next().unwrap().to_owned());
            types.extend(name);
        }
    }
    let types: BTreeSet<&str> = types.iter().map(String::as_str).collect();
    assert!(types.len() > 30, "{types:?}");
    assert_eq!(types.difference(&glossary).collect::<Vec<_>>(), Vec::<&&str>::new(), "not in the glossary");
    assert_eq!(
        glossary.difference(&types).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "no public type of the store"
    );
}

/// A file or a folder is named by the end of its path, or by all of it from the repository's root.
#[test]
fn the_places_that_the_architecture_names_exist() {
    let page = page();
    let is_path = |word: &&str| word.ends_with(".rs") || (word.contains('/') && !word.contains([' ', ':']));
    let sources = sources();
    let is_there = |word: &str| {
        let mut places = sources.iter().flat_map(|(path, _)| path.ancestors());
        places.any(|place| place.ends_with(word)) || in_repository(word).exists()
    };
    let missing: Vec<_> = quoted(&page).into_iter().filter(is_path).filter(|word| !is_there(word)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}
