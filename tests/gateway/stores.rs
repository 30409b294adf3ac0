//! One suite for every store: what the file system relies on.
//!
//! Deviations of other servers are listed by name, and tested as such.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use s3dav::cache::{CacheOptions, Times};
use s3dav::embedded::Quirks;
use s3dav::metrics::Metrics;
use s3dav::object::{Attributes, ByteRange, Condition, DeleteTarget, ETag, Key, ReadCondition, Written};
use s3dav::shutdown::Shutdown;
use s3dav::spool::{Bodies, IntakeOptions, Intakes};
use s3dav::state::State;
use s3dav::store::cached::Cached;
use s3dav::store::journal::Journal;
use s3dav::store::layers::aliases::Aliases;
use s3dav::store::layers::conditional::{Conditional, Endpoint, LOOK_AGE};
use s3dav::store::layers::prefix::PrefixStore;
use s3dav::store::layers::retry::{Limit, Retry, RetryPolicy};
use s3dav::store::layers::routed::RoutedStore;
use s3dav::store::layers::throttle::Throttle;
use s3dav::store::memory::MemoryStore;
use s3dav::store::namespace::Namespace;
use s3dav::store::reach::Reach;
use s3dav::store::s3::{Checksums, S3Options, S3Store};
use s3dav::store::stack::{BucketStore, Stack, StackOptions};
use s3dav::store::{
    CompleteUpload, Content, CopyObject, CopySource, GetObject, ListParts, ListRequest, MultipartStore, Part,
    Payload, PutObject, StoreError, StoreResult, StoredPart, Upload, UploadPart,
};

use crate::harness::clients::{Moto, needs};
use crate::harness::{BUCKET, embedded, embedded_options, s3_options};

/// What a server is known to do otherwise than S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Deviation {
    /// A copy goes through although the source has another ETag.
    IgnoresCopySourceCondition,
    /// A completion goes through although the object has another ETag.
    IgnoresIfMatchOnComplete,
    /// If-Match on a missing key is 412 where S3 says 404.
    MissingKeyIsPrecondition,
    /// Keys with control characters are not kept.
    LosesControlCharacters,
    /// The ETags of a listing are not the objects'.
    ListsOtherEtags,
    /// The XML that tells of an upload's parts is none of S3's.
    TellsPartsOtherwise,
}

use Deviation::*;

type Store = Arc<dyn MultipartStore>;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

async fn write(
    store: &Store,
    name: &str,
    body: Payload,
    attributes: &Attributes,
    condition: &Condition,
) -> StoreResult<Written> {
    store.put(PutObject { key: &key(name), body, attributes, condition }).await
}

async fn copy(store: &Store, source: &CopySource, to: &str, condition: Condition) -> StoreResult<Written> {
    store.copy(CopyObject { source, to: &key(to), condition: &condition }).await
}

async fn send_part(store: &Store, upload: &Upload, number: u32, body: Payload) -> StoreResult<Part> {
    store.upload_part(UploadPart { upload, number, body }).await
}

/// The bytes from `first` to `last`, both included.
async fn get_range(
    store: &Store,
    name: &str,
    (first, last): (u64, Option<u64>),
    condition: &ReadCondition,
) -> StoreResult<Content> {
    store.get(GetObject { key: &key(name), range: Some(ByteRange { first, last }), condition }).await
}

async fn put(store: &Store, name: &str, body: &str) -> ETag {
    write(store, name, body.to_owned().into(), &Attributes::default(), &Condition::None).await.unwrap().etag
}

async fn read(store: &Store, name: &str) -> Bytes {
    store.get(GetObject::whole(&key(name))).await.unwrap().collect().await.unwrap()
}

async fn suite(store: Store, deviations: &[Deviation]) {
    let deviations = deviations.iter().copied().collect();
    contents_and_attributes(&store).await;
    ranges(&store).await;
    conditions(&store, &deviations).await;
    odd_keys(&store, &deviations).await;
    listings(&store, &deviations).await;
    deletes(&store).await;
    copies(&store, &deviations).await;
    multipart(&store, &deviations).await;
}

async fn contents_and_attributes(store: &Store) {
    let mut attributes = Attributes { content_type: Some("text/x-test".into()), ..Default::default() };
    attributes.user.insert("mtime".into(), "1.5".into());
    let body = ["bo", "dy"].map(Bytes::from).into_iter().collect();
    let written = write(store, "attr", body, &attributes, &Condition::None).await.unwrap();
    let meta = store.head(&key("attr")).await.unwrap();
    assert_eq!((meta.size, &meta.etag), (4, &written.etag));
    assert_eq!(meta.content_type.as_deref(), Some("text/x-test"));
    assert_eq!(meta.user.get("mtime").map(String::as_str), Some("1.5"));
    let drift = meta.last_modified.duration_since(written.last_modified).unwrap_or_default();
    assert!(drift.as_secs() <= 2, "the answer's date is the object's");
    assert_eq!(read(store, "attr").await, "body");
    put(store, "empty", "").await;
    assert_eq!(read(store, "empty").await, "");
    assert!(matches!(store.head(&key("nothing")).await, Err(StoreError::NotFound)));
    assert!(matches!(store.get(GetObject::whole(&key("nothing"))).await, Err(StoreError::NotFound)));
}

async fn ranges(store: &Store) {
    let etag = put(store, "range", "0123456789").await;
    for (first, last, expected) in
        [(0, Some(0), "0"), (3, Some(5), "345"), (8, Some(99), "89"), (4, None, "456789")]
    {
        let condition = &ReadCondition::IfMatch(etag.clone());
        let content = get_range(store, "range", (first, last), condition).await.unwrap();
        assert_eq!((content.first, content.length, content.meta.size), (first, expected.len() as u64, 10));
        assert_eq!(content.collect().await.unwrap(), expected);
    }
    let beyond = get_range(store, "range", (10, None), &ReadCondition::None).await;
    assert!(matches!(beyond, Err(StoreError::RangeNotSatisfiable)));
    let condition = &ReadCondition::IfMatch(ETag::new("other"));
    let other = store.get(GetObject { condition, ..GetObject::whole(&key("range")) }).await;
    assert!(matches!(other, Err(StoreError::ConditionFailed)));
}

async fn conditions(store: &Store, deviations: &BTreeSet<Deviation>) {
    let attributes = Attributes::default();
    let put_if = |body: &'static str, condition: Condition| {
        let (store, attributes) = (Arc::clone(store), attributes.clone());
        async move { write(&store, "cond", body.into(), &attributes, &condition).await }
    };
    let first = put_if("1", Condition::IfAbsent).await.unwrap().etag;
    assert!(matches!(put_if("2", Condition::IfAbsent).await, Err(StoreError::ConditionFailed)));
    let second = put_if("3", Condition::IfMatch(first.clone())).await.unwrap().etag;
    assert!(matches!(put_if("4", Condition::IfMatch(first.clone())).await, Err(StoreError::ConditionFailed)));
    assert_eq!(read(store, "cond").await, "3");
    assert_ne!(first, second);
    let wanted = Condition::IfMatch(first);
    let missing = write(store, "gone", Payload::default(), &attributes, &wanted).await;
    if deviations.contains(&MissingKeyIsPrecondition) {
        assert!(matches!(missing, Err(StoreError::ConditionFailed)))
    } else {
        assert!(matches!(missing, Err(StoreError::NotFound)), "{missing:?}")
    }
}

async fn odd_keys(store: &Store, deviations: &BTreeSet<Deviation>) {
    let mut keys = vec![
        "odd/a//b",
        "odd/./x",
        "odd/../y",
        "odd/ leading",
        "odd/trailing ",
        "odd/plus+and%25",
        "odd/q?#&=;:@",
        "odd/\u{e9}",
        "odd/e\u{301}",
        "odd/\u{1f600}",
        "odd/'quotes\"",
        "odd/<a&b>",
        "odd/a",
        "odd/a/b",
        "odd/back\\slash",
    ];
    if !deviations.contains(&LosesControlCharacters) {
        keys.push("odd/bell\u{7}");
    }
    for name in &keys {
        put(store, name, name).await;
    }
    for name in &keys {
        assert_eq!(read(store, name).await, *name, "{name:?}");
    }
    let listed = s3dav::store::tree::list(store, "odd/").await.unwrap();
    let listed: BTreeSet<String> = listed.into_iter().map(|leaf| leaf.key.to_string()).collect();
    assert_eq!(listed, keys.iter().map(|name| name.to_string()).collect());
    // A prefix or a bucket's folder takes some of S3's 1,024 bytes.
    let long = format!("long/{}", "x".repeat(1000));
    put(store, &long, "long").await;
    assert_eq!(read(store, &long).await, "long");
    let all: Vec<DeleteTarget> = keys.iter().map(|name| key(name).into()).collect();
    assert!(store.delete_many(&all).await.unwrap().is_empty());
    assert!(store.list(&ListRequest::probe("odd/")).await.unwrap().is_nothing());
}

async fn listings(store: &Store, deviations: &BTreeSet<Deviation>) {
    for name in ["l/a", "l/b/1", "l/b/2", "l/b!", "l/c", "l/d/", "lx"] {
        put(store, name, "x").await;
    }
    let page = store.list(&ListRequest::children("l/")).await.unwrap();
    let names: Vec<&str> = page.objects.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(names, ["l/a", "l/b!", "l/c"]);
    assert_eq!(page.prefixes, ["l/b/", "l/d/"]);
    assert!(page.continuation.is_none());
    let is_the_same = page.objects[0].meta.etag == store.head(&key("l/a")).await.unwrap().etag;
    assert_ne!(is_the_same, deviations.contains(&ListsOtherEtags), "listings carry ETags");
    // In pages of every size the same comes out.
    for max_keys in 1..=6 {
        let mut request = ListRequest { max_keys, ..ListRequest::children("l/") };
        let mut names = Vec::new();
        loop {
            let page = store.list(&request).await.unwrap();
            assert!(page.objects.len() + page.prefixes.len() <= max_keys);
            names.extend(page.objects.iter().map(|object| object.key.to_string()));
            names.extend(page.prefixes);
            match page.continuation {
                Some(token) => request.continuation = Some(token),
                None => break,
            }
        }
        names.sort();
        assert_eq!(names, ["l/a", "l/b!", "l/b/", "l/c", "l/d/"], "pages of {max_keys}");
    }
    let nothing = store.list(&ListRequest::children("nowhere/")).await.unwrap();
    assert!(nothing.objects.is_empty() && nothing.prefixes.is_empty());
}

async fn deletes(store: &Store) {
    put(store, "del/1", "x").await;
    store.delete(&key("del/1"), &Condition::None).await.unwrap();
    store.delete(&key("del/1"), &Condition::None).await.unwrap();
    assert!(matches!(store.head(&key("del/1")).await, Err(StoreError::NotFound)));
}

async fn copies(store: &Store, deviations: &BTreeSet<Deviation>) {
    let mut attributes = Attributes { content_type: Some("image/x-test".into()), ..Default::default() };
    attributes.user.insert("mtime".into(), "7".into());
    let text = "copy/s ö+urce%";
    let etag = write(store, text, "copied".into(), &attributes, &Condition::None).await.unwrap().etag;
    let name = key(text);
    let source = CopySource {
        key: name.clone(),
        address: store.address(&name),
        etag: Some(etag),
        size: 6,
        storage_class: None,
    };
    copy(store, &source, "copy/target", Condition::None).await.unwrap();
    let meta = store.head(&key("copy/target")).await.unwrap();
    assert_eq!(meta.content_type.as_deref(), Some("image/x-test"));
    assert_eq!(meta.user.get("mtime").map(String::as_str), Some("7"));
    assert_eq!(read(store, "copy/target").await, "copied");
    let other = CopySource { etag: Some(ETag::new("0123456789abcdef0123456789abcdef")), ..source.clone() };
    let copied = copy(store, &other, "copy/other", Condition::None).await;
    if deviations.contains(&IgnoresCopySourceCondition) {
        assert!(copied.is_ok())
    } else {
        assert!(matches!(copied, Err(StoreError::ConditionFailed)), "{copied:?}")
    }
    let missing = CopySource {
        key: key("copy/nothing"),
        address: store.address(&key("copy/nothing")),
        etag: None,
        size: 0,
        storage_class: None,
    };
    assert!(matches!(copy(store, &missing, "copy/x", Condition::None).await, Err(StoreError::NotFound)));
}

async fn multipart(store: &Store, deviations: &BTreeSet<Deviation>) {
    let name = key("multi part/ö");
    let attributes = Attributes { content_type: Some("video/x-test".into()), ..Default::default() };
    let upload = store.create_upload(&name, &attributes).await.unwrap();
    // In two pieces, as bodies arrive in several.
    let body = |n: usize, byte: u8| [n / 3, n - n / 3].map(|n| vec![byte; n].into()).into_iter().collect();
    let second = send_part(store, &upload, 2, body(10, b'b')).await.unwrap();
    let first = send_part(store, &upload, 1, body(5 << 20, b'a')).await.unwrap();
    assert!(matches!(store.head(&name).await, Err(StoreError::NotFound)), "nothing is seen before the end");
    let size = (5 << 20) + 10;
    let (upload, parts) = (&upload, &[first, second]);
    let told = store.list_parts(ListParts { upload, after: 0 }).await;
    if deviations.contains(&TellsPartsOtherwise) {
        assert!(matches!(told, Err(StoreError::InvalidAnswer(_))), "{told:?}");
    } else {
        let stored = |part: &Part, size| StoredPart { part: part.clone(), size };
        assert_eq!(told.unwrap().parts, [stored(&parts[0], 5 << 20), stored(&parts[1], 10)]);
        let told = store.list_parts(ListParts { upload, after: 1 }).await.unwrap();
        assert_eq!((told.parts, told.next), (vec![stored(&parts[1], 10)], None));
    }
    let condition = &Condition::IfAbsent;
    let written =
        store.complete_upload(CompleteUpload { upload, parts, size, crc32c: None, condition }).await.unwrap();
    let meta = store.head(&name).await.unwrap();
    assert_eq!((meta.size, meta.etag.clone()), (size, written.etag));
    assert!(meta.etag.unquoted().ends_with("-2"));
    assert_eq!(meta.content_type.as_deref(), Some("video/x-test"));
    let range = ((5 << 20) - 2, Some((5 << 20) + 1));
    let tail = get_range(store, name.as_str(), range, &ReadCondition::None).await.unwrap();
    assert_eq!(tail.collect().await.unwrap(), "aabb");

    let again = store.create_upload(&name, &attributes).await.unwrap();
    let part = send_part(store, &again, 1, body(3, b'c')).await.unwrap();
    let wrong = Condition::IfMatch(ETag::new("0123456789abcdef0123456789abcdef"));
    let (upload, parts, condition) = (&again, &[part], &wrong);
    let completed =
        store.complete_upload(CompleteUpload { upload, parts, size: 3, crc32c: None, condition }).await;
    if deviations.contains(&IgnoresIfMatchOnComplete) {
        assert!(completed.is_ok())
    } else {
        assert!(matches!(completed, Err(StoreError::ConditionFailed)), "{completed:?}")
    }
    let third = store.create_upload(&name, &attributes).await.unwrap();
    send_part(store, &third, 1, body(3, b'd')).await.unwrap();
    store.abort_upload(&third).await.unwrap();
    store.abort_upload(&third).await.unwrap();
    assert!(send_part(store, &third, 2, body(3, b'd')).await.is_err());
    let told = store.list_parts(ListParts { upload: &third, after: 0 }).await;
    assert!(matches!(told, Err(StoreError::UploadGone)), "{told:?}");
}

/// S3 tells of a thousand parts at once.
async fn many_parts(store: Store) {
    let upload = &store.create_upload(&key("many parts"), &Attributes::default()).await.unwrap();
    let sending = (1..=1001).map(|number| send_part(&store, upload, number, "x".into()));
    let parts: Vec<_> = stream::iter(sending).buffered(32).try_collect().await.unwrap();
    let first = store.list_parts(ListParts { upload, after: 0 }).await.unwrap();
    let second = store.list_parts(ListParts { upload, after: first.next.unwrap() }).await.unwrap();
    assert_eq!((first.parts.len(), second.parts.len(), second.next), (1000, 1, None));
    let told = first.parts.into_iter().chain(second.parts);
    assert!(told.eq(parts.into_iter().map(|part| StoredPart { part, size: 1 })));
}

#[tokio::test]
async fn all_parts_are_told_page_by_page() {
    many_parts(Arc::new(MemoryStore::default())).await;
    let s3 = embedded().await;
    for checksums in [Checksums::WhenSupported, Checksums::WhenRequired] {
        let options = S3Options { checksums, ..s3_options(&s3.endpoint_url()) };
        many_parts(Arc::new(S3Store::new(BUCKET, options, Metrics::default()).await.unwrap())).await;
    }
}

#[tokio::test]
async fn the_memory_store_passes_the_suite() {
    suite(Arc::new(MemoryStore::default()), &[]).await;
}

#[tokio::test]
async fn a_prefixed_store_passes_the_suite() {
    suite(PrefixStore::wrap(Arc::new(MemoryStore::default()), "some/where"), &[]).await;
}

/// As long as nothing fails nothing is waited for.
const POLICY: RetryPolicy =
    RetryPolicy { limit: Limit::Each(Duration::from_secs(30)), for_credentials: false };

fn memory() -> Store {
    Arc::new(MemoryStore::default())
}

async fn state() -> (tempfile::TempDir, State) {
    let place = tempfile::tempdir().unwrap();
    let state = State::open(place.path(), "a test").await.unwrap();
    (place, state)
}

fn bodies(state: &State) -> Bodies {
    Bodies::new(&Intakes::new(IntakeOptions::default(), state))
}

fn endpoint(prefix: &str) -> Endpoint {
    Endpoint { name: "a test".into(), prefix: prefix.to_owned(), reach: Reach::default(), look_age: LOOK_AGE }
}

#[tokio::test]
async fn a_store_that_tries_again_passes_the_suite() {
    suite(Arc::new(Retry::new(memory(), POLICY)), &[]).await;
}

#[tokio::test]
async fn a_store_that_slows_down_passes_the_suite() {
    suite(Arc::new(Throttle::new(memory())), &[]).await;
}

#[tokio::test]
async fn a_store_that_knows_aliases_passes_the_suite() {
    suite(Arc::new(Aliases::new(memory())), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_looks_before_it_writes_passes_the_suite() {
    let (_place, state) = state().await;
    suite(Arc::new(Conditional::new(memory(), endpoint(".s3dav/"), state)), &[]).await;
}

/// All layers as they are put together, on one bucket, on a part of one, and on several.
#[tokio::test(flavor = "multi_thread")]
async fn the_assembled_stack_passes_the_suite() {
    let bucket = |folder: &str, prefix: &str| BucketStore {
        folder: folder.into(),
        prefix: prefix.into(),
        store: Arc::new(Aliases::new(memory())),
    };
    for (buckets, within, asked_at) in [
        (vec![bucket("a", "")], "", None),
        (vec![bucket("a", "some/where")], "", Some(".s3dav/")),
        (vec![bucket("a", ""), bucket("b", "some")], "b", Some("a/.s3dav/")),
    ] {
        let (_place, state) = state().await;
        let options = StackOptions {
            cache: CacheOptions::default(),
            endpoint: asked_at.map(endpoint),
            reach: Reach::default(),
            create_wait: Duration::from_secs(30),
            is_open: Arc::new(|_| false),
            left: Vec::new(),
            journal: Journal::load(state.clone(), bodies(&state), Vec::new(), Duration::ZERO).await,
            state,
            metrics: Metrics::default(),
        };
        let stack = Stack::assemble(buckets, options, &Shutdown::default());
        let names: Namespace = stack.namespace(POLICY);
        suite(PrefixStore::wrap(names.objects(), within), &[]).await;
        suite(PrefixStore::wrap(Arc::new(names), &format!("{within}/again")), &[]).await;
    }
}

/// A listing's ETags are put right below the prefix: the source of a copy must be found there, too.
#[tokio::test(flavor = "multi_thread")]
async fn the_source_of_a_copy_is_found_below_a_prefix_and_in_one_of_several_buckets() {
    let s3 = embedded().await;
    s3.hooks().change_quirks(|quirks| quirks.other_listed_etags = true);
    let store = S3Store::new(BUCKET, s3_options(&s3.endpoint_url()), Metrics::default()).await.unwrap();
    let below = PrefixStore::wrap(Arc::new(Aliases::new(Arc::new(store))), "some/where");
    let routed = RoutedStore::new([("a".to_owned(), below)].into());
    let store: Store = Arc::new(routed);
    put(&store, "a/file", "content").await;
    let page = store.list(&ListRequest::children("a/")).await.unwrap();
    let listed = page.objects[0].meta.etag.clone();
    assert_ne!(store.head(&key("a/file")).await.unwrap().etag, listed, "what the listing says is another's");
    let source = CopySource {
        key: key("a/file"),
        address: store.address(&key("a/file")),
        etag: Some(listed),
        size: 7,
        storage_class: None,
    };
    copy(&store, &source, "a/copy", Condition::IfAbsent).await.unwrap();
    assert_eq!(read(&store, "a/copy").await, "content");
}

#[tokio::test]
async fn a_remembering_store_passes_the_suite() {
    let store = Cached::new(Arc::new(MemoryStore::default()), CacheOptions::default(), Metrics::default());
    suite(Arc::new(store), &[]).await;
    let forgetful = CacheOptions {
        times: Times { metadata: Duration::ZERO, ..Times::default() },
        ..CacheOptions::default()
    };
    suite(Arc::new(Cached::new(Arc::new(MemoryStore::default()), forgetful, Metrics::default())), &[]).await;
}

#[tokio::test]
async fn one_of_several_buckets_passes_the_suite() {
    let stores = [("a", MemoryStore::default()), ("b", MemoryStore::default())];
    let stores = stores.map(|(name, store)| (name.to_owned(), Arc::new(store) as Store));
    suite(PrefixStore::wrap(Arc::new(RoutedStore::new(stores.into())), "b"), &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_server_passes_the_suite() {
    let s3 = embedded().await;
    let store = S3Store::new(BUCKET, s3_options(&s3.endpoint_url()), Metrics::default()).await.unwrap();
    suite(Arc::new(store), &[]).await;
}

/// Its name, how it is switched on, and what it changes.
type Quirk = (&'static str, fn(&mut Quirks), &'static [Deviation]);

/// What a server may do otherwise; the store does the same work on all of them.
const QUIRKS: [Quirk; 14] = [
    ("no conditions on sources", |q| q.unconditional = owned(&["CopySource"]), &[IgnoresCopySourceCondition]),
    (
        "no conditions on completions",
        |q| q.unconditional = owned(&["CompleteMultipartUpload"]),
        &[IgnoresIfMatchOnComplete],
    ),
    ("ETags that tell nothing", |q| q.opaque_etags = true, &[]),
    ("Content-MD5 is demanded", |q| q.demands_md5 = true, &[]),
    ("objects alone are counted", |q| q.counts_objects_only = true, &[]),
    (
        "no ETag in answers to writes",
        |q| q.without_etag = owned(&["PutObject", "CopyObject", "CompleteMultipartUpload"]),
        &[],
    ),
    ("other root elements", |q| q.other_roots = owned(&["CopyObject", "CompleteMultipartUpload"]), &[]),
    ("a header that is no text", |q| q.raw_header = Some(("x-amz-meta-title", b"caf\xe9")), &[]),
    ("a key that is no text", |q| q.raw_key = Some("elsewhere/caf%E9"), &[]),
    ("other ETags in listings", |q| q.other_listed_etags = true, &[ListsOtherEtags]),
    ("empty storage classes", |q| q.empty_classes = true, &[]),
    ("weak ETags", |q| q.weak_etags = true, &[]),
    ("no size in completions", |q| q.takes_no_size = true, &[]),
    ("listings of the first version", |q| q.lists_as_v1 = true, &[]),
];

fn owned(operations: &[&str]) -> Vec<String> {
    operations.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_do_it_otherwise_pass_the_suite() {
    for (name, change, deviations) in QUIRKS {
        let s3 = embedded().await;
        s3.hooks().change_quirks(change);
        let store = S3Store::new(BUCKET, s3_options(&s3.endpoint_url()), Metrics::default()).await.unwrap();
        eprintln!("on a server with this quirk: {name}");
        suite(Arc::new(store), deviations).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_server_passes_the_suite_with_checksums_and_on_disk() {
    let data = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = s3dav::embedded::EmbeddedOptions {
        data: Some(data.path().to_owned()),
        ..embedded_options(&[BUCKET])
    };
    let s3 = s3dav::embedded::EmbeddedS3::start(listener, options.clone()).await.unwrap();
    let mut s3_options = s3_options(&s3.endpoint_url());
    s3_options.checksums = s3dav::store::s3::Checksums::WhenSupported;
    let store: Store = Arc::new(S3Store::new(BUCKET, s3_options.clone(), Metrics::default()).await.unwrap());
    suite(Arc::clone(&store), &[]).await;
    let before = s3dav::store::tree::list(&store, "").await.unwrap();
    drop(s3);
    // What was stored is there again after a restart.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let s3 = s3dav::embedded::EmbeddedS3::start(listener, options).await.unwrap();
    s3_options.endpoint_url = Some(s3.endpoint_url());
    let store: Store = Arc::new(S3Store::new(BUCKET, s3_options, Metrics::default()).await.unwrap());
    assert_eq!(s3dav::store::tree::list(&store, "").await.unwrap(), before);
    assert_eq!(read(&store, "copy/target").await, "copied");
}

#[tokio::test(flavor = "multi_thread")]
async fn moto_passes_the_suite_but_for_its_deviations() {
    let Some(tools) = needs(&["moto_server"]) else { return };
    let moto = Moto::start(&tools).await;
    let store = S3Store::new(BUCKET, s3_options(&moto.endpoint), Metrics::default()).await.unwrap();
    suite(Arc::new(store), &[IgnoresCopySourceCondition, IgnoresIfMatchOnComplete, TellsPartsOtherwise])
        .await;
}
