//! State directories: named by what they are of, found again however the endpoint is spelled, gone where they are of
//! nothing.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use s3dav::embedded::{Action, EmbeddedS3};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::process::Command;

use crate::finder::client::LOCK;
use crate::harness::process::{Process, command, outcome};
use crate::harness::{BUCKET, client, embedded_with, eventually, xml};

const OTHER: &str = "archive";
const MAC: &str = "WebDAVFS/3.0.0 (03008000) Darwin/25.2.0 (arm64)";

/// A user's home, and a server with two buckets.
struct Home {
    directory: TempDir,
    s3: Arc<EmbeddedS3>,
}

impl Home {
    async fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), s3: embedded_with(&[BUCKET, OTHER]).await }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(arguments);
        command.env("HOME", self.directory.path()).env("XDG_STATE_HOME", self.directory.path());
        command
    }

    fn serve(&self, bucket: &str, endpoint: &str) -> Command {
        let mut command = self.command(&["serve", "--bucket", bucket, "--endpoint-url", endpoint]);
        command.args(["--force-path-style", "--listen", "127.0.0.1:0", "--notify=off"]);
        command
    }

    async fn serving(&self, bucket: &str) -> Process {
        Process::serving(self.serve(bucket, &self.s3.endpoint_url())).await
    }

    /// Serves a bucket for a moment, in which Finder keeps a file.
    async fn with_a_shelf(&self, bucket: &str, name: &str) {
        let gateway = self.serving(bucket).await;
        keep(&gateway, name).await;
        end(gateway).await;
    }

    fn base(&self) -> PathBuf {
        self.directory.path().join("s3dav")
    }

    fn states(&self) -> Vec<String> {
        let entries = fs::read_dir(self.base()).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The only one of a bucket.
    fn state_of(&self, bucket: &str) -> PathBuf {
        let names = self.states().into_iter().filter(|name| name.starts_with(bucket));
        let [only] = &names.collect::<Vec<_>>()[..] else { panic!("{:?}", self.states()) };
        self.base().join(only)
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        outcome(self.command(arguments)).await
    }
}

async fn keep(gateway: &Process, name: &str) {
    let put = client().put(format!("{}/{name}", gateway.url)).header("User-Agent", MAC).body("attributes");
    assert_eq!(put.send().await.unwrap().status(), 201);
}

async fn end(mut gateway: Process) {
    gateway.signal("TERM").await;
    assert!(gateway.child.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_never_reached_its_source_leaves_no_state() {
    let home = Home::new().await;
    let endpoint = home.s3.endpoint_url();
    let (code, _, error) = outcome(home.serve("missing", &endpoint)).await;
    assert_eq!((code, error.contains("there is no bucket")), (1, true), "{error}");
    assert_eq!(home.states(), [""; 0], "a misspelt bucket");
    let mut mount = home.command(&["mount", "--bucket", "missing", "--force-path-style"]);
    mount.args(["--endpoint-url", &endpoint]);
    mount.arg(home.directory.path().join("point"));
    let (code, _, error) = outcome(mount).await;
    assert_eq!((code, error.contains("there is no bucket")), (1, true), "{error}");
    assert_eq!(home.states(), [""; 0], "a misspelt bucket that was to be mounted");
    end(Process::serving(home.serve(BUCKET, "http://127.0.0.1:1")).await).await;
    assert_eq!(home.states(), [""; 0], "an endpoint where nobody is");
    let held = home.s3.hooks();
    held.always(Action::Fail { status: 503, code: "ServiceUnavailable", message: "" });
    let gateway = home.serving(BUCKET).await;
    held.heal();
    assert_eq!(client().get(format!("{}/", gateway.url)).send().await.unwrap().status(), 200);
    end(gateway).await;
    assert_eq!(home.states().len(), 1, "it was reached later");
    held.always(Action::Fail { status: 403, code: "AccessDenied", message: "no" });
    assert_eq!(outcome(home.serve(BUCKET, &endpoint)).await.0, 1);
    assert_eq!(home.states().len(), 1, "it was reached before");
    held.heal();
    // What was there before is its user's.
    let own = home.directory.path().join("own");
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).unwrap();
    let mut serve = home.serve("missing", &endpoint);
    serve.arg("--state-dir").arg(&own);
    assert_eq!(outcome(serve).await.0, 1);
    assert!(own.is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_finder_keeps_stays_where_s3_was_never_reached() {
    let home = Home::new().await;
    home.s3.hooks().always(Action::Fail { status: 503, code: "ServiceUnavailable", message: "" });
    let mut serve = home.serve(BUCKET, &home.s3.endpoint_url());
    serve.args(["--request-budget", "1s"]);
    let gateway = Process::serving(serve).await;
    keep(&gateway, ".DS_Store").await;
    end(gateway).await;
    assert_eq!(home.states().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_says_whose_it_is() {
    let home = Home::new().await;
    end(home.serving(BUCKET).await).await;
    let text = fs::read_to_string(home.state_of(BUCKET).join("source.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    assert_eq!(table["buckets"].as_array().unwrap()[0].as_str(), Some(BUCKET), "{text}");
    assert_eq!(table["endpoint"].as_str(), Some(home.s3.endpoint_url().as_str()), "{text}");
    assert!(table["last-use"].as_str().unwrap().ends_with('Z'), "{text}");
    assert!(!text.contains("not-a-secret") && !text.contains("s3dav-tests"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shelf_export_takes_the_one_that_can_be_meant() {
    let home = Home::new().await;
    home.with_a_shelf(BUCKET, "._first").await;
    end(home.serving(OTHER).await).await;
    let out = |name: &str| home.directory.path().join(name).to_str().unwrap().to_owned();
    let (code, text, error) = home.run(&["shelf", "export", &out("one")]).await;
    assert_eq!((code, text.starts_with("1 file")), (0, true), "the other shelf is empty: {error}");
    assert!(Path::new(&out("one")).join("._first").exists());
    home.with_a_shelf(OTHER, "._second").await;
    let (code, _, error) = home.run(&["shelf", "export", &out("two")]).await;
    assert_eq!(code, 1);
    let endpoint = home.s3.endpoint_url();
    for name in [BUCKET, OTHER] {
        assert!(error.lines().any(|line| line.contains(name) && line.contains(&endpoint)), "{error}");
    }
    assert!(error.lines().all(|line| line.len() < 300) && error.contains("--bucket"), "{error}");
    let (code, _, error) = home.run(&["shelf", "export", "--bucket", OTHER, &out("two")]).await;
    assert_eq!(code, 0, "{error}");
    assert!(Path::new(&out("two")).join("._second").exists());
    let config = home.directory.path().join("config.toml");
    let text = format!("[sources.first]\nbucket = '{BUCKET}'\nendpoint-url = '{endpoint}/'\n");
    fs::write(&config, text + "[sources.second]\nbucket = 'elsewhere'\n").unwrap();
    let named = |source: &str, directory: &str| {
        let mut export = home.command(&["shelf", "export", "--source", source, &out(directory)]);
        export.arg("--config").arg(&config);
        export
    };
    let (code, _, error) = outcome(named("first", "three")).await;
    assert_eq!(code, 0, "{error}");
    assert!(Path::new(&out("three")).join("._first").exists());
    let (code, _, error) = outcome(named("second", "four")).await;
    assert_eq!((code, error.contains("second"), error.contains("hint: ")), (1, true, true), "{error}");
    // The one that runs is meant.
    let gateway = home.serving(OTHER).await;
    let (code, _, error) = home.run(&["shelf", "export", &out("five")]).await;
    assert_eq!(code, 0, "{error}");
    assert!(Path::new(&out("five")).join("._second").exists());
    end(gateway).await;
}

/// Makes it look as if it had been used so long ago.
fn age(state: &Path, days: u64) {
    let file = state.join("source.toml");
    let then = SystemTime::now() - Duration::from_secs(days * 86_400);
    for name in ["gateway.lock", "state.redb"] {
        File::options().write(true).open(state.join(name)).unwrap().set_modified(then).unwrap();
    }
    let then =
        time::OffsetDateTime::from(then).format(&time::format_description::well_known::Rfc3339).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let lines = text.lines().map(|line| {
        if line.starts_with("last-use") { format!("last-use = \"{then}\"") } else { line.to_owned() }
    });
    fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn states_are_listed_and_those_that_nobody_needs_removed() {
    let home = Home::new().await;
    home.with_a_shelf(BUCKET, "._first").await;
    end(home.serving(OTHER).await).await;
    let gateway = home.serving(&format!("{BUCKET}/run")).await;
    let (code, text, error) = home.run(&["state", "list"]).await;
    assert_eq!(code, 0, "{error}");
    let line = |name: &str| text.split("\n\n").find(|part| part.contains(name)).unwrap().to_owned();
    let endpoint = home.s3.endpoint_url();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let shown = line(OTHER);
    assert!(shown.contains(&endpoint) && (shown.contains("KiB") || shown.contains("MiB")), "{text}");
    assert!(shown.contains("nothing"), "{text}");
    assert!(line("1 file of Finder's").contains(BUCKET), "{text}");
    assert!(line("in use").contains("bucket/run"), "{text}");
    let (code, json, error) = home.run(&["state", "list", "--json"]).await;
    assert_eq!(code, 0, "{error}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap().as_array().unwrap().len(), 3);
    // All of them are young.
    let (code, text, error) = home.run(&["state", "clean", "--yes"]).await;
    assert_eq!((code, home.states().len()), (0, 3), "{text}{error}");
    let kept = format!("kept {} ", name(&home.state_of(OTHER)));
    let line = error.lines().find(|line| line.starts_with(&kept)).unwrap_or_default();
    assert!(line.contains(": used ") && error.contains("use --older-than or --all"), "{error}");
    assert!(error.contains(": in use") && error.contains(": holds 1 file of Finder's"), "{error}");
    for state in home.states() {
        age(&home.base().join(state), 91);
    }
    let (code, _, error) = home.run(&["state", "clean"]).await;
    assert_eq!(
        (code, error.contains("--yes"), home.states().len()),
        (1, true, 3),
        "there is no terminal to ask on: {error}"
    );
    let other = name(&home.state_of(OTHER));
    let (code, text, error) = home.run(&["state", "clean", "--yes"]).await;
    assert_eq!((code, home.states().len()), (0, 2), "{text}{error}");
    assert!(text.contains(&other), "{text}");
    assert!(!home.states().contains(&other));
    for state in home.states() {
        let (code, _, error) = home.run(&["state", "clean", "--yes", &state]).await;
        assert_eq!((code, error.contains("hint: ")), (1, true), "{state}: {error}");
    }
    assert_eq!(home.states().len(), 2, "one is in use, and one holds something");
    end(gateway).await;
    let (code, _, error) = home.run(&["state", "clean", "--yes", "bucket/run"]).await;
    assert_eq!((code, home.states().len()), (0, 1), "{error}");
    let (code, _, error) = home.run(&["state", "clean", "--yes", "nonsense"]).await;
    assert_eq!((code, error.contains("nonsense")), (1, true), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_states_go_at_once_but_for_those_in_use() {
    let home = Home::new().await;
    let (code, text, error) = home.run(&["state", "list"]).await;
    assert_eq!((code, text.as_str(), error.as_str()), (0, "", "there is no state\n"));
    home.with_a_shelf(BUCKET, "._first").await;
    let gateway = home.serving(OTHER).await;
    let (code, _, error) = home.run(&["state", "clean", "--all"]).await;
    assert_eq!((code, home.states().len()), (1, 2), "there is no terminal to ask on: {error}");
    assert!(error.contains("holds 1 file of Finder's") && error.contains("--yes"), "{error}");
    let (code, _, error) = home.run(&["state", "clean", "--all", "--yes", BUCKET]).await;
    assert_eq!((code, home.states().len()), (2, 2), "{error}");
    let (code, text, error) = home.run(&["state", "clean", "--all", "--yes"]).await;
    assert_eq!((code, home.states().len()), (0, 1), "{text}{error}");
    assert!(text.contains("removed bucket-") && error.contains(": in use"), "{text}{error}");
    end(gateway).await;
    let (code, text, error) = home.run(&["state", "clean", "--all", "--yes"]).await;
    assert_eq!((code, home.states().len()), (0, 0), "{text}{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spelling_of_an_endpoint_makes_no_other_state() {
    let home = Home::new().await;
    let endpoint = home.s3.endpoint_url().replace("127.0.0.1", "localhost");
    let spellings = [endpoint.clone(), format!("{endpoint}/"), endpoint.replace("localhost", "LOCALHOST")];
    let first = Process::serving(home.serve(BUCKET, &spellings[1])).await;
    for spelling in &spellings {
        let (code, _, error) = outcome(home.serve(BUCKET, spelling)).await;
        assert_eq!((code, error.contains(&first.url)), (1, true), "{spelling}: {error}");
    }
    end(first).await;
    assert_eq!(home.states().len(), 1, "{:?}", home.states());
}

/// The state directory that an earlier version has made for a spelling.
fn earlier(home: &Home, endpoint: &str) -> PathBuf {
    let hash = hex::encode(Sha256::digest(format!("{endpoint}\n{BUCKET}")));
    let directory = home.base().join(format!("{BUCKET}-{}", &hash[..8]));
    fs::create_dir_all(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(directory.join("gateway.lock"), "").unwrap();
    directory
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_of_two_states_of_one_source_is_used_and_the_other_named() {
    for is_slash_newer in [true, false] {
        let home = Home::new().await;
        let endpoint = home.s3.endpoint_url();
        let plain = earlier(&home, &endpoint);
        let slash = earlier(&home, &format!("{endpoint}/"));
        let (newer, older) = if is_slash_newer { (slash, plain) } else { (plain, slash) };
        let then = SystemTime::now() - Duration::from_secs(86_400);
        File::open(older.join("gateway.lock")).unwrap().set_modified(then).unwrap();
        let gateway = Process::serving(home.serve(BUCKET, &endpoint)).await;
        eventually("a word", || async { gateway.said.lock().contains(older.to_str().unwrap()) }).await;
        assert_eq!(gateway.said.lock().matches(older.to_str().unwrap()).count(), 1);
        end(gateway).await;
        assert!(newer.join("state.redb").exists() && !older.join("state.redb").exists());
        assert_eq!(home.states().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_another_spelling_alone_is_used() {
    let home = Home::new().await;
    let endpoint = home.s3.endpoint_url();
    let slash = earlier(&home, &format!("{endpoint}/"));
    end(Process::serving(home.serve(BUCKET, &endpoint)).await).await;
    assert!(slash.join("state.redb").exists());
    assert_eq!(home.states().len(), 1);
}

/// Not in anybody's way, but somebody would miss it.
#[tokio::test(flavor = "multi_thread")]
async fn properties_and_what_was_put_aside_are_kept() {
    let home = Home::new().await;
    let gateway = home.serving(BUCKET).await;
    let client = client();
    client.put(format!("{}/file", gateway.url)).body("x").send().await.unwrap();
    let patch = xml::set("<x xmlns=\"urn:x\">1</x>");
    let method = reqwest::Method::from_bytes(b"PROPPATCH").unwrap();
    client.request(method, format!("{}/file", gateway.url)).body(patch).send().await.unwrap();
    end(gateway).await;
    end(home.serving(OTHER).await).await;
    fs::write(home.state_of(OTHER).join("state.redb.damaged-1"), "").unwrap();
    for (bucket, words) in [(BUCKET, "properties of 1 file"), (OTHER, "set aside")] {
        let (code, _, error) = home.run(&["state", "clean", "--yes", bucket]).await;
        assert_eq!((code, error.contains(words), error.contains("hint: ")), (1, true, true), "{error}");
    }
    assert_eq!(home.states().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_has_locked_keeps_its_state() {
    let home = Home::new().await;
    let gateway = home.serving(BUCKET).await;
    let lock = client().request("LOCK".parse().unwrap(), format!("{}/file", gateway.url)).body(LOCK);
    assert_eq!(lock.header("Timeout", "Second-3600").send().await.unwrap().status(), 201);
    end(gateway).await;
    let state = home.state_of(BUCKET);
    age(&state, 91);
    let (code, text, error) = home.run(&["state", "clean", "--yes"]).await;
    assert_eq!((code, home.states().len()), (0, 1), "{text}{error}");
    let name = state.file_name().unwrap().to_str().unwrap();
    let (code, _, error) = home.run(&["state", "clean", "--yes", name]).await;
    assert_eq!((code, error.contains("1 lock"), error.contains("hint: ")), (1, true, true), "{error}");
    assert!(home.run(&["state", "list"]).await.1.contains("1 lock"));
}
