//! Every section of `fs/path/SEMANTICS.md`, by name.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::harness::{Behind, TestGateway, eventually, xml};

#[test]
fn each_section_has_a_test() {
    let text = include_str!("../../../src/fs/path/SEMANTICS.md");
    let tests = include_str!("semantics.rs");
    for section in text.lines().filter_map(|line| line.strip_prefix("## ")) {
        let name = section.to_lowercase().replace(' ', "_");
        assert!(tests.contains(&format!("async fn {name}()")), "{section}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_a_file() {
    let gateway = TestGateway::on_a_path().await;
    let root = gateway.directory();
    assert_eq!(gateway.put("/a%20b.txt", "1").await, 201);
    assert_eq!(fs::read_to_string(root.join("a b.txt")).unwrap(), "1");
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/x"), "2").unwrap();
    assert_eq!(gateway.get("/d/x").await, (200, "2".into()));
    // What another life of this gateway left goes; what is another gateway's stays, unseen.
    let run = fs::read_dir(root).unwrap().count();
    assert_eq!(run, 2, "nothing of the gateway's own");
    fs::write(root.join("d/.s3dav-part-000000000000-1-1"), "another's").unwrap();
    assert_eq!(gateway.hrefs("/d/", "1").await, ["/d/", "/d/x"]);
    assert_eq!(gateway.status("GET", "/d/.s3dav-part-000000000000-1-1").await, 404);
    assert_eq!(gateway.put("/d/.s3dav-part-x", "").await, 403);
    assert!(root.join("d/.s3dav-part-000000000000-1-1").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn success_means_synced() {
    let gateway = TestGateway::on_a_path().await;
    let script = gateway.directory().join("script");
    fs::write(&script, "old").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o750)).unwrap();
    let old = fs::metadata(&script).unwrap();
    assert_eq!(gateway.put("/script", "new").await, 204);
    let new = fs::metadata(&script).unwrap();
    assert_eq!(new.mode(), old.mode(), "its rights stay");
    assert_ne!(new.ino(), old.ino(), "the old file was whole until it was replaced");
    let answer = gateway.request("PUT", "/script").header("X-OC-Mtime", "1000000000").body("x");
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.headers()["x-oc-mtime"], "accepted");
    let modified = fs::metadata(&script).unwrap().modified().unwrap();
    assert_eq!(modified, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    let head = gateway.request("HEAD", "/script").send().await.unwrap();
    assert_eq!(head.headers()["last-modified"], "Sun, 09 Sep 2001 01:46:40 GMT");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_changed_file_is_silently_overwritten() {
    let gateway = TestGateway::on_a_path().await;
    let root = gateway.directory();
    assert_eq!(gateway.put("/a", "first").await, 201);
    fs::write(root.join("a"), "somebody else's").unwrap();
    assert_eq!(gateway.put("/a", "second").await, 204, "it is kept, so it is a success");
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "somebody else's");
    let copy = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let copy = copy.into_iter().find(|path| path.to_str().unwrap().contains("a (conflict ")).unwrap();
    assert_eq!(fs::read_to_string(copy).unwrap(), "second");
    let own = gateway.request("PUT", "/a").header("If-Match", "\"another\"").body("x");
    assert_eq!(own.send().await.unwrap().status(), 412);
    let new = gateway.request("PUT", "/a").header("If-None-Match", "*").body("x");
    assert_eq!(new.send().await.unwrap().status(), 412);
    assert_eq!(gateway.get("/a").await.1, "somebody else's");
    assert_eq!(gateway.put("/a", "third").await, 204, "now it was seen");
    assert_eq!(fs::read_to_string(root.join("a")).unwrap(), "third");
    // A folder with something unseen in it.
    for path in ["/d/x", "/e/x"] {
        fs::create_dir_all(root.join(&path[1..]).parent().unwrap()).unwrap();
        assert_eq!(gateway.put(path, path.to_owned()).await, 201);
    }
    fs::write(root.join("e/x"), "somebody else's").unwrap();
    assert_eq!(gateway.transfer("MOVE", "/d", "/e").await, 409);
    assert_eq!(fs::read_to_string(root.join("e/x")).unwrap(), "somebody else's");
    gateway.get("/e/x").await;
    assert_eq!(gateway.transfer("MOVE", "/d", "/e").await, 204);
    assert_eq!(fs::read_to_string(root.join("e/x")).unwrap(), "/d/x");
    assert!(!root.join("d").exists());
    assert_eq!(fs::read_dir(root).unwrap().count(), 3, "nothing is left over");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leads_out() {
    let gateway = TestGateway::on_a_path().await;
    let root = gateway.directory();
    fs::create_dir_all(root.join("d/sub")).unwrap();
    fs::write(root.join("d/real"), "inside").unwrap();
    symlink("../d/real", root.join("d/link")).unwrap();
    symlink("d", root.join("folder")).unwrap();
    symlink("/etc", root.join("out")).unwrap();
    symlink("nowhere", root.join("broken")).unwrap();
    assert_eq!(gateway.hrefs("/", "1").await.len(), 3, "the root, d and folder");
    assert_eq!(gateway.get("/folder/link").await, (200, "inside".into()));
    assert_eq!(gateway.status("GET", "/out/passwd").await, 404);
    // Written through; deleted and moved as a link.
    assert_eq!(gateway.put("/d/link", "changed").await, 204);
    assert_eq!(fs::read_to_string(root.join("d/real")).unwrap(), "changed");
    assert!(root.join("d/link").is_symlink());
    assert_eq!(gateway.transfer("COPY", "/d", "/copy").await, 201);
    assert!(!root.join("copy/link").is_symlink(), "changing the copy leaves the original alone");
    assert_eq!(gateway.transfer("MOVE", "/folder", "/renamed").await, 201);
    assert!(root.join("renamed").is_symlink());
    assert_eq!(gateway.status("DELETE", "/renamed").await, 204);
    assert_eq!(fs::read_to_string(root.join("d/real")).unwrap(), "changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_of_files() {
    let gateway = TestGateway::on_a_path().await;
    let path = gateway.directory().join("old");
    let file = fs::File::create(&path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(86_400)).unwrap();
    let head = gateway.request("HEAD", "/old").send().await.unwrap();
    assert_eq!(head.headers()["last-modified"], "Fri, 02 Jan 1970 00:00:00 GMT");
    file.set_modified(SystemTime::UNIX_EPOCH - Duration::from_secs(86_400)).unwrap();
    let head = gateway.request("HEAD", "/old").send().await.unwrap();
    assert_eq!(head.headers()["last-modified"], "Thu, 01 Jan 1970 00:00:00 GMT", "HTTP has none before");
    assert_eq!(gateway.propfind("/", "1", "").await.status(), 207);
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_are_folders() {
    let gateway = TestGateway::on_a_path().await;
    let root = gateway.directory();
    assert_eq!(gateway.status("MKCOL", "/d").await, 201);
    assert_eq!(gateway.status("MKCOL", "/d").await, 405);
    assert_eq!(gateway.status("MKCOL", "/x/y").await, 409);
    for n in 0..50 {
        fs::create_dir_all(root.join(format!("d/{}", n % 5))).unwrap();
        fs::write(root.join(format!("d/{}/{n}", n % 5)), n.to_string()).unwrap();
    }
    assert_eq!(gateway.transfer("COPY", "/d", "/e").await, 201);
    assert_eq!(gateway.transfer("MOVE", "/d", "/f").await, 201);
    let (e, f) = (contents(&gateway, "e").await, contents(&gateway, "f").await);
    assert_eq!((e.len(), &e), (50, &f));
    assert_eq!(gateway.transfer("COPY", "/e", "/f").await, 204, "replaced");
    assert_eq!(gateway.transfer("MOVE", "/e", "/f/inside").await, 201);
    assert_eq!(gateway.transfer("MOVE", "/f", "/f/inside/again").await, 409);
    assert_eq!(gateway.status("DELETE", "/f").await, 204);
    assert_eq!(fs::read_dir(root).unwrap().count(), 0, "nothing is left over");
}

async fn contents(gateway: &TestGateway, folder: &str) -> Vec<(String, bytes::Bytes)> {
    let all = gateway.bucket().await.contents().await;
    let below = |key: &String| key.strip_prefix(&format!("{folder}/")).map(str::to_owned);
    all.into_iter().filter_map(|(key, body)| Some((below(&key)?, body))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_others() {
    let gateway = TestGateway::on_a_path().await;
    let root = gateway.directory();
    fs::write(root.join("cafe\u{301}"), "decomposed").unwrap();
    assert_eq!(gateway.get("/caf%C3%A9").await, (200, "decomposed".into()));
    assert_eq!(gateway.put("/caf%C3%A9", "the same file").await, 204);
    fs::write(root.join("caf\u{e9}"), "composed").unwrap();
    assert_eq!(gateway.get("/caf%C3%A9").await.1, "composed", "the exact spelling goes first");
    fs::create_dir(root.join("d")).unwrap();
    let lost = ".s3files-lost+found-fs-0123";
    let nfs = ".nfs000000000a1b2c3d00000001";
    let latin1 = std::ffi::OsStr::new("d").to_owned();
    let bytes: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff\xfe");
    fs::write(root.join(latin1).join(bytes), "").unwrap();
    fs::write(root.join("d").join("a\nb"), "").unwrap();
    fs::create_dir(root.join(lost)).unwrap();
    fs::write(root.join(lost).join("0a_name"), "lost").unwrap();
    fs::write(root.join(nfs), "open").unwrap();
    fs::create_dir(root.join(".s3dav")).unwrap();
    assert_eq!(gateway.hrefs("/", "1").await.len(), 4, "the root, d and both spellings");
    assert_eq!(gateway.hrefs("/d/", "1").await, ["/d/"]);
    assert_eq!(gateway.get(&format!("/{}/0a_name", lost.replace('+', "%2B"))).await.1, "lost");
    // A folder of that name is no more seen than a file.
    fs::create_dir(root.join("e")).unwrap();
    fs::create_dir(root.join("e").join(nfs)).unwrap();
    fs::write(root.join("e").join(nfs).join("below"), "").unwrap();
    for path in [format!("/{nfs}"), format!("/e/{nfs}"), format!("/e/{nfs}/below")] {
        for method in ["GET", "HEAD", "PROPFIND", "PROPPATCH", "DELETE"] {
            let body = match method {
                "PROPPATCH" => xml::remove("<a/>"),
                _ => String::new(),
            };
            let answer = gateway
                .request(method, &path)
                .header("Depth", if method == "DELETE" { "infinity" } else { "0" });
            assert_eq!(answer.body(body).send().await.unwrap().status(), 404, "{method} {path}");
        }
        for method in ["MOVE", "COPY"] {
            assert_eq!(gateway.transfer(method, &path, "/taken").await, 404, "{method} {path}");
        }
    }
    for method in ["PUT", "MKCOL"] {
        assert_eq!(gateway.status(method, &format!("/{nfs}")).await, 403, "{method}");
    }
    assert_eq!(gateway.put("/mine", "x").await, 201);
    for method in ["COPY", "MOVE"] {
        assert_eq!(gateway.transfer(method, "/mine", &format!("/{nfs}")).await, 403, "{method}");
    }
    assert_eq!(fs::read_to_string(root.join(nfs)).unwrap(), "open");
    for path in [format!("/{lost}/0a_name"), format!("/{lost}")] {
        assert_eq!(gateway.status("DELETE", &path).await, 403, "{path}");
        assert_eq!(gateway.transfer("MOVE", &path, "/taken").await, 403, "{path}");
        assert_eq!(gateway.put(&path, "x").await, 403, "{path}");
    }
    let answer = gateway.request("DELETE", "/d").send().await.unwrap();
    assert_eq!(answer.status(), 409);
    let text = answer.text().await.unwrap();
    assert!(text.contains("2 file(s)") && text.contains("--delete-hidden"), "{text}");
    let (behind, state) = gateway.end().await;
    let gateway = TestGateway::start_behind(behind, state, |config| {
        let s3dav::config::Source::Path(options) = &mut config.source else { unreachable!() };
        options.delete_hidden = true;
    })
    .await;
    assert_eq!(gateway.status("DELETE", "/d").await, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_names_of_one_thing_are_not_taken_for_two() {
    let gateway = TestGateway::on_a_path().await;
    let root = gateway.directory();
    fs::write(root.join("a"), "1").unwrap();
    fs::hard_link(root.join("a"), root.join("b")).unwrap();
    assert_eq!(gateway.transfer("COPY", "/a", "/b").await, 403);
    assert_eq!(gateway.transfer("MOVE", "/a", "/b").await, 204);
    assert_eq!(gateway.get("/b").await.1, "1");
    assert_eq!(gateway.status("GET", "/a").await, 404);
    assert!(!root.join("a").exists(), "rename(2) leaves both");
    fs::create_dir(root.join("e")).unwrap();
    fs::hard_link(root.join("b"), root.join("e/b")).unwrap();
    assert_eq!(gateway.transfer("MOVE", "/e/b", "/b").await, 204);
    assert_eq!(gateway.hrefs("/e/", "1").await, ["/e/"]);
    assert_eq!(gateway.get("/b").await.1, "1");
    // By way of a link the destination holds the source.
    fs::create_dir(root.join("d")).unwrap();
    fs::write(root.join("d/f"), "2").unwrap();
    symlink("d", root.join("link")).unwrap();
    for (method, from, to) in
        [("COPY", "/link/f", "/d"), ("MOVE", "/link/f", "/d"), ("MOVE", "/d", "/link/x")]
    {
        assert_eq!(gateway.transfer(method, from, to).await, 403, "{method} {from} {to}");
        assert_eq!(fs::read_to_string(root.join("d/f")).unwrap(), "2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_names_are_served_whose_decomposed_form_is_too_long() {
    let gateway = TestGateway::on_a_path().await;
    for name in ["\u{d55c}".repeat(80), "\u{fc}".repeat(127)] {
        let path = format!("/{name}");
        assert_eq!(gateway.status("GET", &path).await, 404);
        assert_eq!(gateway.put(&path, "1").await, 201);
        assert_eq!(gateway.get(&path).await.1, "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_token_is_no_condition_of_the_content() {
    let gateway = TestGateway::on_a_path().await;
    let file = gateway.directory().join("a");
    gateway.put("/a", "1").await;
    let body = xml::EXCLUSIVE;
    let lock = gateway.request("LOCK", "/a").body(body).send().await.unwrap();
    let token = lock.headers()["lock-token"].to_str().unwrap().to_owned();
    let put = async |body: &'static str| {
        let request = gateway.request("PUT", "/a").header("If", format!("({token})"));
        request.body(body).send().await.unwrap().status().as_u16()
    };
    fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(put("2").await, 204);
    assert_eq!(fs::read_to_string(&file).unwrap(), "2", "other rights are no other content");
    fs::write(&file, "somebody else's").unwrap();
    assert_eq!(put("3").await, 204);
    assert_eq!(fs::read_to_string(&file).unwrap(), "somebody else's");
    let keys = gateway.bucket().await.keys().await;
    assert!(keys.iter().any(|key| key.contains("a (conflict ")), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_never_emptied_by_a_slip() {
    let gateway = TestGateway::on_a_path().await;
    gateway.put("/a", "1").await;
    assert_eq!(gateway.status("DELETE", "/").await, 403);
    assert_eq!(gateway.transfer("MOVE", "/", "/x").await, 403);
    assert_eq!(gateway.get("/a").await.1, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_the_disk() {
    let gateway = TestGateway::on_a_path().await;
    let root = gateway.directory().to_owned();
    let long = "\u{fc}".repeat(128);
    assert_eq!(gateway.put(&format!("/{long}"), "").await, 414);
    // A pipe that nobody writes to would hang whoever opens it.
    let pipe = root.join("pipe");
    crate::harness::make_pipe(&pipe);
    assert_eq!(gateway.status("GET", "/pipe").await, 404);
    assert_eq!(gateway.hrefs("/", "1").await, ["/"]);
    // Changed in place while it is read.
    let body = vec![1_u8; 64 << 20];
    fs::write(root.join("large"), &body).unwrap();
    let mut answer = gateway.request("GET", "/large").send().await.unwrap();
    answer.chunk().await.unwrap().unwrap();
    fs::write(root.join("large"), vec![2_u8; 64 << 20]).unwrap();
    let mut read = 0;
    let broke_off = loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(broke_off, "a mix of two versions: {read} bytes");
}

/// Whether a download of 64 MiB ends well during which `change` is made; all of it is one version then.
async fn survives(gateway: &TestGateway, change: impl FnOnce()) -> bool {
    fs::write(gateway.directory().join("large"), vec![1_u8; 64 << 20]).unwrap();
    let mut answer = gateway.request("GET", "/large").send().await.unwrap();
    let mut read = answer.chunk().await.unwrap().unwrap().to_vec();
    change();
    while let Ok(chunk) = answer.chunk().await {
        let Some(chunk) = chunk else {
            assert!(read.len() == 64 << 20 && read.iter().all(|byte| *byte == 1), "a mix of two versions");
            return true;
        };
        read.extend_from_slice(&chunk);
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_is_one_version_whatever_the_dates_say() {
    let gateway = TestGateway::on_a_path().await;
    let root = gateway.directory().to_owned();
    let (file, other) = (root.join("large"), root.join("other"));
    let rewrite = || {
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        let open = fs::OpenOptions::new().write(true).open(&file).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&open, &vec![2_u8; 64 << 20], 0).unwrap();
        open.set_modified(modified).unwrap();
    };
    assert!(!survives(&gateway, rewrite).await, "rewritten in place, with the old date");
    let rights = || fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(survives(&gateway, rights).await, "other rights");
    assert!(survives(&gateway, || fs::hard_link(&file, &other).unwrap()).await, "another name");
    assert!(survives(&gateway, || fs::remove_file(&other).unwrap()).await, "a name less");
    assert!(survives(&gateway, || fs::rename(&file, &other).unwrap()).await, "renamed");
    assert!(survives(&gateway, || fs::remove_file(&file).unwrap()).await, "deleted");
    assert!(survives(&gateway, || fs::rename(&other, &file).unwrap()).await, "replaced");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_are_served_from_memory_while_they_are_the_newest() {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let file = directory.path().join("a");
    fs::write(&file, "first").unwrap();
    let state = Arc::new(tempfile::tempdir().unwrap());
    let gateway = TestGateway::start_behind(Behind::Directory(directory), state, |_| {}).await;
    for n in 0..50 {
        assert_eq!(gateway.get("/a").await.1, "first", "{n}");
    }
    // As long as the last change and the next cannot be told apart, nothing is remembered.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    for content in ["first", "other", "third"] {
        fs::write(&file, content).unwrap();
        eventually("the change is seen", || async { gateway.get("/a").await.1 == content }).await;
        assert_eq!(gateway.get("/a").await.1, content);
    }
}
