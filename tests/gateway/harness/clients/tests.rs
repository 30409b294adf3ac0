//! The table, given programs that are not what their names say.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::needs;
use super::probe::{Place, Runner, Search};
use super::table::TABLE;

/// How a program is crippled, and what the answer says of it.
const FORMS: [(&str, &str); 6] = [
    ("exit 1", ""),
    ("exit 0", ""),
    ("echo '%$&/ 3 ;;'; echo 0.0.0.1", ""),
    ("echo NAME NAME 0.1.2 version 0.1 v0.1", ""),
    ("while :; do echo yes; done", ""),
    ("kill -STOP $$", "does not end within"),
];

/// A directory with a program in it.
fn directory(name: &str, script: &str, mode: u32) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    directory
}

fn search(path: &Path, limit: Duration) -> Search {
    Search { path: path.into(), variable: |_| None, runner: Runner::Own, limit }
}

/// Whether a program may be crippled and nobody can tell: it is asked to do nothing that shows.
fn is_silent(name: &str, script: &str) -> bool {
    script == "exit 0" && ["chgrp", "rm", "sleep", "sync", "tr"].contains(&name)
}

#[test]
fn crippled_programs_are_named_and_not_used() {
    let Some(_) = needs(&["sh"]) else { return };
    for (script, says) in FORMS {
        std::thread::scope(|scope| {
            for client in TABLE.iter().filter(|client| matches!(client.place, Place::Tool | Place::Program)) {
                scope.spawn(move || {
                    let directory = directory(client.name, &script.replace("NAME", client.name), 0o755);
                    let answer = client.look(&search(directory.path(), LIMIT));
                    if !is_silent(client.name, script) {
                        let reason = answer.expect_err(client.name);
                        assert!(reason.contains(client.name) && reason.contains(says), "{script}: {reason}");
                    }
                });
            }
        });
    }
}

#[test]
fn what_is_no_program_is_passed_over() {
    let Some(_) = needs(&["sh"]) else { return };
    let client = TABLE.iter().find(|client| client.name == "seq").unwrap();
    let looked = |path: &Path| client.look(&search(path, Duration::from_secs(60)));
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(looked(empty.path()), Err("seq is not installed".to_owned()));
    let plain = directory("seq", "echo 1; echo 2; echo 3", 0o644);
    assert_eq!(looked(plain.path()), Err("seq is not executable".to_owned()));
    let works = directory("seq", "echo 1; echo 2; echo 3", 0o755);
    let both = std::env::join_paths([empty.path(), plain.path(), works.path()]).unwrap();
    assert_eq!(looked(Path::new(&both)), Ok(works.path().join("seq")), "as a shell finds it");
}

#[test]
fn a_variable_names_another() {
    let client = TABLE.iter().find(|client| client.name == "moto_server").unwrap();
    let mut search = search(Path::new("/nonexistent"), LIMIT);
    let reason = client.look(&search).unwrap_err();
    assert_eq!(reason, "moto_server is not installed (S3DAV_MOTO may name another)");
    search.variable = |name| (name == "S3DAV_MOTO").then(|| OsString::from("/nonexistent/moto"));
    let reason = client.look(&search).unwrap_err();
    assert_eq!(reason, "moto_server is not at /nonexistent/moto (S3DAV_MOTO may name another)");
}

#[test]
fn an_old_version_is_told() {
    let Some(_) = needs(&["sh"]) else { return };
    let client = TABLE.iter().find(|client| client.name == "curl").unwrap();
    for (version, answer) in [
        ("curl 7.87.9 (x) libcurl/8.0", Err("curl 7.87.9 is too old, 7.88 works".to_owned())),
        ("curl (x)", Err("curl does not say its version".to_owned())),
        ("curl 7.88", Ok(())),
        ("curl 10.0-rc1", Ok(())),
    ] {
        let directory = directory("curl", &format!("echo '{version}'"), 0o755);
        let found = client.look(&search(directory.path(), Duration::from_secs(60)));
        assert_eq!(found.map(drop), answer, "{version}");
    }
}

#[test]
fn no_name_stands_twice() {
    let mut names: Vec<_> = TABLE.iter().map(|client| client.name).collect();
    let rows = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rows);
}

/// A program that does not end takes as long; the others are not held up.
const LIMIT: Duration = Duration::from_secs(5);
