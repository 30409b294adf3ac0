//! Names come from one file, and nothing is made without them; what must not be published is refused.

use super::{MAKERS, VERSION, ending, files, in_repository, release, succeeds};
use crate::harness::clients::{Tools, needs};

/// A program that is small, and packed in place of ours.
const SMALL: &str = "cat";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_made_for_names_that_are_not_given() {
    let Some(tools) = needs(&[MAKERS, &[SMALL]].concat()) else { return };
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("published");
    // The names that are in the repository.
    let said = succeeds(&mut small(&tools, &out, &[])).await;
    let made = files(&out);
    let kinds: Vec<&str> = made.iter().map(|name| name.rsplit('.').next().unwrap()).collect();
    let names = names();
    let is_given = |name: &str| !names[name].as_str().unwrap().is_empty();
    for (kind, package, needed) in
        [("deb", ".deb", "maintainer"), ("whl", "wheel", "pypi"), ("tgz", "npm package", "npm")]
    {
        assert_eq!(kinds.contains(&kind), is_given(needed), "{made:?}");
        let is_told = said.contains(&format!("left out: the {package}, which needs {needed} in names.toml"));
        assert_eq!(is_told, !is_given(needed), "{said}");
    }
    assert_eq!(kinds.iter().filter(|kind| ["json", "gz", "rpm"].contains(kind)).count(), 3, "{made:?}");
    assert!(made.contains(&"SHA256SUMS".to_owned()) && !made.contains(&"s3dav.rb".to_owned()), "{made:?}");
    assert!(made.iter().any(|name| name.starts_with(&format!("s3dav-{VERSION}-"))), "{made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_published_is_refused() {
    let Some(tools) = needs(&[MAKERS, &[SMALL]].concat()) else { return };
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("published");
    let other = match std::env::consts::ARCH {
        "aarch64" => "x86_64-unknown-linux-gnu",
        _ => "aarch64-unknown-linux-gnu",
    };
    let other_says = format!("is not for {other}");
    for (target, says) in [
        ("aarch64-apple-darwin", "is published only from a Mac"),
        (other, other_says.as_str()),
        ("mips-unknown-linux-gnu", "is not published; what is: x86_64-unknown-linux-gnu"),
    ] {
        let (code, _, error) = ending(&mut small(&tools, &out, &[target])).await;
        assert!(code == 1 && error.contains("error: ") && error.contains(says), "{error}");
    }
    let (_, _, error) = ending(&mut small(&tools, &out, &["none"])).await;
    let workflow = std::fs::read_to_string(in_repository(".github/workflows/release.yml")).unwrap();
    let all: Vec<&str> = error.split("what is: ").nth(1).unwrap().trim().split(", ").collect();
    assert!(all.len() == 4 && all.iter().all(|target| workflow.contains(target)), "{all:?}");
    let own = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let pack = |binary: &std::path::Path, glibc: &str| {
        let mut pack = tools.command("Python for packages");
        pack.args(["-B".as_ref(), in_repository(".ci/packages").as_os_str()]);
        pack.args(["pack".as_ref(), own.as_ref(), binary.as_os_str(), out.as_os_str()]);
        pack.args(["--glibc", glibc, "--documents-by", env!("CARGO_BIN_EXE_s3dav")]);
        pack.env("SOURCE_DATE_EPOCH", "1800000000");
        pack
    };
    let (code, _, error) = ending(&mut pack(tools.path(SMALL), "2.1")).await;
    assert!(code == 1 && error.contains(", newer than 2.1"), "{error}");
    let script = place.path().join("script");
    std::fs::write(&script, "#!/bin/sh\n").unwrap();
    let (code, _, error) = ending(&mut pack(&script, "2.31")).await;
    assert!(code == 1 && error.contains("is no binary of Linux"), "{error}");
    // What was refused has left nothing.
    assert!(!out.exists() || files(&out).is_empty(), "{:?}", files(&out));
}

#[test]
fn cargo_and_the_packages_name_the_same_repository() {
    let manifest: toml::Table =
        std::fs::read_to_string(in_repository("Cargo.toml")).unwrap().parse().unwrap();
    let repository = manifest["package"].get("repository").and_then(toml::Value::as_str);
    assert_eq!(repository.unwrap_or_default(), names()["repository"].as_str().unwrap());
}

#[test]
fn the_version_is_the_same_wherever_it_is_told() {
    for (file, start) in [
        ("CHANGELOG.md", "\n## "),
        ("deploy/README.md", "s3dav:"),
        ("deploy/container/compose.yaml", "s3dav:"),
        ("deploy/container/compose.yaml", "s3dav-s3files:"),
        ("deploy/kubernetes/examples/notebook/kustomization.yaml", "newTag: "),
        ("deploy/kubernetes/examples/read-only/kustomization.yaml", "newTag: "),
        ("deploy/kubernetes/examples/team-prefix/kustomization.yaml", "newTag: "),
        ("docs/INSTALL.md", "s3dav-"),
        ("docs/INSTALL.md", "s3dav_"),
        ("docs/pictures/terminal.svg", "s3dav "),
    ] {
        let text = std::fs::read_to_string(in_repository(file)).unwrap();
        let told = text.match_indices(start).map(|(at, _)| &text[at + start.len()..]);
        let versions: Vec<&str> = told.filter_map(version_at).collect();
        assert!(!versions.is_empty(), "{file} tells no version after {start:?}");
        // Older ones have their place in the changelog.
        let versions = if file == "CHANGELOG.md" { &versions[..1] } else { &versions[..] };
        assert!(versions.iter().all(|version| *version == VERSION), "{file}: {versions:?}");
    }
}

/// The version that a text begins with.
fn version_at(text: &str) -> Option<&str> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let version = text[..end].trim_end_matches('.');
    (version.split('.').count() == 3).then_some(version)
}

/// Who publishes it.
fn names() -> toml::Table {
    std::fs::read_to_string(in_repository("deploy/packages/names.toml")).unwrap().parse().unwrap()
}

/// `.ci/release` of the small program.
fn small(tools: &Tools, out: &std::path::Path, more: &[&str]) -> tokio::process::Command {
    let mut command = release(tools, out, &["--little", "--documents-by", env!("CARGO_BIN_EXE_s3dav")]);
    command.arg("--binary").arg(tools.path(SMALL)).args(more);
    command
}
