//! Checksums, the bill of materials, licences, the formula, and what `cargo binstall` is told.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::{Packages, VERSION, files, in_repository, release, succeeds};
use crate::harness::clients::needs;

/// Crates by name and version; each with its checksum.
type Crates = BTreeMap<(String, String), String>;

#[tokio::test(flavor = "multi_thread")]
async fn checksums_are_those_of_all_files() {
    let Some((_, packages)) = Packages::made(&[]).await else { return };
    let sums = std::fs::read_to_string(packages.place.join("SHA256SUMS")).unwrap();
    let mut named = Vec::new();
    for line in sums.lines() {
        let (sum, name) = line.split_once("  ").unwrap();
        let digest = Sha256::digest(std::fs::read(packages.place.join(name)).unwrap());
        assert_eq!(hex::encode(digest), sum, "{name}");
        named.push(name);
    }
    let mut there = files(&packages.place);
    there.retain(|name| name != "SHA256SUMS");
    assert_eq!(named, there);
    assert_eq!(named.len(), 7, "tarball, its bill, .deb, .rpm, wheel, and two of npm: {named:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bill_of_materials_names_every_crate_that_is_linked() {
    let Some((tools, packages)) = Packages::made(&["tar"]).await else { return };
    let bill = std::fs::read(packages.file(".cdx.json")).unwrap();
    let bill: serde_json::Value = serde_json::from_slice(&bill).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let components = bill["components"].as_array().unwrap().iter();
    let crates: Crates = components
        .filter(|component| text(&component["purl"]).starts_with("pkg:cargo/"))
        .map(|component| {
            let key = (text(&component["name"]), text(&component["version"]));
            (key, text(&component["hashes"][0]["content"]))
        })
        .collect();
    let locked = locked();
    for (key, checksum) in &crates {
        assert_eq!(locked.get(key), Some(checksum), "{key:?}");
    }
    // Where a crate may panic, the program holds the name of its source.
    let seen = seen_in(&std::fs::read(&packages.binary).unwrap(), &locked);
    assert!(seen.len() > 40, "{seen:?}");
    let missing: Vec<_> = seen.iter().filter(|key| !crates.contains_key(*key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // What runs while it is built, or in tests, is not linked.
    for name in ["syn", "serde_derive", "cc", "proptest", "reqwest"] {
        assert!(locked.keys().any(|key| key.0 == name), "{name}");
        assert!(!crates.keys().any(|key| key.0 == name), "{name}");
    }
    println!("crates: {} locked, {} linked, {} seen in the program", locked.len(), crates.len(), seen.len());

    let mut tar = tools.command("tar");
    let licences = format!("s3dav-{VERSION}-{}/licences/crates.txt", target());
    let licences = succeeds(tar.arg("-xzOf").arg(packages.file(".tar.gz")).arg(licences)).await;
    for (name, version) in crates.keys() {
        assert!(licences.contains(&format!("\n{name} {version}: ")), "{name} {version}");
    }
}

/// What Cargo.lock has of others.
fn locked() -> Crates {
    let lock: toml::Table = std::fs::read_to_string(in_repository("Cargo.lock")).unwrap().parse().unwrap();
    let packages = lock["package"].as_array().unwrap().iter();
    let text = |package: &toml::Value, name: &str| {
        package.get(name).and_then(toml::Value::as_str).unwrap_or_default().to_owned()
    };
    packages
        .filter(|package| package.get("checksum").is_some())
        .map(|package| ((text(package, "name"), text(package, "version")), text(package, "checksum")))
        .collect()
}

/// The crates whose sources a program names.
fn seen_in(program: &[u8], locked: &Crates) -> BTreeSet<(String, String)> {
    let names: BTreeMap<String, &(String, String)> =
        locked.keys().map(|key| (format!("{}-{}", key.0, key.1), key)).collect();
    let text = String::from_utf8_lossy(program);
    let places = text.match_indices("/registry/src/").map(|(at, start)| &text[at + start.len()..]);
    // REGISTRY/NAME-VERSION/src/…
    let seen = places.filter_map(|place| names.get(place.split('/').nth(1)?));
    seen.map(|key| (*key).clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_formula_is_ruby_and_names_each_tarball() {
    let Some(tools) = needs(&["bash", "sed", "mkdir", "ruby", "Python for packages"]) else { return };
    let place = tempfile::tempdir().unwrap();
    let (names, out) = (place.path().join("names.toml"), place.path().join("out"));
    std::fs::write(&names, super::NAMES).unwrap();
    std::fs::create_dir(&out).unwrap();
    let targets = ["aarch64-apple-darwin", "x86_64-apple-darwin", "x86_64-unknown-linux-gnu"];
    let collect = || {
        let mut collect = release(&tools, &out, &["--collect", "--names"]);
        collect.arg(&names);
        collect
    };
    let mut tarballs = Vec::new();
    for target in targets {
        // Without both of macOS there is none.
        let said = succeeds(&mut collect()).await;
        let is_short = tarballs.len() < 2;
        assert_eq!(said.contains("left out: the formula"), is_short, "{said}");
        assert_eq!(out.join("s3dav.rb").exists(), !is_short);
        let name = format!("s3dav-{VERSION}-{target}.tar.gz");
        std::fs::write(out.join(&name), target).unwrap();
        tarballs.push((name, hex::encode(Sha256::digest(target))));
    }
    succeeds(&mut collect()).await;
    let formula = std::fs::read_to_string(out.join("s3dav.rb")).unwrap();
    for (name, sum) in tarballs {
        let url = format!("https://code.example/owner/s3dav/releases/download/v{VERSION}/{name}");
        assert!(formula.contains(&format!("url \"{url}\"\n      sha256 \"{sum}\"")), "{formula}");
    }
    assert!(formula.contains("homepage \"https://s3dav.example\"") && formula.contains("service do"));
    let mut ruby = tools.command("ruby");
    let said = succeeds(ruby.args(["-wc"]).arg(out.join("s3dav.rb"))).await;
    assert_eq!(said.trim(), "Syntax OK");
}

#[tokio::test(flavor = "multi_thread")]
async fn cargo_binstall_is_told_where_the_tarball_is_and_what_is_in_it() {
    let Some((tools, packages)) = Packages::made(&["tar"]).await else { return };
    let manifest: toml::Table =
        std::fs::read_to_string(in_repository("Cargo.toml")).unwrap().parse().unwrap();
    let told = &manifest["package"]["metadata"]["binstall"];
    let fill = |name: &str| {
        let template = told[name].as_str().unwrap().to_owned();
        let values = [
            ("repo", "https://code.example/owner/s3dav"),
            ("name", "s3dav"),
            ("bin", "s3dav"),
            ("binary-ext", ""),
            ("version", VERSION),
            ("target", target()),
        ];
        values.iter().fold(template, |text, (name, value)| text.replace(&format!("{{ {name} }}"), value))
    };
    let url = fill("pkg-url");
    let (place, name) = url.rsplit_once('/').unwrap();
    assert_eq!(place, format!("https://code.example/owner/s3dav/releases/download/v{VERSION}"));
    assert_eq!(packages.file(".tar.gz"), packages.place.join(name));
    let mut tar = tools.command("tar");
    let listed = succeeds(tar.arg("-tzf").arg(packages.file(".tar.gz"))).await;
    assert!(listed.lines().any(|line| line == fill("bin-dir")), "{listed}");
}

/// The one that this machine's packages are of.
fn target() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "aarch64-unknown-linux-gnu",
        _ => "x86_64-unknown-linux-gnu",
    }
}
