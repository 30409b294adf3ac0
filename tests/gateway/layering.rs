//! Arrows between modules point down, and foreign types stay behind their doors.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which modules a module may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("client", &[]),
    ("object", &[]),
    ("open_file", &[]),
    ("metrics", &[]),
    ("shutdown", &["tally"]),
    ("tally", &[]),
    ("logging", &[]),
    ("seeded", &[]),
    ("spelling", &[]),
    ("words", &[]),
    ("peer", &[]),
    ("descriptors", &[]),
    ("sockets", &[]),
    ("process", &[]),
    ("mount", &["state", "logging", "process"]),
    ("service", &["process"]),
    ("notify", &["metrics", "shutdown", "logging", "state", "process", "words"]),
    ("iam", &[]),
    ("aws_cli", &["process"]),
    ("stack", &[]),
    ("cache", &["object", "seeded"]),
    ("state", &["logging"]),
    ("intake", &["state", "open_file", "tally"]),
    (
        "store",
        &[
            "object", "metrics", "shutdown", "logging", "seeded", "spelling", "state", "cache", "intake",
            "tally",
        ],
    ),
    (
        "fs",
        &[
            "client",
            "object",
            "metrics",
            "shutdown",
            "logging",
            "seeded",
            "state",
            "store",
            "cache",
            "intake",
            "open_file",
        ],
    ),
    // For people: above what is served, it only shows.
    ("page", &[]),
    ("dav", &["object", "shutdown", "logging", "state", "fs", "page"]),
    // Another gateway, and the ways to it.
    ("relay", &["intake", "logging", "metrics", "peer"]),
    ("far", &["aws_cli", "container", "logging", "process", "relay", "state", "store"]),
    (
        "http",
        &[
            "relay", "client", "object", "metrics", "shutdown", "logging", "fs", "dav", "page", "peer",
            "tally",
        ],
    ),
    // The command line's structs parse units while clap reads them.
    ("cli", &["config", "spelling"]),
    (
        "config",
        &[
            "aws_cli",
            "container",
            "far",
            "relay",
            "cli",
            "cache",
            "state",
            "store",
            "fs",
            "http",
            "mount",
            "intake",
            "notify",
            "spelling",
        ],
    ),
    ("embedded", &[]),
    ("control", &["state"]),
    ("container", &["control", "logging", "mount", "process", "state", "store"]),
    ("parent", &["control", "logging", "mount", "process", "shutdown", "sockets", "state"]),
    (
        "commands",
        &[
            "aws_cli",
            "object",
            "metrics",
            "shutdown",
            "logging",
            "stack",
            "state",
            "store",
            "far",
            "fs",
            "dav",
            "http",
            "relay",
            "config",
            "container",
            "cli",
            "embedded",
            "iam",
            "control",
            "descriptors",
            "mount",
            "notify",
            "parent",
            "peer",
            "process",
            "service",
            "sockets",
            "spelling",
            "intake",
            "words",
        ],
    ),
];

/// Crates, and the only places that may name them.
const DOORS: &[(&str, &[&str])] = &[
    ("aws_", &["src/store/s3/"]),
    ("dav_server", &["src/dav/adapter/"]),
    ("clap", &["src/cli/"]),
    ("redb", &["src/state/"]),
    ("cap_std", &["src/fs/path/"]),
    ("s3s", &["src/embedded/"]),
    ("anyhow", &["src/commands/"]),
    ("prometheus_client", &["src/metrics.rs"]),
    ("quick_xml", &["src/dav/"]),
    ("toml", &["src/config/file.rs", "src/state/source.rs"]),
    ("listenfd", &["src/sockets/"]),
    ("strsim", &["src/spelling.rs"]),
    ("askama", &["src/page/"]),
    ("tz", &["src/page/"]),
    ("libc", &["src/peer/", "src/sockets/"]),
];

/// Lines of a file that are not tests; more do not fit a head.
const MAX_LINES: usize = 400;

pub fn sources() -> Vec<(PathBuf, String)> {
    files_of("src")
}

fn files_of(directory: &str) -> Vec<(PathBuf, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, found),
                false if path.extension().is_some_and(|e| e == "rs") => found.push(path),
                false => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), &mut found);
    let relative = |path: PathBuf| path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_owned();
    found.into_iter().map(|path| (relative(path.clone()), fs::read_to_string(path).unwrap())).collect()
}

/// Whether a file is one of property tests, or of what they share.
fn is_test(text: &str) -> bool {
    text.contains("\nuse proptest::")
}

/// The text before its unit tests, without comments.
pub fn code(text: &str) -> String {
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end].lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn arrows_point_down() {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let module = path.iter().nth(1).unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
        if module == "lib" || module == "main" || is_test(&text) {
            continue;
        }
        let may = allowed.get(module.as_str()).unwrap_or_else(|| panic!("{module} is not in the table"));
        for rest in code(&text).split("crate::").skip(1) {
            let used: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if used != module && !may.contains(&used.as_str()) {
                wrong.push(format!("{} uses {used}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn foreign_types_stay_behind_their_doors() {
    let mut wrong = Vec::new();
    for (path, text) in sources().into_iter().filter(|(_, text)| !is_test(text)) {
        let path = path.to_string_lossy().into_owned();
        for (name, places) in DOORS {
            let names = code(&text).lines().any(|line| {
                line.contains(&format!("use {name}"))
                    || line.contains(&format!(" {name}::"))
                    || line.contains(&format!("<{name}::"))
            });
            if names && !places.iter().any(|place| path.starts_with(place)) {
                wrong.push(format!("{path} names {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn tests_run_what_the_table_of_outside_programs_gives_them() {
    let runs = ["Command", "::new("].concat();
    let outside = files_of("tests").into_iter();
    let outside = outside.filter(|(path, _)| !path.starts_with("tests/gateway/harness"));
    let beside = sources().into_iter().filter_map(|(path, text)| {
        let tests = text.find("#[cfg(test)]").map(|at| text[at..].to_owned());
        Some((path, tests?))
    });
    let wrong: Vec<_> = outside.chain(beside).filter(|(_, text)| text.contains(&runs)).collect();
    let wrong: Vec<_> = wrong.into_iter().map(|(path, _)| path).collect();
    assert!(wrong.is_empty(), "{wrong:#?}: ask `harness::clients::needs`");
}

#[test]
fn what_is_pending_has_one_table_and_one_recovery() {
    let state: String = files_of("src/state").into_iter().map(|(_, text)| code(&text)).collect();
    let count = |text: &str| state.matches(text).count();
    assert_eq!((count("fn recover"), count("TableDefinition::new(\"pending\")")), (1, 1));
    let others: Vec<_> =
        sources().into_iter().filter(|(_, text)| code(text).contains(".recover()")).collect();
    assert_eq!(others.len(), 1, "it is called once, at the start");
}

#[test]
fn files_and_functions_fit_a_head_and_a_screen() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let end = text.find("#[cfg(test)]").unwrap_or(text.len());
        let lines = text[..end].lines().count();
        if lines > MAX_LINES {
            wrong.push(format!("{}: {lines} lines", path.display()));
        }
        if !text.trim_start().starts_with("//!") {
            wrong.push(format!("{} does not say what it is for", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
