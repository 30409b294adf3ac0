//! The gateway is killed in each phase of the life of a change: what was acknowledged is in S3 afterwards, nothing is half
//! there, and nothing is left over.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use rustix::process::{Pid, Signal, kill_process};
use s3dav::control::{self, PendingAction, Reply, Request};
use s3dav::embedded::{Action, EmbeddedS3, Gate};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::harness::dice::{self, Dice};
use crate::harness::process::{self, Process};
use crate::harness::{BUCKET, Bucket, client, embedded, eventually, open_uploads};

/// Where it is killed.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// A body is half there.
    Receive,
    /// Changes are being accepted, many at once.
    Accept,
    /// All is accepted, and nothing is sent.
    Accepted,
    /// Before S3 carries out a request of this kind.
    Before(&'static str),
    /// After it has, and before that is known.
    After(&'static str),
    /// While it takes up what the life before left.
    Recovery,
}

const PHASES: [Phase; 12] = [
    Phase::Receive,
    Phase::Accept,
    Phase::Accepted,
    Phase::Before("PutObject"),
    Phase::After("PutObject"),
    Phase::After("CreateMultipartUpload"),
    Phase::After("UploadPart"),
    Phase::Before("CompleteMultipartUpload"),
    Phase::After("CompleteMultipartUpload"),
    Phase::After("CopyObject"),
    Phase::After("DeleteObject"),
    Phase::Recovery,
];

/// A key, and what it may hold.
type Expected = (String, Vec<Option<Bytes>>);

struct Rounds {
    s3: Arc<EmbeddedS3>,
    bucket: Bucket,
    state: TempDir,
    dice: Dice,
}

impl Rounds {
    async fn serve(&self) -> Process {
        Process::gateway(&self.s3.endpoint_url(), &self.state, &OPTIONS).await
    }

    fn place(&self) -> PathBuf {
        std::fs::read_dir(self.state.path()).unwrap().next().unwrap().unwrap().path()
    }

    /// Until what the lives before have left is made.
    async fn drained(&self) {
        let request = || Request::Pending { path: String::new(), action: PendingAction::List };
        eventually("nothing is pending", || async {
            match control::ask(&self.place(), request(), Duration::from_secs(30)).await {
                Ok(Reply::Pending { changes }) => changes.is_empty(),
                _ => false,
            }
        })
        .await;
    }

    async fn check(&self, expected: &[Expected]) {
        for (key, may_be) in expected {
            let found = self.bucket.get(key).await;
            let told = found.as_ref().map(|content| (content.len(), content.slice(..content.len().min(20))));
            assert!(may_be.contains(&found), "{key}: {told:?}");
        }
    }

    /// Works, is killed in that phase; what may be there then.
    async fn killed(&mut self, round: u64, phase: Phase) -> Vec<Expected> {
        let name = |of: &str| format!("r{round}-{of}");
        for of in ["doc", "large", "gone", "from"] {
            self.bucket.put(&name(of), "old").await;
        }
        let mut gateway = self.serve().await;
        let gate = Gate::default();
        match phase {
            Phase::Before(operation) => self.s3.hooks().next(1, operation, Action::HoldFirst(gate.clone())),
            Phase::After(operation) => self.s3.hooks().next(1, operation, Action::Hold(gate.clone())),
            _ => {}
        }
        let work = Work { url: gateway.url.clone(), round, is_cut: matches!(phase, Phase::Receive) };
        let mut working = tokio::spawn(work.run());
        let expected = match phase {
            Phase::Receive => {
                sleep(Duration::from_millis(200)).await;
                None
            }
            Phase::Accept => {
                sleep(Duration::from_millis(50 + self.dice.below(100))).await;
                None
            }
            Phase::Accepted | Phase::Recovery => Some((&mut working).await.unwrap()),
            Phase::Before(_) | Phase::After(_) => {
                let reached = timeout(Duration::from_secs(60), gate.reached()).await;
                assert!(reached.is_ok(), "{phase:?}");
                None
            }
        };
        kill(&mut gateway).await;
        self.s3.hooks().heal();
        gate.open();
        if matches!(phase, Phase::Recovery) {
            let mut again = self.begun().await;
            sleep(Duration::from_millis(self.dice.below(150))).await;
            kill_process(Pid::from_raw(again.id().unwrap() as i32).unwrap(), Signal::KILL).unwrap();
            again.wait().await.unwrap();
        }
        match expected {
            Some(expected) => expected,
            // Those that were not answered fail now.
            None => work_of(working).await,
        }
    }

    /// A life of which nobody waits that it serves.
    async fn begun(&self) -> tokio::process::Child {
        let mut command = process::serve(&self.s3.endpoint_url(), &self.state, &OPTIONS);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
    }
}

async fn kill(gateway: &mut Process) {
    kill_process(Pid::from_raw(gateway.child.id().unwrap() as i32).unwrap(), Signal::KILL).unwrap();
    gateway.child.wait().await.unwrap();
}

async fn work_of(working: tokio::task::JoinHandle<Vec<Expected>>) -> Vec<Expected> {
    timeout(Duration::from_secs(60), working).await.unwrap().unwrap()
}

/// What clients do in a round.
#[derive(Clone)]
struct Work {
    url: String,
    round: u64,
    is_cut: bool,
}

impl Work {
    async fn run(self) -> Vec<Expected> {
        for of in ["doc", "large", "gone", "from"] {
            // What is replaced was seen before.
            self.asks("GET", of, "".into()).await;
        }
        let (large, doc) = (self.save("large", self.content(6 << 20)), self.save("doc", self.content(20)));
        let more = join_all((0..8).map(|number| self.create(number)));
        let ((large, doc), (gone, moved), more) = tokio::join!(
            async { tokio::join!(large, doc) },
            async { tokio::join!(self.delete(), self.moves()) },
            more
        );
        [vec![large, doc, gone], moved, more].concat()
    }

    fn content(&self, size: usize) -> Bytes {
        let text = format!("content of round {} ", self.round);
        Bytes::from(text.repeat(size / text.len() + 1)).slice(..size)
    }

    fn name(&self, of: &str) -> String {
        format!("r{}-{of}", self.round)
    }

    /// Whether it was acknowledged.
    async fn asks(&self, method: &'static str, of: &str, body: reqwest::Body) -> bool {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let request = client().request(method, format!("{}/{}", self.url, self.name(of)));
        let request = request.header("Destination", format!("{}/{}", self.url, self.name("to")));
        request.body(body).send().await.is_ok_and(|answer| answer.status().is_success())
    }

    async fn save(&self, of: &str, content: Bytes) -> Expected {
        let body = if self.is_cut {
            let half = stream::iter([Ok::<_, std::io::Error>(content.slice(..content.len() / 2))]);
            reqwest::Body::wrap_stream(half.chain(stream::pending()))
        } else {
            content.clone().into()
        };
        let mut may_be = vec![Some(content)];
        if !self.asks("PUT", of, body).await {
            may_be.push(Some(Bytes::from("old")));
        }
        (self.name(of), may_be)
    }

    async fn create(&self, number: usize) -> Expected {
        let of = format!("new{number}");
        let mut may_be = vec![Some(self.content(number))];
        if !self.asks("PUT", &of, self.content(number).into()).await {
            may_be.push(None);
        }
        (self.name(&of), may_be)
    }

    async fn delete(&self) -> Expected {
        let is_gone = self.asks("DELETE", "gone", "".into()).await;
        (self.name("gone"), if is_gone { vec![None] } else { vec![None, Some(Bytes::from("old"))] })
    }

    async fn moves(&self) -> Vec<Expected> {
        let (old, is_moved) = (Some(Bytes::from("old")), self.asks("MOVE", "from", "".into()).await);
        if is_moved {
            return vec![(self.name("from"), vec![None]), (self.name("to"), vec![old])];
        }
        vec![(self.name("from"), vec![None, old.clone()]), (self.name("to"), vec![None, old])]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_a_kill_in_each_phase() {
    let s3 = embedded().await;
    let bucket = Bucket::of(&s3.endpoint_url(), BUCKET).await;
    let (state, dice) = (tempfile::tempdir().unwrap(), Dice::new(dice::seed()));
    let mut rounds = Rounds { s3, bucket, state, dice };
    let kills = dice::number("S3DAV_PHASE_KILLS").unwrap_or(PHASES.len() as u64 * 2);
    for kill in 0..kills {
        let phase = PHASES[kill as usize % PHASES.len()];
        let expected = rounds.killed(kill, phase).await;
        let mut gateway = rounds.serve().await;
        rounds.drained().await;
        rounds.check(&expected).await;
        let keys = rounds.bucket.keys().await;
        let allowed = |key: &String| expected.iter().any(|(expected, _)| expected == key);
        assert!(
            keys.iter().filter(|key| key.starts_with(&format!("r{kill}-"))).all(allowed),
            "{phase:?}: {keys:?}"
        );
        assert!(open_uploads(&rounds.s3).await.is_empty(), "{phase:?}: an upload is left");
        assert_eq!(super::crashes::bodies(&rounds.state), 0, "{phase:?}: a content is left");
        self::kill(&mut gateway).await;
    }
}

pub(super) const OPTIONS: [&str; 10] = [
    "--durability",
    "journal",
    // A directory of a test need not survive.
    "--on-outage",
    "keep",
    "--journal-delay",
    "100ms",
    "--part-size",
    "5MiB",
    "--multipart-threshold",
    "5MiB",
];
