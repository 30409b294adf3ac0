//! What is peculiar to clients is known in one place, and each fact is shown by a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{code, sources};

/// The table of clients and of what is peculiar to them.
const TABLE: &str = "src/client.rs";
/// Where a client is made of its request: for what is done, and for the log.
const READ_AGENTS: &[&str] = &["src/http/guard.rs", "src/http/record.rs"];
/// How a test is named in the table: after these words, between backticks.
const SHOWN_BY: &str = "Shown by ";

/// Names under which code might ask for a client. davfs2 and rclone are programs with files of theirs, too.
const NAMES: &[&str] = &["WebDAVFS", "WebDAVLib", "MiniRedir", "gvfs", "Joplin"];

#[test]
fn code_asks_for_facts_about_clients_and_not_for_their_names() {
    let mut wrong = BTreeSet::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| path != Path::new(TABLE)) {
        let (path, code) = (path.display().to_string(), code(&text));
        for name in NAMES.iter().filter(|name| code.contains(*name)) {
            wrong.insert(format!("{path} names {name}: ask a column of `Quirks`"));
        }
        let reads_agents = code.contains("USER_AGENT") || code.to_lowercase().contains("\"user-agent\"");
        if reads_agents && !READ_AGENTS.contains(&path.as_str()) {
            wrong.insert(format!("{path} reads the User-Agent"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Each column and each row of the table, by its first words, with the tests that its comment names.
fn shown(table: &str) -> Vec<(String, Vec<String>)> {
    let (mut found, mut comment) = (Vec::new(), String::new());
    for line in table.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("//") {
            comment.push_str(text.trim_start_matches('/'));
            continue;
        }
        let is_column = line.starts_with("pub ") && line.ends_with(": bool,");
        let is_row = line.starts_with("(\"") && line.ends_with("NONE),");
        if is_column || is_row {
            let tests = comment.split_once(SHOWN_BY).map_or("", |(_, tests)| tests);
            let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            found.push((line.to_owned(), tests));
        }
        comment.clear();
    }
    found
}

/// Whether there is a test with this path in the tests of the gateway.
fn is_there(test: &str) -> bool {
    let Some((module, name)) = test.rsplit_once("::") else { return false };
    let file = format!("{}/tests/gateway/{}.rs", env!("CARGO_MANIFEST_DIR"), module.replace("::", "/"));
    fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("fn {name}(")))
}

#[test]
fn each_fact_about_a_client_names_tests_that_show_it() {
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE)).unwrap();
    let shown = shown(code_and_comments(&table));
    assert!(shown.len() > 10, "{shown:#?}");
    for (fact, tests) in shown {
        assert!(!tests.is_empty(), "{fact} names no test");
        for test in tests {
            assert!(is_there(&test), "{fact} names {test}, which is not there");
        }
    }
    assert!(!is_there("finder::quirks::nothing") && !is_there("nowhere::a_test"));
}

/// The text before its unit tests.
fn code_and_comments(text: &str) -> &str {
    text.split_once("#[cfg(test)]").map_or(text, |(before, _)| before)
}
