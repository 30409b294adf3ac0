//! What goes over the wire when a body is stored that arrived in pieces.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use s3dav::checksum::Crc32c;
use s3dav::metrics::Metrics;
use s3dav::object::{Attributes, Condition, Key};
use s3dav::store::s3::{Checksums, S3Options, S3Store};
use s3dav::store::{
    CompleteUpload, GetObject, MultipartStore, ObjectStore, Payload, PutObject, StoreError, Upload,
    UploadPart,
};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::{BUCKET, embedded, s3_options};

type Seen = (HeaderMap, Bytes);

/// A server that takes everything, and what it was asked.
struct Takes {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _serving: AbortOnDropHandle<()>,
}

impl Takes {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let noted = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let noted = Arc::clone(&noted);
                let answer = service_fn(move |request: Request<Incoming>| {
                    let noted = Arc::clone(&noted);
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        noted.lock().push((head.headers, body));
                        let answer =
                            Response::builder().header("etag", "\"a\"").header("x-amz-request-id", "1");
                        Ok::<_, Infallible>(answer.body(Empty::<Bytes>::new()).unwrap())
                    }
                });
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { url, seen, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Puts `payload` as an object and as a part, and gives what came of both.
    async fn given(&self, payload: Payload, checksums: Checksums) -> Vec<Seen> {
        let mut options = s3_options(&self.url);
        options.checksums = checksums;
        let store = S3Store::new("bucket", options, Metrics::default()).await.unwrap();
        self.seen.lock().clear();
        let key = Key::new("key").unwrap();
        let (body, attributes, condition) = (payload.clone(), &Attributes::default(), &Condition::None);
        store.put(PutObject { key: &key, body, attributes, condition }).await.unwrap();
        let begun = std::time::SystemTime::now();
        let upload = Upload { key, id: "1".into(), begun, may_have_twin: false };
        store.upload_part(UploadPart { upload: &upload, number: 1, body: payload }).await.unwrap();
        std::mem::take(&mut *self.seen.lock())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_pieces_is_sent_as_one_in_one_piece() {
    let server = Takes::start().await;
    let pieces: Vec<Bytes> = (0..40_u8).map(|n| vec![n; 10_000 * usize::from(n)].into()).collect();
    let payload = Payload::from_iter(pieces);
    for checksums in [Checksums::WhenRequired, Checksums::WhenSupported] {
        let whole = server.given(payload.to_bytes().into(), checksums).await;
        let in_pieces = server.given(payload.clone(), checksums).await;
        assert_eq!((whole.len(), in_pieces.len()), (2, 2));
        for ((expected, content), (mut headers, body)) in whole.into_iter().zip(in_pieces) {
            assert!(body == content && body == payload.to_bytes());
            assert_eq!(headers["content-length"], payload.len().to_string());
            assert_eq!(headers["x-amz-content-sha256"].len(), 64, "it is signed");
            let has_crc = headers.contains_key("x-amz-checksum-crc32c");
            assert_eq!(has_crc, checksums == Checksums::WhenSupported);
            // These are another request's each time.
            for name in ["x-amz-date", "authorization", "amz-sdk-invocation-id", "amz-sdk-request"] {
                headers.insert(name, expected[name].clone());
            }
            // They tell the SDK's features.
            for name in ["user-agent", "x-amz-user-agent"] {
                headers.insert(name, expected[name].clone());
            }
            assert_eq!(headers, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_refuses_what_is_not_what_arrived_whole_and_in_parts() {
    let s3 = embedded().await;
    let options = S3Options { checksums: Checksums::WhenSupported, ..s3_options(&s3.endpoint_url()) };
    let store = S3Store::new(BUCKET, options, Metrics::default()).await.unwrap();
    let (key, attributes, condition) = (&Key::new("key").unwrap(), &Attributes::default(), &Condition::None);
    let body: Payload = "changed on its way".into();
    let arrived = Crc32c::of([&b"as it arrived"[..]]);
    let put = async |body: Payload| store.put(PutObject { key, body, attributes, condition }).await;
    assert!(matches!(put(body.clone().arrived_as(arrived)).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.head(key).await, Err(StoreError::NotFound)));
    put(body.clone()).await.unwrap();
    let read = store.get(GetObject::whole(key)).await.unwrap().collect().await.unwrap();
    assert_eq!(read, body.to_bytes());

    let (parts, size) = (["x".repeat(5 << 20), "the end".to_owned()], (5 << 20) + 7);
    let whole = Crc32c::of(parts.iter().map(|part| part.as_bytes()));
    for (crc32c, is_taken) in [(arrived, false), (whole, true)] {
        let key = Key::new(format!("parts {is_taken}")).unwrap();
        let upload = store.create_upload(&key, attributes).await.unwrap();
        let mut sent = Vec::new();
        for (number, part) in (1..).zip(&parts) {
            let body = part.clone().into();
            sent.push(store.upload_part(UploadPart { upload: &upload, number, body }).await.unwrap());
        }
        assert!(sent.iter().all(|part| part.crc32c.is_some()));
        let complete =
            CompleteUpload { upload: &upload, parts: &sent, size, crc32c: Some(crc32c), condition };
        let completed = store.complete_upload(complete).await;
        assert_eq!(completed.is_ok(), is_taken, "{completed:?}");
        assert_eq!(store.head(&key).await.is_ok(), is_taken);
        store.abort_upload(&upload).await.unwrap();
    }
}
