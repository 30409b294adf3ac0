//! Arrows between modules point down, and foreign types stay behind their doors.

mod clients;
mod glossary;
mod modules;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use modules::{Module, Modules, circles};

/// Which modules a module may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("checksum", &[]),
    ("client", &[]),
    ("object", &[]),
    ("open_file", &[]),
    ("path_key", &[]),
    ("sync", &["path_key"]),
    ("metrics", &[]),
    ("shutdown", &["tally"]),
    ("tally", &[]),
    ("logging", &["named"]),
    ("spelling", &[]),
    ("words", &[]),
    ("units", &[]),
    ("named", &[]),
    ("mistake", &[]),
    ("bucket_spec", &[]),
    ("peer", &[]),
    ("descriptors", &[]),
    ("sockets", &[]),
    ("process", &[]),
    ("mount", &["state", "logging", "process"]),
    ("service", &["process"]),
    ("notify", &["metrics", "named", "path_key", "shutdown", "logging", "state", "process", "words"]),
    ("iam", &["named"]),
    ("aws_cli", &["process"]),
    ("stack", &["named"]),
    ("cache", &["checksum", "object"]),
    ("state", &["logging", "path_key", "sync"]),
    ("spool", &["checksum", "state", "open_file", "sync", "tally"]),
    (
        "store",
        &[
            "checksum", "object", "path_key", "metrics", "shutdown", "logging", "spelling", "state", "cache",
            "spool", "sync", "tally", "named",
        ],
    ),
    (
        "fs",
        &[
            "checksum",
            "client",
            "named",
            "object",
            "metrics",
            "shutdown",
            "logging",
            "state",
            "store",
            "cache",
            "spool",
            "open_file",
            "path_key",
            "sync",
            "tally",
        ],
    ),
    // For people: above what is served, it only shows.
    ("page", &[]),
    ("dav", &["client", "object", "path_key", "shutdown", "logging", "state", "store", "fs", "page"]),
    // Another gateway, and the ways to it.
    ("relay", &["spool", "logging", "metrics", "peer"]),
    ("far", &["aws_cli", "container", "logging", "named", "process", "relay", "sockets", "state", "store"]),
    (
        "http",
        &[
            "relay", "client", "object", "metrics", "named", "shutdown", "logging", "fs", "dav", "page",
            "peer", "sync", "tally",
        ],
    ),
    // The defaults and the choices of options are those of the layers that use them.
    (
        "cli",
        &[
            "bucket_spec",
            "cache",
            "container",
            "far",
            "fs",
            "http",
            "iam",
            "logging",
            "mistake",
            "mount",
            "named",
            "notify",
            "shutdown",
            "sockets",
            "spelling",
            "stack",
            "store",
            "units",
        ],
    ),
    (
        "config",
        &[
            "bucket_spec",
            "mistake",
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
            "shutdown",
            "sockets",
            "spool",
            "notify",
            "named",
            "spelling",
            "units",
        ],
    ),
    ("embedded", &["checksum"]),
    ("control", &["mount", "state", "sync"]),
    ("container", &["control", "logging", "mount", "named", "process", "state", "store"]),
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
            "mistake",
            "bucket_spec",
            "container",
            "cli",
            "embedded",
            "iam",
            "control",
            "descriptors",
            "mount",
            "named",
            "notify",
            "parent",
            "path_key",
            "peer",
            "process",
            "service",
            "sockets",
            "spelling",
            "spool",
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

/// Files and folders that are compiled for tests alone.
const OF_TESTS: &[&str] = &["src/fs/s3/simulation", "src/sync/in_turn.rs"];

pub fn sources() -> Vec<(PathBuf, String)> {
    let is_test = |path: &Path| OF_TESTS.iter().any(|tests| path.starts_with(tests));
    files_of("src").into_iter().filter(|(path, _)| !is_test(path)).collect()
}

fn files_of(directory: &str) -> Vec<(PathBuf, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
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

/// The program's modules, without its tests.
fn modules() -> Modules {
    let sources: Vec<_> = sources().into_iter().filter(|(_, text)| !is_test(text)).collect();
    Modules::read(sources.iter().map(|(path, text)| (path.as_path(), text.as_str())))
}

#[test]
fn arrows_point_down() {
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    let mut wrong = BTreeSet::new();
    for (user, used) in modules().arrows() {
        let (Some(from), to) = (user.first(), &used[0]) else { continue };
        let may = allowed.get(from.as_str()).map_or(&[] as &[&str], |may| may);
        let is_allowed = from == "main" || from == to || may.contains(&to.as_str());
        if !is_allowed {
            wrong.insert(format!("{} uses {}", user.join("/"), used.join("/")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is allowed and not used is a door that stands open.
#[test]
fn the_table_has_no_circle_and_nothing_too_much() {
    let own = |names: &[&str]| -> Module { names.iter().map(ToString::to_string).collect() };
    let table = ALLOWED.iter().flat_map(|(from, all)| all.iter().map(|to| (own(&[from]), own(&[to]))));
    let table: BTreeSet<_> = table.collect();
    assert_eq!(circles(&table), Vec::<String>::new());
    let used = modules().arrows().into_iter().filter(|(user, _)| !user.is_empty());
    let used: BTreeSet<_> = used.map(|(user, used)| (own(&[&user[0]]), own(&[&used[0]]))).collect();
    let unused: Vec<_> = table.difference(&used).collect();
    assert!(unused.is_empty(), "{unused:#?}");
}

#[test]
fn files_and_folders_beside_each_other_use_each_other_in_no_circle() {
    assert_eq!(circles(&modules().arrows()), Vec::<String>::new());
}

#[test]
fn circles_are_found() {
    let read = |texts: &[(&str, &str)]| {
        let found = Modules::read(texts.iter().map(|(path, text)| (Path::new(*path), *text)));
        circles(&found.arrows())
    };
    let through_a_name = [
        ("src/lib.rs", "pub mod a; pub mod b;"),
        ("src/a/mod.rs", "mod inner; pub use inner::Thing;"),
        ("src/a/inner.rs", "use crate::b; pub struct Thing;"),
        ("src/b.rs", "/* crate::a */ fn f() -> super::a::Thing { todo!() }"),
    ];
    assert_eq!(read(&through_a_name), ["a uses {\"b\"}", "b uses {\"a\"}"].map(|line| format!(": {line}")));
    let of_siblings = [
        ("src/a/mod.rs", "mod x; mod y; pub struct Own;"),
        ("src/a/x.rs", "use super::{Own, y::{self, Y}};"),
        ("src/a/y.rs", "fn f() { vec![super::x::X] }"),
    ];
    assert_eq!(read(&of_siblings).len(), 2);
    let in_tests_alone = [
        ("src/a/mod.rs", "mod x; mod y; pub struct Own;"),
        ("src/a/x.rs", "use super::{Own, y};"),
        ("src/a/y.rs", "#[cfg(test)] mod tests { use super::super::x; } #[cfg(test)] use super::x;"),
    ];
    assert_eq!(read(&in_tests_alone), Vec::<String>::new());
}

#[test]
fn foreign_types_stay_behind_their_doors() {
    let modules = modules();
    let mut wrong = BTreeSet::new();
    for (module, first) in modules.foreign() {
        let path = format!("src/{}.rs", module.join("/"));
        for (name, places) in DOORS {
            // A name that ends in a line is that of many crates.
            let is_it = if name.ends_with('_') { first.starts_with(name) } else { first == *name };
            let is_in = |place: &&str| {
                path.starts_with(*place) || path == place.trim_end_matches('/').to_owned() + ".rs"
            };
            if is_it && !places.iter().any(is_in) {
                wrong.insert(format!("{path} names {first}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What an error of the system means depends on what was done. Only in `fs/path` every one is of the directory that is
/// served.
#[test]
fn errors_of_the_system_become_ours_where_their_meaning_is_known() {
    let is_blanket = |line: &str| {
        line.contains("From<io::Error>")
            || line.contains("From<std::io::Error>")
            || (line.contains("#[from]") && line.contains("io::Error"))
    };
    let blanket = sources().into_iter().filter(|(_, text)| code(text).lines().any(is_blanket));
    let blanket: Vec<_> = blanket.map(|(path, _)| path).collect();
    assert_eq!(blanket, [Path::new("src/fs/path/disk.rs")], "name the variant: `map_err(Enum::Variant)`");
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
