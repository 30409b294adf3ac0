//! The README tells of every option, and of no other.

use std::collections::BTreeSet;

use crate::harness::process::{command, outcome};

fn flags(text: &str) -> BTreeSet<String> {
    let starts = text
        .match_indices("--")
        .filter(|(at, _)| *at == 0 || !text.as_bytes()[at - 1].is_ascii_alphanumeric());
    let names = starts.map(|(at, _)| {
        text[at + 2..]
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-')
            .collect::<String>()
    });
    names.map(|name| name.trim_end_matches('-').to_owned()).filter(|name| name.len() > 1).collect()
}

async fn help(arguments: &[&str]) -> BTreeSet<String> {
    let (code, text, _) = outcome(command(arguments)).await;
    assert_eq!(code, 0);
    let options = text.lines().filter(|line| line.trim_start().starts_with('-'));
    options.flat_map(|line| flags(line.split("  ").find(|part| part.contains("--")).unwrap_or(""))).collect()
}

#[tokio::test]
async fn every_option_is_in_the_readme_and_the_other_way_round() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let mut known = help(&["serve", "--help"]).await;
    for command in [
        &["demo"][..],
        &["status"],
        &["health"],
        &["container", "build"],
        &["stop"],
        &["shelf", "export"],
        &["state", "list"],
        &["state", "clean"],
        &["unmount"],
        &["service", "logs"],
        &["iam-policy"],
        &["mount"],
        &["stack", "template"],
        &["stack", "up"],
    ] {
        known.extend(help(&[command, &["--help"]].concat()).await);
    }
    for command in [&["mount"][..], &["service", "install"], &["config", "show"]] {
        let options = help(&[command, &["--help"]].concat()).await;
        assert!(options.is_superset(&help(&["serve", "--help"]).await), "{command:?} takes serve's options");
    }
    known.extend(help(&["--help"]).await);
    let told = flags(&readme);
    let missing: Vec<_> =
        known.difference(&told).filter(|flag| *flag != "help" && *flag != "version").collect();
    assert!(missing.is_empty(), "not in the README: {missing:?}");
    // Options of other programs that the README shows.
    let foreign = ["release", "profile", "bench"];
    let unknown: Vec<_> = told.difference(&known).filter(|flag| !foreign.contains(&flag.as_str())).collect();
    assert!(unknown.is_empty(), "only in the README: {unknown:?}");
}

#[tokio::test]
async fn every_option_is_also_an_environment_variable() {
    let (_, text, _) = outcome(command(&["serve", "--help"])).await;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for flag in
        help(&["serve", "--help"]).await.into_iter().filter(|flag| flag != "help" && flag != "version")
    {
        let variable = format!("S3DAV_{}", flag.to_uppercase().replace('-', "_"));
        assert!(text.contains(&format!("[env: {variable}=")), "{variable}");
    }
}
