//! A damaged state database costs what was in it, and no more: the gateway starts, serves, and says what is lost.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use s3dav::commands::gateway::Gateway;
use s3dav::control::{Problem, Reply, Request, ask};
use s3dav::embedded::EmbeddedS3;
use s3dav::shutdown::Shutdown;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::finder::client::{AGENT, Finder};
use crate::harness::clients::{self, Tools};
use crate::harness::dice::{self, Dice};
use crate::harness::process::{Process, outcome, serve};
use crate::harness::{BUCKET, TestGateway, client, config, embedded, xml};

const FILES: usize = 10;
/// Gateways.
const AT_ONCE: usize = 4;
/// Bytes of a content that is not kept in memory beside others.
const MORE_THAN_IS_CACHED: usize = 15 << 20;

/// What asks for the property.
fn asked() -> String {
    xml::propfind("<c xmlns=\"urn:t\"/>")
}

fn patch(value: &str) -> String {
    xml::set(&format!("<c xmlns=\"urn:t\">{value}</c>"))
}

fn large() -> Vec<u8> {
    (0..100_000_u32).map(|n| n as u8).collect()
}

/// What a gateway left that has ended in order.
struct Left {
    s3: Arc<EmbeddedS3>,
    state: Arc<TempDir>,
    /// The database before its end.
    open: Vec<u8>,
}

impl Left {
    async fn new() -> Self {
        let gateway = TestGateway::start().await;
        let mac = Finder::of(&gateway);
        for n in 0..FILES {
            assert_eq!(gateway.put(&format!("/f{n}"), "content").await, 201);
            if n == 0 {
                mac.lock("/f0").await;
            }
            let answer = mac.request("PROPPATCH", &format!("/f{n}")).body(patch(&format!("color {n}")));
            assert_eq!(answer.send().await.unwrap().status(), 207);
            mac.create(&format!("/._f{n}"), format!("tags {n}").repeat(n * 100)).await;
        }
        mac.create("/._large", large()).await;
        let open = fs::read(gateway.state.path().join("state/state.redb")).unwrap();
        let (s3, state) = gateway.stop().await;
        Self { s3, state, open }
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.state.path().join("state/state.redb")).unwrap()
    }

    /// The same once more, with another database.
    fn copy(&self, database: &[u8]) -> Arc<TempDir> {
        let copy = tempfile::tempdir().unwrap();
        let (from, to) = (self.state.path().join("state"), copy.path().join("state"));
        fs::create_dir_all(to.join("shelf")).unwrap();
        for directory in ["", "shelf"] {
            for entry in fs::read_dir(from.join(directory)).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_file() {
                    fs::copy(entry.path(), to.join(directory).join(entry.file_name())).unwrap();
                }
            }
        }
        fs::write(to.join("state.redb"), database).unwrap();
        Arc::new(copy)
    }
}

/// What was put aside.
fn aside(state: &Path, name: &str) -> Vec<PathBuf> {
    let start = format!("{name}.damaged-");
    let found = fs::read_dir(state.join("state")).unwrap().map(|entry| entry.unwrap().path());
    found.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&start)).collect()
}

async fn color(mac: &Finder, path: &str) -> Option<String> {
    let text = mac.propfind(path, "0", &asked()).send().await.unwrap().text().await.unwrap();
    text.split("color ").nth(1).and_then(|rest| Some(rest.split_once('<')?.0.to_owned()))
}

/// What `s3dav status` says of the database.
pub async fn problem(state: &TempDir) -> Option<Problem> {
    let asked = ask(&state.path().join("state"), Request::Status, Duration::from_secs(10)).await;
    let Ok(Reply::Status(status)) = asked else { panic!("{asked:?}") };
    status.problems.into_iter().find(|problem| problem.message.starts_with("the state database: "))
}

/// How it was ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    InOrder,
    ByCrash,
}

/// How a gateway is that had to start with a database.
#[derive(Debug, PartialEq)]
enum Found {
    Whole,
    /// The last changes before a crash are gone; nobody is told.
    WentBack,
    /// The newest of it may be gone.
    Repaired,
    PutAside,
}

/// Starts on a database, and makes sure that it serves, and that it has said what it lacks.
async fn check(left: &Left, database: &[u8], end: End, what: &str) -> Found {
    let state = left.copy(database);
    let gateway = TestGateway::start_on(Arc::clone(&left.s3), Arc::clone(&state), |_| {}).await;
    let mac = Finder::of(&gateway);
    assert_eq!(gateway.get("/f1").await, (200, "content".into()), "{what}");
    let told = problem(&gateway.state).await;
    let copies = aside(state.path(), "state.redb");
    let found = match (&told, copies.as_slice()) {
        (None, []) if end == End::ByCrash => Found::WentBack,
        (None, []) => Found::Whole,
        (Some(told), [copy]) => said(told, database, copy, what),
        other => panic!("{what}: {other:?}"),
    };
    if found == Found::PutAside {
        let shelves = aside(state.path(), "shelf");
        assert_eq!(shelves.len(), 1, "{what}");
        let files: Vec<_> = fs::read_dir(&shelves[0]).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{what}: what could be rescued is there still");
        assert_eq!(fs::read(&files[0]).unwrap(), large(), "{what}");
    } else {
        assert!(end == End::InOrder || found == Found::WentBack, "{what}: a crash is no damage");
    }
    holds(&gateway, &mac, &found, what).await;
    // What is new is kept.
    let answer = mac.request("PROPPATCH", "/f1").body(patch("color new")).send().await.unwrap();
    assert_eq!(answer.status(), 207, "{what}");
    mac.create("/._new", "new").await;
    let (s3, state) = gateway.stop().await;
    if found == Found::Whole {
        return found;
    }
    let gateway = TestGateway::start_on(s3, Arc::clone(&state), |_| {}).await;
    let mac = Finder::of(&gateway);
    assert_eq!(color(&mac, "/f1").await.as_deref(), Some("new"), "{what}");
    assert_eq!(mac.get("/._new").await, (200, "new".into()), "{what}");
    assert_eq!(aside(state.path(), "state.redb").len(), copies.len(), "{what}: once");
    assert_eq!(problem(&state).await, None, "{what}: told once");
    found
}

/// What was said fits what was done, and what was found is there still.
fn said(told: &Problem, database: &[u8], copy: &Path, what: &str) -> Found {
    let message = &told.message;
    for lost in ["locks", "properties", "Finder", "waited"] {
        assert!(message.contains(lost), "{what}: {message}");
    }
    assert!(message.contains(copy.file_name().unwrap().to_str().unwrap()), "{what}: {message}");
    assert!(!told.hint.is_empty(), "{what}");
    assert_eq!(fs::metadata(copy).unwrap().mode() & 0o777, 0o600, "{what}");
    assert!(fs::read(copy).unwrap() == database, "{what}: it is what was found");
    if message.contains("repaired") { Found::Repaired } else { Found::PutAside }
}

/// What is there is what was there, or nothing. Where the last changes were taken back it may be what was there before
/// them: a file of Finder's is made empty.
async fn holds(gateway: &TestGateway, mac: &Finder, found: &Found, what: &str) {
    for n in 0..FILES {
        let (color, tags) = (color(mac, &format!("/f{n}")).await, mac.get(&format!("/._f{n}")).await);
        let whole = (Some(n.to_string()), (200, format!("tags {n}").repeat(n * 100).into()));
        match found {
            Found::PutAside => assert_eq!((color, tags.0), (None, 404), "{what}"),
            Found::Whole => assert_eq!((color, tags), whole, "{what} {n}"),
            Found::Repaired | Found::WentBack => {
                assert!(color.is_none() || color == whole.0, "{what} {n}: {color:?}");
                assert!(tags.0 == 404 || is_empty(&tags) || tags == whole.1, "{what} {n}: {tags:.60?}");
            }
        }
    }
    let kept = mac.get("/._large").await;
    if *found == Found::Whole {
        assert_eq!(kept, (200, large().into()), "{what}");
        assert_eq!(gateway.put("/f0", "x").await, 423, "{what}");
    } else {
        let is_known = kept.0 == 404 || is_empty(&kept) || kept == (200, large().into());
        assert!(is_known, "{what}: {} with {} bytes", kept.0, kept.1.len());
    }
}

fn is_empty(answer: &(u16, Bytes)) -> bool {
    answer.0 == 200 && answer.1.is_empty()
}

/// Places that hold something.
fn places(bytes: &[u8], dice: &mut Dice) -> Vec<usize> {
    let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
    (0..20).map(|_| dice.pick(&used)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn flipped_bytes_are_told_and_the_gateway_serves() {
    let mut dice = Dice::new(dice::seed());
    let left = Left::new().await;
    let bytes = left.bytes();
    assert_eq!(check(&left, &bytes, End::InOrder, "nothing").await, Found::Whole);
    let mut cases = Vec::new();
    // What a crash leaves, too.
    for at in places(&left.open, &mut dice).into_iter().take(6) {
        let mut flipped = left.open.clone();
        flipped[at] ^= 0xff;
        cases.push((flipped, End::ByCrash, format!("byte {at} ^ 255 after a crash")));
    }
    let mut all = bytes.clone();
    for at in places(&bytes, &mut dice) {
        let flip = 1 + dice.below(255) as u8;
        let mut flipped = bytes.clone();
        flipped[at] ^= flip;
        all[at] ^= flip;
        cases.push((flipped, End::InOrder, format!("byte {at} ^ {flip}")));
    }
    let checks = cases.iter().map(|(flipped, end, what)| check(&left, flipped, *end, what));
    let found: Vec<Found> = stream::iter(checks).buffered(AT_ONCE).collect().await;
    let seen = found[6..].iter().filter(|found| **found != Found::Whole).count();
    assert!(seen > 0, "some of it matters");
    assert_eq!(check(&left, &all, End::InOrder, "all bytes").await, Found::PutAside);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_database_is_put_aside() {
    let left = Left::new().await;
    let bytes = left.bytes();
    let mut zeros = bytes.clone();
    zeros[..4096].fill(0);
    let garbage: Vec<u8> = (0..50_000_u32).map(|n| ((n * 7919) >> 5) as u8).collect();
    let half = &bytes[..bytes.len() / 2];
    let cases = [
        ("zeros in front", &zeros[..]),
        ("half", half),
        ("garbage", &garbage[..]),
        ("nothing", &[]),
        ("a few bytes", b"redb"),
        ("zeros", &[0; 8192]),
    ];
    for (what, database) in cases {
        assert_eq!(check(&left, database, End::InOrder, what).await, Found::PutAside, "{what}");
    }
    // A page that holds something.
    for page in
        (1..bytes.len() / 4096).filter(|page| bytes[page * 4096..][..4096].iter().any(|byte| *byte != 0))
    {
        let mut zeros = bytes.clone();
        zeros[page * 4096..][..4096].fill(0);
        check(&left, &zeros, End::InOrder, &format!("zeros in page {page}")).await;
        if page > 12 {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_damage_is_left_alone() {
    let left = Left::new().await;
    let state = left.copy(&[]);
    let database = state.path().join("state/state.redb");
    fs::remove_file(&database).unwrap();
    fs::create_dir(&database).unwrap();
    fs::write(database.join("precious"), "content").unwrap();
    let config = config(&left.s3.endpoint_url(), &[BUCKET], &state);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = Gateway::new(config, vec![listener], Shutdown::default()).await.err().unwrap();
    assert!(format!("{:#}", refused.error).contains("state.redb"), "{:#}", refused.error);
    assert!(refused.hint.is_some(), "{:#}", refused.error);
    assert_eq!(fs::read(database.join("precious")).unwrap(), b"content");
    assert!(aside(state.path(), "state.redb").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_that_comes_during_a_run_is_told_and_ends_nothing() {
    let left = Left::new().await;
    let state = left.copy(&left.bytes());
    {
        let database = redb::Database::open(state.path().join("state/state.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        let contents: redb::TableDefinition<&str, &[u8]> = redb::TableDefinition::new("shelf_contents");
        transaction.open_table(contents).unwrap().insert("/._f1", &vec![1; MORE_THAN_IS_CACHED][..]).unwrap();
        transaction.commit().unwrap();
    }
    let mut gateway = Process::gateway(&left.s3.endpoint_url(), &state, &["--auth", "none"]).await;
    let file = fs::File::options().write(true).open(state.path().join("state/state.redb")).unwrap();
    let garbage = vec![0xa5; file.metadata().unwrap().len() as usize - 4096];
    file.write_all_at(&garbage, 4096).unwrap();
    for n in 0..FILES {
        let request = |method: &str, path: String| {
            let request = client().request(method.parse().unwrap(), format!("{}{path}", gateway.url));
            request.header("User-Agent", AGENT).header("Depth", "0")
        };
        request("GET", format!("/._f{n}")).send().await.unwrap();
        request("PROPFIND", format!("/f{n}")).body(asked()).send().await.unwrap();
        request("PROPPATCH", format!("/f{n}")).body(patch("color new")).send().await.unwrap();
        let served = request("GET", format!("/f{n}")).send().await.unwrap();
        assert_eq!(served.status(), 200, "files are served");
    }
    let told = problem(&state).await.expect("status says it");
    assert!(told.message.contains("damaged") && told.hint.contains("restart s3dav"), "{told:?}");
    gateway.signal("TERM").await;
    gateway.child.wait().await.unwrap();
    let said = gateway.said.lock().clone();
    assert_eq!(said.matches("state.redb is damaged").count(), 1, "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let gateway = TestGateway::start_on(Arc::clone(&left.s3), Arc::clone(&state), |_| {}).await;
    assert_eq!(gateway.get("/f1").await, (200, "content".into()));
    assert_eq!(aside(state.path(), "state.redb").len(), 1);
}

/// The command line on that state, whose calls on the database end as `inject` says.
fn traced(tools: &Tools, left: &EmbeddedS3, state: &TempDir, inject: &str) -> Command {
    let model = serve(&left.endpoint_url(), state, &[]);
    let mut strace = tools.command("strace");
    strace.args(["-f", "-q", "-o", "/dev/null", &format!("--inject={inject}")]);
    for name in ["state.redb", "state.redb.new"] {
        strace.arg("-P").arg(state.path().join("state").join(name));
    }
    strace.arg(model.as_std().get_program()).args(model.as_std().get_args());
    for (name, value) in model.as_std().get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    strace
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_disk_is_no_damage() {
    let Some(tools) = clients::needs(&["strace"]) else { return };
    let left = Left::new().await;
    let bytes = left.bytes();
    let state = left.copy(&bytes);
    for when in ["1+", "4+"] {
        let inject = format!("pread64:error=EIO:when={when}");
        let (code, _, said) = outcome(traced(&tools, &left.s3, &state, &inject)).await;
        assert!(code == 1 && said.contains("state.redb") && said.contains("hint: "), "{when}: {code} {said}");
        assert!(!said.contains("damaged"), "{when}: {said}");
        assert!(aside(state.path(), "state.redb").is_empty(), "{when}");
        assert!(fs::read(state.path().join("state/state.redb")).unwrap() == bytes, "{when}");
    }
    assert_eq!(check(&left, &bytes, End::InOrder, "after errors").await, Found::Whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_that_was_cut_is_no_damage() {
    let Some(tools) = clients::needs(&["strace"]) else { return };
    let s3 = embedded().await;
    for (inject, says) in [
        ("pwrite64:error=ENOSPC", "free some space"),
        ("pwrite64:signal=KILL", ""),
        ("ftruncate:signal=KILL", ""),
    ] {
        let state = Arc::new(tempfile::tempdir().unwrap());
        let (code, _, said) = outcome(traced(&tools, &s3, &state, inject)).await;
        assert!(code != 0 && said.contains(says), "{inject}: {code} {said}");
        let gateway = TestGateway::start_on(Arc::clone(&s3), Arc::clone(&state), |_| {}).await;
        assert_eq!(gateway.put("/file", "content").await / 100, 2, "{inject}");
        assert_eq!(problem(&state).await, None, "{inject}");
        let names = fs::read_dir(state.path().join("state")).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        let left = |name: &&std::ffi::OsString| {
            let name = name.to_str().unwrap();
            name.starts_with("state.redb") && name != "state.redb"
        };
        assert_eq!(names.iter().find(left), None, "{inject}");
    }
}
