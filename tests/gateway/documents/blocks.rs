//! Each fenced block says how it is checked, after its language: `run` (here, by a shell), `parsed` (by clap, or as a
//! file of its kind), or `elsewhere:` and the reason why neither can be.

use std::collections::BTreeMap;
use std::ffi::OsString;

use s3dav::cli::{Layer, parse};

use super::{Block, Document, all};
use crate::harness::clients;
use crate::harness::process::{command, outcome};

#[tokio::test]
async fn every_block_is_run_parsed_or_says_why_not() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for document in &all() {
        for block in document.blocks() {
            let place = format!("{}:{}", document.name(), block.line);
            let kind = match block.mark {
                "run" => {
                    run(&block, &place).await;
                    "run"
                }
                "parsed" => {
                    read(&block, &place).await;
                    "parsed"
                }
                mark => {
                    let reason = mark.strip_prefix("elsewhere: ").unwrap_or_default();
                    assert!(!reason.trim().is_empty(), "{place}: the block is not marked: {mark:?}");
                    "elsewhere"
                }
            };
            *counts.entry(kind).or_default() += 1;
        }
    }
    println!("blocks of the documents: {counts:?}");
}

/// In an empty home, with the program in the path.
async fn run(block: &Block<'_>, place: &str) {
    assert_eq!(block.language, "sh", "{place}");
    let home = tempfile::tempdir().unwrap();
    let model = command(&[]);
    let program = std::path::Path::new(model.as_std().get_program()).parent().unwrap().to_owned();
    let Some(tools) = clients::needs(&["sh"]) else { return };
    let mut shell = tools.command("sh");
    crate::harness::process::take_environment(&mut shell, &model);
    let path = std::env::var("PATH").unwrap_or_default();
    shell.args(["-e", "-c", &block.text]).current_dir(home.path()).env("HOME", home.path());
    shell
        .env("XDG_STATE_HOME", home.path().join("state"))
        .env("PATH", format!("{}:{path}", program.display()));
    let (code, _, error) = outcome(shell).await;
    assert_eq!(code, 0, "{place}: {error}");
}

async fn read(block: &Block<'_>, place: &str) {
    match block.language {
        "sh" => {
            let commands = commands(&block.text);
            assert!(!commands.is_empty(), "{place}: no command of ours");
            for words in commands {
                let arguments = words.iter().map(OsString::from);
                let parsed = parse(arguments, |_| Ok::<_, std::convert::Infallible>(Layer::new()));
                assert!(parsed.is_ok(), "{place}: {words:?}: {:?}", parsed.err());
            }
        }
        "toml" => configuration(block, place).await,
        "json" => {
            let read: Result<serde_json::Value, _> = serde_json::from_str(&block.text);
            assert!(read.is_ok(), "{place}: {read:?}");
        }
        other => panic!("{place}: nothing here parses {other:?}"),
    }
}

/// A configuration file, with each of its sources.
async fn configuration(block: &Block<'_>, place: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &block.text).unwrap();
    let names = block.text.lines().filter_map(|line| line.strip_prefix("[sources.")?.strip_suffix(']'));
    for name in names {
        let shown = command(&["config", "show", "--source", name, "--config", file.path().to_str().unwrap()]);
        let (code, _, error) = outcome(shown).await;
        assert_eq!(code, 0, "{place}: {error}");
    }
}

/// The command lines of s3dav in a script, as words.
fn commands(script: &str) -> Vec<Vec<String>> {
    let joined = script.replace("\\\n", " ");
    let lines = joined.lines().map(|line| line.trim().trim_start_matches("$ "));
    let parts = lines.flat_map(|line| line.split(['|', ';', '&', '>']).map(words));
    parts.filter_map(ours).collect()
}

/// From the program's name on: behind variables, or `docker exec`. What else stands behind another program is its own.
fn ours(words: Vec<String>) -> Option<Vec<String>> {
    let at = words.iter().position(|word| word == "s3dav")?;
    let is_first = words[..at].iter().all(|word| word.contains('='));
    let is_executed = words.starts_with(&["docker".to_owned(), "exec".to_owned()]) && words.len() > at + 1;
    (is_first || is_executed).then(|| words[at..].to_vec())
}

/// Quotes keep words together; what follows a `#` is a comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[test]
fn command_lines_are_found_in_scripts() {
    let script = "$ s3dav mount 'a b' \\\n  --read-only   # so\nopen /tmp/s3files\nA=1 s3dav status | grep x && docker exec files s3dav health\n";
    let found = commands(script);
    assert_eq!(found[0], ["s3dav", "mount", "a b", "--read-only"]);
    assert_eq!(found[1], ["s3dav", "status"]);
    assert_eq!(found[2], ["s3dav", "health"]);
    assert_eq!(found.len(), 3);
}

#[test]
fn marks_are_read() {
    let text = "a\n```sh run\nb\n```\n```json elsewhere: x y\n{}\n```\n".to_owned();
    let document = Document { path: super::root().join("README.md"), text };
    let blocks = document.blocks();
    assert_eq!(
        (blocks[0].language, blocks[0].mark, blocks[0].line, &*blocks[0].text),
        ("sh", "run", 2, "b\n")
    );
    assert_eq!((blocks[1].language, blocks[1].mark), ("json", "elsewhere: x y"));
}
