//! A large file that was accepted is on its way to S3, and that is cut off: what S3 has of it is not sent again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use s3dav::config::Config;
use s3dav::control::{self, ControlError, PendingAction, Reply, Request};
use s3dav::embedded::{Action, EmbeddedS3, Gate, Rule};
use s3dav::object::{Attributes, Key};
use s3dav::store::journal::Durability;
use s3dav::store::s3::Checksums;
use s3dav::store::{ListParts, MultipartStore, Upload, UploadPart};

use super::Away;
use crate::harness::dice::Dice;
use crate::harness::{buckets, eventually, open_uploads};

/// What becomes of the parts that S3 is not to get for now.
#[derive(Clone)]
enum Rest {
    Held(Gate),
    Failing(Action),
}

/// What fits in no part, and begins no part twice.
fn content() -> Bytes {
    let mut dice = Dice::new(7);
    (0..SIZE / 8).flat_map(|_| dice.below(u64::MAX).to_le_bytes()).collect::<Vec<_>>().into()
}

/// Answers when this machine's disk has it, and sends it in small parts at once.
fn sending(config: &mut Config) {
    let source = buckets(config);
    source.file_system.durability = Durability::Journal;
    source.file_system.drain_timeout = Duration::from_millis(200);
    source.journal_delay = Duration::ZERO;
    (source.uploads.part_size, source.uploads.multipart_threshold) = (PART, PART);
}

/// The targets of the requests of one operation on `/large`: the endpoint may be asked on other keys what it can.
pub(super) fn asked(s3: &EmbeddedS3, operation: &str) -> Vec<String> {
    let requests = s3.hooks().transcript().into_iter();
    let own = requests.filter(|(name, target)| name == operation && target.contains("/large?"));
    own.map(|(_, target)| target).collect()
}

/// The numbers of the parts that were sent, as often as they were.
pub(super) fn sent(s3: &EmbeddedS3) -> Vec<u32> {
    let number = |target: &str| target.split("partNumber=").nth(1)?.split('&').next()?.parse().ok();
    let mut numbers: Vec<u32> =
        asked(s3, "UploadPart").iter().map(|target| number(target).unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

/// The numbers of the parts that S3 has of all uploads to `key`.
pub(super) async fn had(store: &Arc<dyn MultipartStore>, key: &str) -> BTreeSet<u32> {
    let mut numbers = BTreeSet::new();
    for upload in &store.list_uploads(&Key::new(key).unwrap()).await.unwrap() {
        let Ok(page) = store.list_parts(ListParts { upload, after: 0 }).await else { continue };
        numbers.extend(page.parts.iter().map(|part| part.part.number));
    }
    numbers
}

/// A large file that was accepted, of which S3 has the first parts.
async fn cut() -> (Away, Bytes) {
    let (away, content) = Away::start_with(sending).await.halfway(Rest::Held(Gate::default())).await;
    away.has(HAS as usize).await;
    (away, content)
}

/// The same when S3 has been away for a while.
pub async fn cut_off() -> (Away, Bytes) {
    let (mut away, content) = cut().await;
    away.shut().await;
    (away, content)
}

impl Away {
    /// Accepts a large file, of which S3 gets the first parts.
    async fn halfway(self, rest: Rest) -> (Self, Bytes) {
        self.hold_back(&rest);
        let content = content();
        assert_eq!(self.gateway.put("/large", content.clone()).await, 201);
        (self, content)
    }

    fn hold_back(&self, rest: &Rest) {
        for number in HAS + 1..=PARTS {
            let action = match rest {
                Rest::Held(gate) => Action::HoldFirst(gate.clone()),
                Rest::Failing(action) => action.clone(),
            };
            let (operation, target) = (Some("UploadPart".to_owned()), Some(format!("partNumber={number}&")));
            self.s3.hooks().add(Rule { operation, target, times: usize::MAX, action });
        }
    }

    /// S3 goes away, and it is found out.
    async fn shut(&mut self) {
        self.door.shut().await;
        self.s3.hooks().heal();
        eventually("it waits", || async { !self.is_sending().await }).await;
        assert_eq!(open_uploads(&self.s3).await.len(), 1, "what S3 has is left there");
    }

    async fn has(&self, parts: usize) {
        let store = self.bucket.store();
        eventually("S3 has the first parts", || async { had(store, "large").await.len() == parts }).await;
    }

    async fn upload(&self) -> Upload {
        self.bucket.store().list_uploads(&Key::new("large").unwrap()).await.unwrap().remove(0)
    }

    pub async fn pending(&self, action: PendingAction) -> Vec<control::PendingChange> {
        let state = self.gateway.state.path().join("state");
        loop {
            let request = Request::Pending { path: String::new(), action: action.clone() };
            match control::ask(&state, request, Duration::from_secs(30)).await {
                Ok(Reply::Pending { changes }) => return changes,
                // It has only just started.
                Err(ControlError::NotRunning { .. }) => tokio::time::sleep(Duration::from_millis(10)).await,
                other => panic!("{other:?}"),
            }
        }
    }

    async fn is_sending(&self) -> bool {
        self.pending(PendingAction::List).await.iter().any(|change| change.sending)
    }

    /// The parts that are sent from now on until all is stored; nothing is left over then.
    pub async fn finish(&mut self, content: &Bytes) -> Vec<u32> {
        self.s3.hooks().heal();
        self.s3.hooks().reset();
        self.door.shut().await;
        self.door.open().await;
        self.drained().await;
        eventually("no upload is left", || async { open_uploads(&self.s3).await.is_empty() }).await;
        assert!(self.bucket.get("large").await.unwrap() == content, "all of it, and in order");
        assert_eq!(self.bucket.keys().await, ["large"]);
        sent(&self.s3)
    }
}

fn all() -> Vec<u32> {
    (1..=PARTS).collect()
}

fn rest() -> Vec<u32> {
    (HAS + 1..=PARTS).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_the_rest_is_sent() {
    let (mut away, content) = cut_off().await;
    assert_eq!(away.finish(&content).await, rest());
    let count = |operation| away.s3.hooks().count(operation);
    let counts = ["CreateMultipartUpload", "ListParts", "CompleteMultipartUpload", "AbortMultipartUpload"];
    assert_eq!(counts.map(count), [0, 1, 1, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_orderly_stop_the_rest_is_sent_in_the_same_parts() {
    let (away, content) = cut().await;
    let mut away = away
        .restarted_with(|config| {
            sending(config);
            super::buckets(config).uploads.part_size = PART + (1 << 20);
        })
        .await;
    assert_eq!(away.finish(&content).await, rest());
    assert_eq!(away.s3.hooks().count("CreateMultipartUpload"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_somebody_aborted_is_begun_anew() {
    let (mut away, content) = cut_off().await;
    let upload = away.upload().await;
    away.bucket.store().abort_upload(&upload).await.unwrap();
    assert_eq!(away.finish(&content).await, all());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_differs_is_sent_again() {
    let (mut away, content) = cut_off().await;
    let (upload, store) = (&away.upload().await, away.bucket.store());
    for (number, size) in [(1, PART), (3, PART - 1)] {
        let body = Bytes::from(vec![b'x'; size as usize]).into();
        store.upload_part(UploadPart { upload, number, body }).await.unwrap();
    }
    let wanted: Vec<u32> = [1, 3].into_iter().chain(rest()).collect();
    assert_eq!(away.finish(&content).await, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_s3_does_not_tell_of_the_parts_all_are_sent() {
    for is_denied in [true, false] {
        let (mut away, content) = cut_off().await;
        away.s3.hooks().change_quirks(|quirks| {
            if is_denied {
                quirks.denied_actions = vec!["s3:ListMultipartUploadParts".into()];
            } else {
                // As moto does.
                quirks.other_roots = vec!["ListParts".into()];
            }
        });
        assert_eq!(away.finish(&content).await, all());
        assert_eq!(away.s3.hooks().count("CreateMultipartUpload"), 0, "in the places of those that S3 has");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checksum_tells_what_an_etag_does_not() {
    for (checksums, wanted) in [(Checksums::WhenSupported, rest()), (Checksums::WhenRequired, all())] {
        let away = Away::start_with(|config| {
            sending(config);
            super::buckets(config).s3.checksums = checksums;
        })
        .await;
        away.s3.hooks().set_opaque_etags(true);
        let (mut away, content) = away.halfway(Rest::Held(Gate::default())).await;
        away.has(HAS as usize).await;
        away.shut().await;
        assert_eq!(away.finish(&content).await, wanted, "{checksums:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_discarded_leaves_nothing_in_s3() {
    let (mut away, _) = cut_off().await;
    assert_eq!(away.pending(PendingAction::Discard).await.len(), 1);
    assert!(away.bodies().is_empty());
    away.door.open().await;
    eventually("the upload is aborted", || async { open_uploads(&away.s3).await.is_empty() }).await;
    assert!(away.bucket.is_empty().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_sent_is_given_up_at_once() {
    let (away, _) = cut().await;
    assert!(away.is_sending().await);
    let given_up = away.pending(PendingAction::Discard).await;
    assert!(given_up.len() == 1 && given_up[0].sending, "{given_up:?}");
    assert!(away.pending(PendingAction::List).await.is_empty() && away.bodies().is_empty());
    away.s3.hooks().heal();
    eventually("the upload is aborted", || async { open_uploads(&away.s3).await.is_empty() }).await;
    assert!(away.bucket.is_empty().await);
    // What comes after it is stored.
    assert_eq!(away.gateway.put("/large", "newer").await, 201);
    away.drained().await;
    assert_eq!(away.bucket.get("large").await.unwrap(), "newer");
}

/// The first is being sent, and the second waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_builds_on_what_is_being_sent_is_given_up_with_it() {
    let away = Away::start_with(sending).await;
    away.bucket.put("large", "old").await;
    assert_eq!(away.gateway.get("/large").await.1, "old");
    let gate = Gate::default();
    away.s3.hooks().next(usize::MAX, "PutObject", Action::HoldFirst(gate.clone()));
    assert_eq!(away.gateway.put("/large", "first").await, 204);
    eventually("it is being sent", || async { away.is_sending().await }).await;
    assert_eq!(away.gateway.put("/large", "second").await, 204);
    assert_eq!(away.pending(PendingAction::Discard).await.len(), 2);
    assert!(away.bodies().is_empty());
    away.s3.hooks().heal();
    // It has seen what is there, and saves on that.
    assert_eq!(away.gateway.put("/large", "third").await, 204);
    away.drained().await;
    assert_eq!(away.bucket.keys().await, ["large"]);
    assert_eq!(away.bucket.get("large").await.unwrap(), "third");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_discarded_without_a_gateway_leaves_nothing_in_s3() {
    let (away, _) = cut_off().await;
    let (state, mut away) = (away.gateway.state.path().join("state"), away);
    let discard = async move {
        let mut discard = crate::harness::process::command(&["pending", "discard", "--all"]);
        discard.arg("--state-dir").arg(state);
        let outcome = crate::harness::process::outcome(discard).await;
        assert_eq!(outcome.0, 0, "{outcome:?}");
    };
    away = away.restarted_after(discard, sending).await;
    away.door.open().await;
    eventually("the upload is aborted", || async { open_uploads(&away.s3).await.is_empty() }).await;
    assert!(away.bucket.is_empty().await && away.bodies().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_s3_refuses_leaves_no_parts_there() {
    const DENIED: Action = Action::Fail { status: 403, code: "AccessDenied", message: "Access Denied" };
    let (mut away, content) = Away::start_with(sending).await.halfway(Rest::Failing(DENIED)).await;
    eventually("it is refused", || async { away.told().await[0]["state"] == "refused" }).await;
    eventually("the upload is aborted", || async { open_uploads(&away.s3).await.is_empty() }).await;
    away.s3.hooks().heal();
    away.s3.hooks().reset();
    away.pending(PendingAction::Retry).await;
    assert_eq!(away.finish(&content).await, all());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_cannot_be_completed_is_begun_anew_once() {
    const INVALID: Action = Action::Fail { status: 400, code: "InvalidPart", message: "No such part" };
    let (mut away, content) = cut_off().await;
    away.s3.hooks().reset();
    away.s3.hooks().next(1, "CompleteMultipartUpload", INVALID);
    away.door.open().await;
    away.drained().await;
    assert!(away.bucket.get("large").await.unwrap() == content);
    assert_eq!(away.s3.hooks().count("CreateMultipartUpload"), 1);
    eventually("the first is aborted", || async { open_uploads(&away.s3).await.is_empty() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_begin_was_not_answered_is_aborted_while_the_gateway_runs() {
    for durability in [Durability::Journal, Durability::Store] {
        let away = Away::start_with(|config| {
            sending(config);
            super::buckets(config).file_system.durability = durability;
        })
        .await;
        // Somebody else sends a file of that name at the same time.
        let (store, key) = (away.bucket.store(), Key::new("large").unwrap());
        let theirs = store.create_upload(&key, &Attributes::default()).await.unwrap();
        let part = UploadPart { upload: &theirs, number: 1, body: "theirs".into() };
        store.upload_part(part).await.unwrap();
        away.s3.hooks().reset();
        away.s3.hooks().next(1, "CreateMultipartUpload", Action::ApplyThenFail);
        let content = content();
        assert_eq!(away.gateway.put("/large", content.clone()).await, 201);
        away.drained().await;
        assert!(away.bucket.get("large").await.unwrap() == content);
        assert_eq!(away.s3.hooks().count("CreateMultipartUpload"), 2);
        eventually("the first is aborted", || async { open_uploads(&away.s3).await.len() == 1 }).await;
        let listed = store.list_uploads(&key).await.unwrap();
        assert_eq!(listed.iter().map(|upload| &upload.id).collect::<Vec<_>>(), [&theirs.id], "theirs stays");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lost_lies_beside_once_and_nothing_is_left_of_the_upload() {
    let (mut away, content) = cut_off().await;
    away.bucket.put("large", "theirs").await;
    away.door.open().await;
    away.drained().await;
    eventually("no upload is left", || async { open_uploads(&away.s3).await.is_empty() }).await;
    assert_eq!(away.bucket.get("large").await.unwrap(), "theirs");
    let keys = away.bucket.keys().await;
    let [_, beside] = &keys[..] else { panic!("{keys:?}") };
    assert!(beside.starts_with("large (") && away.bucket.get(beside).await.unwrap() == content, "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_end_was_not_answered_is_not_made_again() {
    let away = Away::start_with(sending).await;
    let gate = Gate::default();
    away.s3.hooks().next(1, "CompleteMultipartUpload", Action::Hold(gate.clone()));
    let (content, mut away) = (content(), away);
    assert_eq!(away.gateway.put("/large", content.clone()).await, 201);
    gate.reached().await;
    away.door.shut().await;
    away = away.restarted_with(sending).await;
    assert_eq!(away.finish(&content).await, [0; 0]);
    assert_eq!(away.s3.hooks().count("CreateMultipartUpload"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_it_was_accepted_is_not_sent_again() {
    for is_length_told in [true, false] {
        let mut away = Away::start_with(|config| {
            let uploads = &mut super::buckets(config).uploads;
            (uploads.part_size, uploads.multipart_threshold) = (PART, PART);
        })
        .await;
        away.hold_back(&Rest::Held(Gate::default()));
        assert_eq!(away.mac.status("PUT", "/large").await, 201);
        let (content, token) = (content(), away.mac.lock("/large").await);
        let request = away.mac.request("PUT", "/large").header("If", format!("(<{token}>)"));
        let body = if is_length_told {
            reqwest::Body::from(content.clone())
        } else {
            let pieces = content.chunks(1 << 20).map(Bytes::copy_from_slice).map(Ok::<_, std::io::Error>);
            reqwest::Body::wrap_stream(stream::iter(pieces.collect::<Vec<_>>()))
        };
        let saving = tokio::spawn(request.body(body).send());
        away.has(HAS as usize).await;
        away.door.shut().await;
        assert!(saving.await.unwrap().unwrap().status().is_success());
        assert_eq!(away.bodies().len(), 1, "it is accepted");
        assert_eq!(away.finish(&content).await, rest());
        assert_eq!(away.s3.hooks().count("CreateMultipartUpload"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_accepted_leaves_no_parts() {
    let away = Away::start_with(|config| {
        let uploads = &mut super::buckets(config).uploads;
        (uploads.part_size, uploads.multipart_threshold) = (PART, PART);
    })
    .await;
    away.hold_back(&Rest::Held(Gate::default()));
    assert_eq!(away.mac.status("PUT", "/large").await, 201);
    let token = away.mac.lock("/large").await;
    let request = away.mac.request("PUT", "/large").header("If", format!("(<{token}>)"));
    // Its client goes away before the end.
    let pieces = stream::iter([Ok::<_, std::io::Error>(content().slice(..SIZE as usize - 10))]);
    let body = reqwest::Body::wrap_stream(pieces.chain(stream::pending()));
    let saving = tokio::spawn(request.body(body).send());
    away.has(HAS as usize).await;
    saving.abort();
    away.s3.hooks().heal();
    eventually("the upload is aborted", || async { open_uploads(&away.s3).await.is_empty() }).await;
}

/// Bytes: the least that S3 takes.
const PART: u64 = 5 << 20;
const PARTS: u32 = 9;
/// Bytes: the last part is shorter.
const SIZE: u64 = PARTS as u64 * PART - 1000;
/// Parts that S3 has.
const HAS: u32 = 4;
