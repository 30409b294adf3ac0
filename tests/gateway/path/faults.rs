//! A disk that fails, is slow, or hangs. strace makes real calls of the real program end so.

use std::fs;
use std::time::Duration;

use tokio::process::Child;
use tokio::time::Instant;

use crate::finder::client::Finder;
use crate::finder::sender;
use crate::harness::clients;
use crate::harness::faults::{injected, serving_from_afar};
use crate::harness::process::{Process, command};
use crate::harness::{client, eventually};

/// A gateway on a directory.
struct Served {
    gateway: Process,
    root: tempfile::TempDir,
    _state: tempfile::TempDir,
}

impl Served {
    async fn start() -> Self {
        Self::with_budget("2s").await
    }

    async fn with_budget(budget: &str) -> Self {
        let (root, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut serve = command(&["serve", "--listen", "127.0.0.1:0", "--request-budget", budget]);
        serve.arg("--path").arg(root.path()).arg("--state-dir").arg(state.path().join("state"));
        Self { gateway: serving_from_afar(&serve).await, root, _state: state }
    }

    /// From now on calls that touch `path`, below the root, end as `inject` says.
    async fn with_fault(&self, path: &str, inject: &str) -> Child {
        let whole = self.root.path().join(path);
        // As the program names it, relative to a folder that is open.
        let relative = if path.is_empty() { "." } else { path };
        self.with_fault_at(&[whole.to_str().unwrap(), relative], inject).await
    }

    /// The same of calls that touch one of these paths; without any, of all calls.
    async fn with_fault_at(&self, paths: &[&str], inject: &str) -> Child {
        injected(&self.gateway, paths, inject).await
    }

    async fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = client().request(method.parse().unwrap(), format!("{}{path}", self.gateway.url));
        let answer = request.body(body.to_owned()).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap_or_default())
    }
}

async fn end(mut strace: Child) {
    strace.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_the_status_that_tells_what_to_do() {
    if clients::find("strace").is_none() {
        return;
    }
    let served = Served::start().await;
    let file = served.root.path().join("file");
    for (path, inject, method, status, says) in [
        ("file", "pread64:error=EIO", "GET", 409, "Glacier"),
        ("file", "openat2,openat:error=EACCES", "GET", 403, "denied"),
        (".", "fsync:error=EIO", "MKCOL", 409, "archived"),
        ("", "openat:error=ENOSPC", "PUT", 507, "full"),
        ("", "openat:error=EDQUOT", "PUT", 507, "quota"),
        ("", "openat:error=EROFS", "PUT", 403, "cannot be written"),
        ("", "renameat2,renameat,rename:error=EIO", "PUT", 409, "archived"),
    ] {
        fs::write(&file, "the old content").unwrap();
        let fault = served.with_fault(path, inject).await;
        let target = if method == "MKCOL" { "/folder" } else { "/file" };
        let (found, text) = served.request(method, target, if method == "PUT" { "new" } else { "" }).await;
        end(fault).await;
        assert!(found == status && text.contains(says), "{inject}: {found} {text}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "the old content", "{inject}");
        let entries =
            || fs::read_dir(served.root.path()).unwrap().filter(|e| is_part(e.as_ref().unwrap())).count();
        eventually("nothing half is left", || async { entries() == 0 }).await;
    }
}

fn is_part(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with(".s3dav-part-")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_handle_is_looked_up_once_more() {
    if clients::find("strace").is_none() {
        return;
    }
    let served = Served::start().await;
    fs::write(served.root.path().join("file"), "content").unwrap();
    for call in ["openat2", "statx"] {
        let fault = served.with_fault("file", &format!("{call}:error=ESTALE:when=1")).await;
        let answer = served.request("GET", "/file", "").await;
        end(fault).await;
        assert_eq!(answer, (200, "content".to_owned()), "{call}");
    }
    let fault = served.with_fault("file", "openat2:error=ESTALE").await;
    let (status, _) = served.request("GET", "/file", "").await;
    end(fault).await;
    assert_eq!(status, 503, "but not for ever");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_disk_costs_its_own_requests_only() {
    if clients::find("strace").is_none() {
        return;
    }
    let served = Served::start().await;
    fs::write(served.root.path().join("hung"), "content").unwrap();
    fs::write(served.root.path().join("other"), "content").unwrap();
    let fault = served.with_fault("hung", "openat2:delay_enter=6000000").await;
    let begun = Instant::now();
    let hung = async {
        let requests = (0..50).map(|_| served.request("GET", "/hung", ""));
        futures_util::future::join_all(requests).await
    };
    let others = async {
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let begun = Instant::now();
            assert_eq!(served.request("GET", "/other", "").await.0, 200);
            assert_eq!(served.request("OPTIONS", "/", "").await.0, 200);
            longest = longest.max(begun.elapsed());
        }
        longest
    };
    let (hung, longest) = tokio::join!(hung, others);
    let waited = begun.elapsed();
    assert!(hung.iter().all(|(status, _)| *status == 503), "{:?}", hung[0]);
    assert!(hung[0].1.contains("does not answer"), "{:?}", hung[0]);
    assert!(waited < Duration::from_secs(6), "as long as the budget, not as the disk: {waited:?}");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    end(fault).await;
    eventually("the disk answers again", || async { served.request("GET", "/hung", "").await.0 == 200 })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_hangs_has_an_answer() {
    if clients::find("strace").is_none() {
        return;
    }
    let served = Served::start().await;
    let file = served.root.path().join("file");
    fs::write(&file, "content").unwrap();
    let hung = async |method: &str, path: &str, call: &str| {
        let fault = served.with_fault(path, &format!("{call}:delay_enter=600000000")).await;
        let begun = Instant::now();
        let (status, text) = served.request(method, "/file", if method == "PUT" { "new" } else { "" }).await;
        assert!(status == 503 && text.contains("does not answer"), "{call}: {status} {text}");
        assert!(begun.elapsed() < Duration::from_secs(6), "{call}: {:?}", begun.elapsed());
        fault
    };
    let fault = hung("PUT", "", "renameat2,renameat,rename").await;
    let (status, _) = served.request("DELETE", "/file", "").await;
    assert_eq!(status, 503, "it waits for its turn");
    end(fault).await;
    eventually("what hung is done", || async { fs::read_to_string(&file).unwrap() == "new" }).await;
    assert_eq!(served.request("PUT", "/file", "again").await.0, 204);
    assert_eq!(
        served.request("GET", "/file", "").await,
        (200, "again".to_owned()),
        "what waited was given up"
    );
    let fault = hung("DELETE", "file", "unlinkat,unlink").await;
    end(fault).await;
    eventually("what hung is done", || async { !file.exists() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_taken_while_the_disk_stalls() {
    if clients::find("strace").is_none() {
        return;
    }
    let served = Served::with_budget("75s").await;
    let fault = served.with_fault_at(&[], "writev:delay_enter=600000000").await;
    let (body, taking) = sender::body(true);
    let sending = tokio::spawn(Finder::at(&served.gateway.url).request("PUT", "/file").body(body).send());
    // What the memory and the sockets hold is taken at once; after that a little now and then.
    let mut before = 0;
    while taking.pieces() > before {
        before = taking.pieces();
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    eventually("it is taken nevertheless", || async { taking.pieces() > before + 8 }).await;
    assert!(!served.root.path().join("file").exists() && !sending.is_finished());
    end(fault).await;
    assert_eq!(sending.await.unwrap().unwrap().status(), 201);
    assert!(taking.longest_pause() < Duration::from_secs(25), "{:?}", taking.longest_pause());
    assert!(fs::read(served.root.path().join("file")).unwrap() == sender::whole());
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_a_file_may_take_long() {
    if clients::find("strace").is_none() {
        return;
    }
    let served = Served::with_budget("75s").await;
    fs::write(served.root.path().join("slow"), vec![1; 300 << 10]).unwrap();
    let fault = served.with_fault("slow", "close:delay_enter=5000000").await;
    let reading = futures_util::future::join_all((0..8).map(|_| served.request("GET", "/slow", "")));
    let answering = async {
        let mut longest = Duration::ZERO;
        for _ in 0..30 {
            let begun = Instant::now();
            assert_eq!(served.request("OPTIONS", "/", "").await.0, 200);
            longest = longest.max(begun.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        longest
    };
    let (read, longest) = tokio::join!(reading, answering);
    end(fault).await;
    assert!(read.iter().all(|(status, _)| *status == 200));
    assert!(longest < Duration::from_secs(4), "no thread that answers waits: {longest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_folder_is_shown_as_it_comes() {
    if clients::find("strace").is_none() {
        return;
    }
    let served = Served::start().await;
    let folder = served.root.path().join("folder");
    fs::create_dir(&folder).unwrap();
    for n in 0..10_000 {
        fs::write(folder.join(format!("a file with a name {n}")), "").unwrap();
    }
    // Each call brings some hundred names, and takes longer than the whole budget has for all.
    let fault = served.with_fault("folder", "getdents64:delay_enter=250000").await;
    let begun = Instant::now();
    let request = client().request("PROPFIND".parse().unwrap(), format!("{}/folder/", served.gateway.url));
    let mut answer = request.header("Depth", "1").send().await.unwrap();
    let mut text = answer.chunk().await.unwrap().unwrap().to_vec();
    let first = begun.elapsed();
    while let Some(chunk) = answer.chunk().await.unwrap() {
        text.extend_from_slice(&chunk);
    }
    let all = begun.elapsed();
    end(fault).await;
    assert_eq!(crate::harness::hrefs(&String::from_utf8(text).unwrap()).len(), 10_001);
    assert!(all > Duration::from_secs(2) && first < all / 3, "{first:?} of {all:?}");
}
