//! The documents: what they show works, what they name exists, and every option is told of.

mod blocks;
mod links;
mod reference;

use std::path::{Path, PathBuf};

/// One Markdown file.
struct Document {
    path: PathBuf,
    text: String,
}

/// A fenced block.
struct Block<'a> {
    /// The line of its fence, from 1.
    line: usize,
    language: &'a str,
    /// What follows the language: how the block is checked.
    mark: &'a str,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All of them but CHANGELOG.md, which tells of what once was.
fn all() -> Vec<Document> {
    let mut paths: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root().join(name)).into();
    paths.retain(|path| path.exists());
    for directory in ["docs", "deploy"] {
        add(&root().join(directory), &mut paths);
    }
    paths.sort();
    let read = |path: PathBuf| Document { text: std::fs::read_to_string(&path).unwrap(), path };
    paths.into_iter().map(read).collect()
}

fn add(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            add(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
}

impl Document {
    fn name(&self) -> String {
        self.path.strip_prefix(root()).unwrap().display().to_string()
    }

    fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks: Vec<Block<'_>> = Vec::new();
        let mut is_within = false;
        for (at, line) in self.text.lines().enumerate() {
            match line.trim_start().strip_prefix("```") {
                Some(_) if is_within => is_within = false,
                Some(info) => {
                    let (language, mark) = info.split_once(' ').unwrap_or((info, ""));
                    blocks.push(Block { line: at + 1, language, mark, text: String::new() });
                    is_within = true;
                }
                None if is_within => {
                    let text = &mut blocks.last_mut().unwrap().text;
                    text.push_str(line);
                    text.push('\n');
                }
                None => {}
            }
        }
        assert!(!is_within, "{}: a block has no end", self.name());
        blocks
    }

    /// Its lines outside of blocks.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut is_within = false;
        self.text.lines().enumerate().filter(move |(_, line)| {
            let is_fence = line.trim_start().starts_with("```");
            is_within ^= is_fence;
            !is_within && !is_fence
        })
    }
}
