//! What S3 and the way to it may do, against what clients do: what the client is told, what S3 has in the end, and what is
//! pending until then. `docs/FAULTS.md` is this table.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use s3dav::config::Config;
use s3dav::control::{self, PendingAction, Reply, Request};
use s3dav::embedded::{Action, Gate, Rule};
use s3dav::store::journal::Durability;

use super::Away;
use crate::finder::client::Finder;
use crate::harness::{buckets, eventually, open_uploads};

/// Whose changes they are, and when they are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// macOS, which cannot be told that a save failed.
    Mac,
    /// Any other client: it is told, and repeats.
    Other,
    /// Either, with `--durability journal`.
    Journal,
}

const MODES: [Mode; 3] = [Mode::Mac, Mode::Other, Mode::Journal];

/// What goes wrong until it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    Error,
    Burst,
    Silence,
    LostAnswers,
    Reset,
    Denied,
    BadDigest,
    Skew,
    Expired,
    NoBucket,
}

const FAULTS: [(Fault, &str); 11] = [
    (Fault::Nothing, "nothing goes wrong"),
    (Fault::Error, "500 to everything"),
    (Fault::Burst, "503 SlowDown, ten times"),
    (Fault::Silence, "no answer to anything, and nothing is carried out"),
    (Fault::LostAnswers, "each kind of change is carried out once, and answered 500"),
    (Fault::Reset, "connections are cut, and new ones are refused"),
    (Fault::Denied, "403 AccessDenied to all changes"),
    (Fault::BadDigest, "400 BadDigest to the first of each kind of change"),
    (Fault::Skew, "this machine's clock is an hour slow"),
    (Fault::Expired, "400 ExpiredToken to everything"),
    (Fault::NoBucket, "404 NoSuchBucket to everything"),
];

const WRITES: [&str; 8] = [
    "PutObject",
    "CopyObject",
    "DeleteObject",
    "DeleteObjects",
    "CreateMultipartUpload",
    "UploadPart",
    "CompleteMultipartUpload",
    "UploadPartCopy",
];

impl Fault {
    /// Until [`Self::end`].
    async fn begin(self, away: &mut Away) -> Gate {
        let (hooks, gate) = (away.s3.hooks().clone(), Gate::default());
        let fail = |status, code| Action::Fail { status, code, message: "for a test" };
        let each = |times, action: Action| {
            WRITES.iter().for_each(|operation| hooks.next(times, operation, action.clone()));
        };
        match self {
            Self::Nothing => {}
            Self::Error => hooks.always(fail(500, "InternalError")),
            Self::Burst => {
                let action = fail(503, "SlowDown");
                hooks.add(Rule { operation: None, target: None, times: 10, action });
            }
            Self::Silence => hooks.always(Action::HoldFirst(gate.clone())),
            Self::LostAnswers => each(1, Action::ApplyThenFail),
            Self::Reset => away.door.shut().await,
            Self::Denied => each(usize::MAX, fail(403, "AccessDenied")),
            Self::BadDigest => each(1, fail(400, "BadDigest")),
            Self::Skew => hooks.always(Action::Skewed(Duration::from_secs(3600))),
            Self::Expired => hooks.always(fail(400, "ExpiredToken")),
            Self::NoBucket => hooks.always(fail(404, "NoSuchBucket")),
        }
        gate
    }

    async fn end(self, away: &mut Away, gate: Gate) {
        if self == Self::Reset {
            away.door.open().await;
        }
        away.s3.hooks().heal();
        gate.open();
    }
}

/// What a client does, each on files of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    New,
    Save,
    Large,
    Folder,
    Delete,
    Move,
    Replace,
}

const DEEDS: [(Deed, &str); 7] = [
    (Deed::New, "a new file"),
    (Deed::Save, "a save"),
    (Deed::Large, "a large save"),
    (Deed::Folder, "a new folder"),
    (Deed::Delete, "a deletion"),
    (Deed::Move, "a move"),
    (Deed::Replace, "a move onto a file"),
];

const BEFORE: [(&str, &str); 6] = [
    ("save/doc", "old"),
    ("large/doc", "old"),
    ("delete/doc", "old"),
    ("move/doc", "old"),
    ("replace/doc", "old"),
    ("replace/from", "new"),
];

fn large() -> Bytes {
    Bytes::from(vec![b'n'; 6 << 20])
}

impl Deed {
    fn folder(self) -> String {
        format!("/{self:?}").to_lowercase()
    }

    async fn run(self, client: &Finder, is_mac: bool) -> u16 {
        let path = format!("{}/doc", self.folder());
        let put = |content: Bytes| async {
            if is_mac { mac_saves(client, &path, content).await } else { puts(client, &path, content).await }
        };
        match self {
            Self::New if is_mac => match client.status("PUT", &path).await {
                201 => put(Bytes::from("new")).await,
                refused => refused,
            },
            Self::New | Self::Save => put(Bytes::from("new")).await,
            Self::Large => put(large()).await,
            Self::Folder => client.status("MKCOL", &path).await,
            Self::Delete => client.status("DELETE", &path).await,
            Self::Move => client.rename(&path, &format!("{}/to", self.folder())).await,
            Self::Replace => client.rename(&format!("{}/from", self.folder()), &path).await,
        }
    }

    /// What S3 has of it.
    fn held(self, contents: &BTreeMap<String, Bytes>) -> String {
        let folder = self.folder();
        let prefix = format!("{}/", &folder[1..]);
        let below = contents.iter().filter(|(key, _)| key.starts_with(&prefix) && !key.ends_with('_'));
        let told = below.map(|(key, content)| {
            let content = match content {
                content if *content == large() => "new",
                content => std::str::from_utf8(content).unwrap(),
            };
            format!("{} {content}", &key[prefix.len()..]).trim().to_owned()
        });
        let told = told.collect::<Vec<_>>().join(", ");
        if told.is_empty() { "nothing".to_owned() } else { told }
    }
}

async fn mac_saves(client: &Finder, path: &str, content: Bytes) -> u16 {
    let locked = client.request("LOCK", path).header("Depth", "0").header("Timeout", "Second-600");
    let locked =
        locked.header("Content-Type", "text/xml").body(crate::finder::client::LOCK).send().await.unwrap();
    if !locked.status().is_success() {
        return locked.status().as_u16();
    }
    let token = locked.headers()["lock-token"].to_str().unwrap().trim_matches(['<', '>']).to_owned();
    let status = client.put(path, &token, content).await;
    client.unlock(path, &token).await;
    status
}

async fn puts(client: &Finder, path: &str, content: Bytes) -> u16 {
    client.request("PUT", path).body(content).send().await.unwrap().status().as_u16()
}

impl Mode {
    async fn start(self) -> Away {
        let away = Away::start_with(move |config: &mut Config| {
            if self == Self::Other {
                config.service.request_budget = Some(Duration::from_secs(3));
            }
            let source = buckets(config);
            source.s3.attempt_timeout = Duration::from_secs(1);
            source.cache.times.metadata = Duration::from_secs(60);
            // A refusal comes before that.
            source.file_system.store_patience = Duration::from_secs(2);
            (source.uploads.part_size, source.uploads.multipart_threshold) = (5 << 20, 5 << 20);
            source.journal_delay = Duration::from_millis(50);
            if self == Self::Journal {
                source.file_system.durability = Durability::Journal;
            }
        })
        .await;
        for (key, content) in BEFORE {
            away.bucket.put(key, content).await;
        }
        for deed in DEEDS {
            away.bucket.put(&format!("{}/_", &deed.0.folder()[1..]), "").await;
        }
        away
    }

    fn client(self, away: &Away) -> Finder {
        match self {
            Self::Mac => Finder::of(&away.gateway),
            Self::Other | Self::Journal => Finder::at(&away.gateway.url).called("curl/8.9.1"),
        }
    }
}

/// One row for each fault: a cell for each deed.
async fn row(mode: Mode, fault: Fault) -> Vec<String> {
    let mut away = mode.start().await;
    let client = mode.client(&away);
    for (deed, _) in DEEDS {
        client.list(&format!("{}/", deed.folder())).await;
        client.get(&format!("{}/doc", deed.folder())).await;
    }
    client.get("/replace/from").await;
    let gate = fault.begin(&mut away).await;
    let doing = DEEDS.iter().map(|(deed, _)| deed.run(&client, mode == Mode::Mac));
    let mut doing = std::pin::pin!(join_all(doing));
    let statuses = tokio::time::timeout(MOST_FAULT, &mut doing).await;
    if fault == Fault::Denied {
        // It is known by then.
        eventually("all is refused", || async {
            pending(&away).await.values().all(|state| *state == "refused")
        })
        .await;
    }
    fault.end(&mut away, gate).await;
    let statuses = match statuses {
        Ok(statuses) => statuses,
        // A copy on the server may take long, and is waited for.
        Err(_) => doing.await,
    };
    eventually("nothing waits that is not refused", || async {
        pending(&away).await.values().all(|state| *state == "refused")
    })
    .await;
    let refused = pending(&away).await;
    if fault == Fault::LostAnswers {
        // One that was begun twice is looked for at the next start.
        away = away.restarted().await;
    }
    eventually(&format!("no upload is left over: {mode:?} {fault:?}"), || async {
        open_uploads(&away.s3).await.is_empty()
    })
    .await;
    let contents = away.bucket.contents().await;
    let cell = |((deed, _), status): (&(Deed, &str), u16)| {
        let folder = deed.folder();
        let of = |states: &BTreeMap<String, &'static str>| {
            states.iter().find(|(path, _)| path.starts_with(&format!("{folder}/"))).map(|(_, state)| *state)
        };
        let mut cell = format!("{status}: {}", deed.held(&contents));
        if let Some(state) = of(&refused) {
            write!(cell, "; {state}").unwrap();
        }
        cell
    };
    DEEDS.iter().zip(statuses).map(cell).collect()
}

/// What is pending, by path.
async fn pending(away: &Away) -> BTreeMap<String, &'static str> {
    let state = away.gateway.state.path().join("state");
    let request = Request::Pending { path: String::new(), action: PendingAction::List };
    match control::ask(&state, request, Duration::from_secs(30)).await {
        Ok(Reply::Pending { changes }) => {
            let state = |refused: bool| if refused { "refused" } else { "waiting" };
            changes.into_iter().map(|change| (change.path, state(change.refused.is_some()))).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// The lines of a table. On a machine that is busy a moment may be missed: a row has a few tries to be as it is known.
async fn table(mode: Mode, known: &[&str]) -> Vec<String> {
    let names = DEEDS.map(|(_, name)| name).join(" | ");
    let mut lines = vec![format!("| | {names} |"), format!("|---{}|", "|---".repeat(DEEDS.len()))];
    for (fault, name) in FAULTS {
        let mut line = String::new();
        for _ in 0..TRIES {
            line = format!("| {name} | {} |", row(mode, fault).await.join(" | "));
            if known.contains(&&*line) {
                break;
            }
        }
        lines.push(line);
    }
    lines
}

async fn check(mode: Mode) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/FAULTS.md");
    let (begin, end) = (format!("<!-- {mode:?} -->\n"), format!("<!-- end of {mode:?} -->"));
    let part = |text: &str| {
        let (before, rest) = text.split_once(&begin).unwrap();
        let (known, after) = rest.split_once(&end).unwrap();
        [before, known, after].map(str::to_owned)
    };
    let [_, known, _] = part(&fs::read_to_string(&path).unwrap());
    let known: Vec<&str> = known.lines().collect();
    let found = table(mode, &known).await;
    if std::env::var_os("S3DAV_WRITE_DOCUMENTS").is_some() {
        let [before, _, after] = part(&fs::read_to_string(&path).unwrap());
        fs::write(&path, format!("{before}{begin}{}\n{end}{after}", found.join("\n"))).unwrap();
    } else {
        assert_eq!(found, known, "docs/FAULTS.md is out of date; S3DAV_WRITE_DOCUMENTS=1 writes it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_under_changes_of_macos() {
    check(MODES[0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_under_changes_of_other_clients() {
    check(MODES[1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_under_changes_with_a_journal() {
    check(MODES[2]).await;
}

/// It is over then, whoever still waits for an answer.
const MOST_FAULT: Duration = Duration::from_secs(8);
const TRIES: usize = 3;
