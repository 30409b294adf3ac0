//! Names that are stored in a spelling which no rule gives, as some keyboards type them.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use s3dav::embedded::{Action, Gate};

use crate::harness::{TestGateway, eventually};

/// Viet Nam: the keyboard's spelling, the composed and the decomposed one, as requests have them.
const FOLDER: &str = "Vi\u{ea}\u{323}t Nam";
const FOLDERS: [&str; 3] = ["Vi%C3%AA%CC%A3t%20Nam", "Vi%E1%BB%87t%20Nam", "Vie%CC%A3%CC%82t%20Nam"];
const FILE: &str = "Ti\u{ea}\u{301}ng.docx";
const FILES: [&str; 3] = ["Ti%C3%AA%CC%81ng.docx", "Ti%E1%BA%BFng.docx", "Tie%CC%82%CC%81ng.docx"];

/// What is known when a request comes.
#[derive(Debug, Clone, Copy)]
enum Known {
    Nothing,
    Parents,
}

/// A gateway over a bucket or a directory with these files, which knows so much.
async fn over(is_bucket: bool, files: &[String], known: Known) -> TestGateway {
    let gateway = if is_bucket { TestGateway::start().await } else { TestGateway::on_a_path().await };
    for file in files {
        if is_bucket {
            gateway.bucket().await.put(file, "content").await;
        } else {
            let path = gateway.directory().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "content").unwrap();
        }
    }
    if matches!(known, Known::Parents) {
        let mut folders = vec!["/".to_owned()];
        while let Some(folder) = folders.pop() {
            let shown = gateway.hrefs(&folder, "1").await.into_iter().skip(1);
            folders.extend(shown.filter(|href| href.ends_with('/')));
        }
    }
    gateway
}

/// All files, in order.
async fn files(gateway: &TestGateway, is_bucket: bool) -> Vec<String> {
    if is_bucket {
        return gateway.bucket().await.keys().await;
    }
    let root = gateway.directory().to_owned();
    let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn are_found_in_every_other_spelling() {
    let stored = [format!("docs/{FILE}"), format!("{FOLDER}/{FILE}"), format!("{FOLDER}/plain")];
    for (is_bucket, known) in
        [(true, Known::Nothing), (true, Known::Parents), (false, Known::Nothing), (false, Known::Parents)]
    {
        for (folder, file) in FOLDERS.iter().flat_map(|folder| FILES.map(|file| (folder, file))) {
            let case = format!("bucket: {is_bucket}, {known:?}, {folder}/{file}");
            let paths = [format!("/docs/{file}"), format!("/{folder}/{file}"), format!("/{folder}/plain")];
            for path in &paths {
                let gateway = over(is_bucket, &stored, known).await;
                assert_eq!(gateway.get(path).await, (200, "content".into()), "GET {path}, {case}");
                let gateway = over(is_bucket, &stored, known).await;
                assert_eq!(gateway.status("HEAD", path).await, 200, "HEAD {path}, {case}");
                assert_eq!(gateway.hrefs(path, "0").await, [path.as_str()], "PROPFIND {path}, {case}");
            }
            let gateway = over(is_bucket, &stored, known).await;
            assert_eq!(gateway.hrefs(&format!("/{folder}/"), "1").await.len(), 3, "{case}");
            let gateway = over(is_bucket, &stored, known).await;
            assert_eq!(gateway.put(&paths[1], "new").await, 204, "{case}");
            assert_eq!(gateway.put(&format!("/{folder}/other"), "other").await, 201, "{case}");
            let expected =
                [&stored[1], &format!("{FOLDER}/other"), &stored[2], &stored[0]].map(String::clone);
            assert_eq!(files(&gateway, is_bucket).await, expected, "nothing is doubled, {case}");
            assert_eq!(gateway.get(&paths[1]).await, (200, "new".into()), "{case}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn are_moved_copied_made_and_deleted_by_every_spelling() {
    let stored = [format!("docs/{FILE}"), format!("{FOLDER}/{FILE}")];
    for known in [Known::Nothing, Known::Parents] {
        for (folder, file) in FOLDERS.into_iter().zip(FILES) {
            let gateway = over(true, &stored, known).await;
            let case = format!("{known:?}, {folder}");
            assert_eq!(gateway.status("MKCOL", &format!("/{folder}")).await, 405, "{case}");
            assert_eq!(
                gateway.transfer("COPY", &format!("/docs/{file}"), &format!("/{folder}/{file}")).await,
                204
            );
            assert_eq!(
                gateway.transfer("MOVE", &format!("/docs/{file}"), &format!("/{folder}/b")).await,
                201
            );
            assert_eq!(gateway.bucket().await.keys().await, [&stored[1], &format!("{FOLDER}/b"), "docs/"]);
            assert_eq!(gateway.transfer("MOVE", &format!("/{folder}/"), "/moved/").await, 201, "{case}");
            assert_eq!(gateway.status("DELETE", &format!("/moved/{file}")).await, 204, "{case}");
            assert_eq!(gateway.bucket().await.keys().await, ["docs/", "moved/b"], "{case}");
        }
    }
}

/// Where one page does not hold them all those are listed that begin alike.
#[tokio::test(flavor = "multi_thread")]
async fn are_found_in_a_large_folder() {
    let names = ["Ti\u{ea}\u{301}ng", "u\u{308}\u{ea}\u{301}", "\u{fc}e\u{301}\u{e8}"];
    let asked = ["Ti%E1%BA%BFng", "%C3%BC%E1%BA%BF", "u%CC%88%C3%A9%C3%A8"];
    let gateway = TestGateway::start().await;
    let bucket = gateway.bucket().await;
    for n in 0..1_010 {
        bucket.put(&format!("d/0{n:04}"), "").await;
    }
    for name in names {
        bucket.put(&format!("d/{name}"), name).await;
    }
    let (s3, state) = gateway.stop().await;
    for (asked, name) in asked.into_iter().zip(names) {
        let gateway = TestGateway::start_on(Arc::clone(&s3), Arc::clone(&state), |_| {}).await;
        assert_eq!(gateway.get(&format!("/d/{asked}")).await, (200, name.into()), "{asked}");
        assert_eq!(gateway.put(&format!("/d/{asked}"), "new").await, 204, "{asked}");
        assert_eq!(gateway.status("HEAD", "/d/x%C3%BC").await, 404);
        gateway.stop().await;
    }
    assert_eq!(bucket.keys().await.len(), 1_013);
}

/// A request that makes something, and is held where it has found nothing and made nothing yet.
struct Held {
    /// Lets it go on.
    rest: Box<dyn FnOnce() + Send>,
    answer: tokio::task::JoinHandle<u16>,
}

impl Held {
    async fn begin(gateway: &TestGateway, method: &str, path: &str) -> Self {
        let request = gateway.request(method, path);
        if gateway.is_bucket() {
            let gate = Gate::default();
            gateway.hooks().next(1, "PutObject", Action::HoldFirst(gate.clone()));
            let request = if method == "PUT" { request.body("first") } else { request };
            let answer = tokio::spawn(async { request.send().await.unwrap().status().as_u16() });
            gate.reached().await;
            return Self { rest: Box::new(move || gate.open()), answer };
        }
        // On a disk nothing waits but for the client itself.
        let (rest, last) = tokio::sync::oneshot::channel();
        let first = stream::iter([Ok::<_, std::io::Error>("fir")]);
        let body = first.chain(stream::once(async { Ok(last.await.unwrap()) }));
        // Without a length: a small file of which that is known is made when it is whole.
        let request = request.body(reqwest::Body::wrap_stream(body));
        let answer = tokio::spawn(async { request.send().await.unwrap().status().as_u16() });
        let has_begun = || std::fs::read_dir(gateway.directory()).unwrap().count() > 1;
        eventually("the beginning of the file", || async { has_begun() }).await;
        Self { rest: Box::new(move || rest.send("st").unwrap()), answer }
    }

    async fn end(self) -> u16 {
        (self.rest)();
        self.answer.await.unwrap()
    }
}

/// One new name of two clients at once, each in a spelling of its own: one of them is first, and the other meets
/// what that one makes.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_new_name_there_is_one_however_many_make_it_at_once() {
    let cases = [("PUT", "PUT"), ("PUT", "MOVE"), ("PUT", "COPY"), ("PUT", "MKCOL"), ("MKCOL", "MKCOL")];
    for (first, second) in cases {
        for gateway in TestGateway::both().await {
            let case = format!("{first} and {second}, bucket: {}", gateway.is_bucket());
            if first == "MKCOL" && !gateway.is_bucket() {
                continue;
            }
            assert_eq!(gateway.put("/from", "second").await, 201);
            let held = Held::begin(&gateway, first, &format!("/{}", FILES[1])).await;
            let other = format!("/{}", FILES[2]);
            let status = match second {
                "PUT" => gateway.put(&other, "second").await,
                "MKCOL" => gateway.status("MKCOL", &other).await,
                _ => gateway.transfer(second, "/from", &other).await,
            };
            // A file whose content has come keeps its name from a folder.
            let is_locked = gateway.is_bucket() && (first, second) == ("PUT", "MKCOL");
            assert_eq!(status, if is_locked { 423 } else { 201 }, "{case}");
            let status = held.end().await;
            assert_eq!(status == 405, second == "MKCOL" && !is_locked, "{case}: {status}");
            let hrefs = gateway.hrefs("/", "1").await;
            let named: Vec<&str> = hrefs.iter().map(|href| href.trim_matches('/')).collect();
            let spellings: Vec<&&str> = named.iter().filter(|name| FILES.contains(name)).collect();
            assert_eq!(spellings, [&FILES[1]], "the first one's, {case}: {hrefs:?}");
            // What lost is kept beside it, as among clients that write the same letters.
            let all = hrefs.iter().filter(|href| href.starts_with("/Ti")).count();
            assert_eq!(all, if second == "MKCOL" { 1 } else { 2 }, "{case}: {hrefs:?}");
        }
    }
}
