//! What is asked of the file system, call by call: on Amazon S3 Files each is a request, and some have
//! no answer there. Seen by strace.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Child;

use crate::harness::clients;
use crate::harness::process::{Process, command};
use crate::harness::{client, eventually};

/// A gateway whose calls are written down.
struct Traced {
    gateway: Process,
    tracer: Child,
    log: tempfile::TempDir,
    root: tempfile::TempDir,
    _state: tempfile::TempDir,
}

impl Traced {
    async fn start() -> Option<Self> {
        // The system's own place may be in memory, where nothing is synced.
        Self::of(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()).await
    }

    async fn of(root: tempfile::TempDir) -> Option<Self> {
        let tools = clients::needs(&["strace"])?;
        let (state, log) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut serve = command(&["serve", "--listen", "127.0.0.1:0"]);
        serve.arg("--path").arg(root.path()).arg("--state-dir").arg(state.path().join("state"));
        let gateway = Process::serving(serve).await;
        let tracer = tools
            .command("strace")
            .args(["-f", "-y", "-p", &gateway.child.id().unwrap().to_string(), "-o"])
            .arg(log.path().join("log"))
            .args(["-e", "trace=%file,%desc", "-s", "64"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let traced = Self { gateway, tracer, log, root, _state: state };
        // Attached when what is asked shows.
        eventually("strace is attached", || async {
            traced.request("GET", "/attached", None).await;
            traced.text().contains("attached")
        })
        .await;
        Some(traced)
    }

    fn text(&self) -> String {
        fs::read_to_string(self.log.path().join("log")).unwrap_or_default()
    }

    async fn request(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> u16 {
        let request = client().request(method.parse().unwrap(), format!("{}{path}", self.gateway.url));
        let request = request.header("Destination", format!("{}/copy", self.gateway.url));
        request.body(body.unwrap_or_default()).send().await.unwrap().status().as_u16()
    }

    /// The calls of a request on the directory, in order.
    async fn calls(&mut self, method: &str, path: &str, body: Option<Vec<u8>>) -> (u16, Vec<String>) {
        let before = self.text().len();
        let status = self.request(method, path, body).await;
        // What was done is written down a moment later.
        let mut length = 0;
        while length != self.text().len() {
            length = self.text().len();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let root = self.root.path().to_str().unwrap().to_owned();
        let text = whole_lines(&self.text()[before..]);
        let calls = text.lines().filter(|line| line.contains(&root) || line.contains("s3dav-part"));
        (status, calls.map(str::to_owned).collect())
    }

    async fn stop(mut self) {
        self.tracer.kill().await.unwrap();
    }
}

/// Calls that other threads interrupted, put together again.
fn whole_lines(text: &str) -> String {
    let mut begun = std::collections::HashMap::new();
    let mut whole = String::new();
    for line in text.lines() {
        let (thread, call) = line.split_once(' ').unwrap_or(("", line));
        let call = call.trim_start();
        if let Some(beginning) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(thread, beginning);
        } else if let Some((_, end)) =
            call.strip_prefix("<... ").and_then(|call| call.split_once(" resumed>"))
        {
            whole.push_str(&format!("{}{end}\n", begun.remove(thread).unwrap_or_default()));
        } else {
            whole.push_str(&format!("{call}\n"));
        }
    }
    whole
}

fn position(calls: &[String], what: &[&str]) -> usize {
    let found = calls.iter().position(|call| what.iter().all(|part| call.contains(part)));
    found.unwrap_or_else(|| panic!("no {what:?} in\n{}", calls.join("\n")))
}

/// The bytes of the write calls, each.
fn written(calls: &[String]) -> Vec<u64> {
    let writes = calls.iter().filter(|call| call.contains("write") && call.contains("s3dav-part"));
    writes.filter_map(|call| call.rsplit_once(" = ")?.1.split_whitespace().next()?.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_written_in_large_pieces_synced_and_renamed() {
    let Some(mut traced) = Traced::start().await else { return };
    let (status, calls) = traced.calls("PUT", "/new", Some(vec![1; 20 << 20])).await;
    assert_eq!(status, 201);
    let sizes = written(&calls);
    let large = sizes.iter().filter(|size| **size >= 1 << 20).count();
    assert!(sizes.iter().sum::<u64>() == 20 << 20 && large >= sizes.len() - 1, "{sizes:?}");
    let synced = position(&calls, &["fsync", "s3dav-part"]);
    let renamed = position(&calls, &["rename", "s3dav-part", "\"new\""]);
    let folder = calls.iter().rposition(|call| call.contains("fsync(")).unwrap();
    assert!(synced < renamed && renamed < folder, "{}", calls.join("\n"));
    // Nothing that changes metadata, and nothing that the file system may not have.
    let needless =
        ["chmod", "chown", "utime", "xattr", "link(", "linkat", "fallocate", "truncate", "O_DIRECT|"];
    let found: Vec<_> = calls.iter().filter(|call| needless.iter().any(|name| call.contains(name))).collect();
    assert!(found.is_empty(), "{found:#?}");
    let (status, calls) = traced.calls("PUT", "/new", Some(vec![2; 1000])).await;
    assert_eq!((status, written(&calls).len()), (204, 1));
    let found: Vec<_> = calls.iter().filter(|call| needless.iter().any(|name| call.contains(name))).collect();
    assert!(found.is_empty(), "{found:#?}");
    traced.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_read_and_written() {
    let Some(mut traced) = Traced::start().await else { return };
    fs::write(traced.root.path().join("from"), vec![1; 5 << 20]).unwrap();
    let (status, calls) = traced.calls("COPY", "/from", None).await;
    assert_eq!(status, 201);
    assert_eq!(written(&calls), [1 << 20; 5]);
    for absent in ["copy_file_range", "FICLONE", "sendfile", "splice"] {
        assert!(!calls.iter().any(|call| call.contains(absent)), "{absent}");
    }
    position(&calls, &["fsync", "s3dav-part"]);
    traced.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_is_one_open_and_one_read_and_then_one_look() {
    let Some(mut traced) = Traced::start().await else { return };
    let path = traced.root.path().join("small");
    fs::write(&path, "12345").unwrap();
    set_old(&path);
    // The change of the date is one, too.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let (_, calls) = traced.calls("GET", "/small", None).await;
    // Opening a place alone, to look what it is, asks nobody.
    let is_open =
        |call: &&String| call.contains("open") && call.contains("small") && !call.contains("O_PATH");
    let opens = calls.iter().filter(is_open).count();
    let reads = calls.iter().filter(|call| call.contains("read") && call.contains("small")).count();
    assert_eq!((opens, reads), (1, 1), "{}", calls.join("\n"));
    let (_, calls) = traced.calls("GET", "/small", None).await;
    assert!(!calls.iter().any(|call| call.contains("read")), "{}", calls.join("\n"));
    traced.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_a_folder_are_read_once_for_all_misses() {
    let Some(mut traced) = Traced::start().await else { return };
    for n in 0..300 {
        fs::write(traced.root.path().join(format!("\u{e9}{n}")), "").unwrap();
    }
    // The change of the folder's date is old then.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let reads = |calls: &[String]| calls.iter().filter(|call| call.contains("getdents")).count();
    let (status, calls) = traced.calls("HEAD", "/x%C3%A9", None).await;
    assert!(status == 404 && reads(&calls) > 0, "{}", calls.join("\n"));
    for (name, expected) in [("/x%C3%A9", 404), ("/y%C3%A9", 404), ("/e%CC%817", 200)] {
        let (status, calls) = traced.calls("HEAD", name, None).await;
        assert_eq!((status, reads(&calls)), (expected, 0), "{name}\n{}", calls.join("\n"));
    }
    // Neither "NFC" nor "NFD", made by another program.
    fs::write(traced.root.path().join("x\u{ea}\u{301}"), "").unwrap();
    assert_eq!(traced.calls("HEAD", "/x%E1%BA%BF", None).await.0, 200);
    traced.stop().await;
}

fn set_old(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
}

/// A gateway on a directory in memory that holds ten files of 4,000 bytes. There a change of thread costs as much as all the rest
/// of a small request.
async fn in_memory() -> Option<Traced> {
    clients::find("strace")?;
    let root = tempfile::tempdir_in("/dev/shm").unwrap();
    for number in 0..10 {
        fs::write(root.path().join(number.to_string()), vec![b'x'; 4000]).unwrap();
    }
    Traced::of(root).await
}

/// Asks for each of the ten files; what was written down until all were answered with `status`.
async fn asked_ten(traced: &Traced, method: &str, body: Option<Vec<u8>>, status: u16) -> String {
    let before = traced.text().len();
    for number in 0..10 {
        assert_eq!(traced.request(method, &format!("/{number}"), body.clone()).await, status);
    }
    let answers = || traced.text()[before..].matches(&format!("HTTP/1.1 {status}")).count();
    eventually("all is written down", || async { answers() == 10 }).await;
    traced.text()[before..].to_owned()
}

/// The threads whose lines hold `what`.
fn threads(text: &str, what: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| line.contains(what));
    lines.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_memory_is_read_by_the_thread_that_sends_it() {
    let Some(traced) = in_memory().await else { return };
    let text = asked_ten(&traced, "GET", None, 200).await;
    let (reading, answering) = (threads(&text, "pread64("), threads(&text, "HTTP/1.1 200 OK"));
    assert!(!reading.is_empty() && reading.is_subset(&answering), "{reading:?} {answering:?}\n{text}");
    traced.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_to_memory_is_written_by_the_thread_that_answers() {
    let Some(traced) = in_memory().await else { return };
    let text = asked_ten(&traced, "PUT", Some(vec![b'y'; 4000]), 204).await;
    let (writing, answering) = (threads(&text, "s3dav-part"), threads(&text, "HTTP/1.1 204"));
    assert!(!writing.is_empty() && writing.is_subset(&answering), "{writing:?} {answering:?}\n{text}");
    // A large one, and one in a folder that something else may be behind, may wait for it.
    let before = traced.text().len();
    assert_eq!(traced.request("PUT", "/large", Some(vec![1; (64 << 10) + 1])).await, 201);
    assert_eq!(traced.request("PUT", "/new", Some(vec![1; 64 << 10])).await, 201);
    std::os::unix::fs::symlink(".", traced.root.path().join("link")).unwrap();
    assert_eq!(traced.request("PUT", "/link/other", Some(vec![1; 10])).await, 201);
    eventually("all is written down", || async {
        traced.text()[before..].matches("HTTP/1.1 201").count() == 3
    })
    .await;
    let text = traced.text()[before..].to_owned();
    let synced = text.lines().filter(|line| line.contains("fsync(") && line.contains("s3dav-part")).count();
    assert_eq!(synced, 2, "what goes to memory has no disk to wait for\n{text}");
    traced.stop().await;
}
