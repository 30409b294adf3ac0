//! Answers as other servers give them: what the service says, changed by the quirks that are on.

use std::time::SystemTime;

use http::{HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use md5::{Digest, Md5};
use s3s::dto::{ETag, HeadObjectOutput};

use super::bodies::{Body, whole};
use super::quirks::Quirks;

/// What was asked.
pub(super) struct Asked {
    pub(super) operation: &'static str,
    path: String,
    query: String,
    accepts_gzip: bool,
    has_weak_condition: bool,
    has_empty_class: bool,
    tells_size: bool,
}

impl Asked {
    pub(super) fn new<B>(operation: &'static str, request: &Request<B>) -> Self {
        let accepted = request.headers().get(header::ACCEPT_ENCODING);
        let accepts_gzip =
            accepted.is_some_and(|value| value.as_bytes().windows(4).any(|part| part == b"gzip"));
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        let value = |name: &str| request.headers().get(name).map(HeaderValue::as_bytes);
        Self {
            operation,
            path: path.to_owned(),
            query: query.to_owned(),
            accepts_gzip,
            has_weak_condition: value("if-match").is_some_and(|value| value.starts_with(b"W/")),
            has_empty_class: value("x-amz-storage-class").is_some_and(<[u8]>::is_empty),
            tells_size: value("x-amz-mp-object-size").is_some(),
        }
    }

    /// Why this server does not do it: status and code.
    pub(super) fn refusal(&self, quirks: &Quirks) -> Option<(u16, &'static str)> {
        if quirks.weak_etags && self.has_weak_condition {
            Some((412, "PreconditionFailed"))
        } else if quirks.empty_classes && self.has_empty_class {
            Some((501, "NotImplemented"))
        } else if quirks.takes_no_size && self.tells_size {
            Some((400, "InvalidArgument"))
        } else {
            None
        }
    }

    /// The answer as this server gives it.
    pub(super) async fn answered(&self, mut answer: Response<Body>, quirks: &Quirks) -> Response<Body> {
        let is_in = |operations: &[String]| operations.iter().any(|name| name == self.operation);
        if !answer.status().is_success() {
            return answer;
        }
        if is_in(&quirks.without_etag) {
            answer.headers_mut().remove(header::ETAG);
            answer = rewritten(answer, |xml| without(xml, "<ETag>", "</ETag>")).await;
        }
        if is_in(&quirks.other_roots) {
            let other = |xml: String| xml.replace("Result>", "Response>").replace("Result ", "Response ");
            answer = rewritten(answer, other).await;
        }
        if self.operation == "ListObjectsV2" {
            answer = self.listing(answer, quirks).await;
        }
        if matches!(self.operation, "GetObject" | "HeadObject") {
            answer = self.object(answer, quirks);
        }
        answer
    }

    async fn listing(&self, answer: Response<Body>, quirks: &Quirks) -> Response<Body> {
        let asked = |name: &str| {
            let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(own, _)| *own == name).map(|(_, value)| value.replace("%2F", "/"))
        };
        let mut answer = answer;
        if quirks.lists_as_v1 {
            let other = |xml: String| {
                let xml = without(xml, "<NextContinuationToken>", "</NextContinuationToken>");
                without(xml, "<KeyCount>", "</KeyCount>")
            };
            answer = rewritten(answer, other).await;
        }
        if quirks.other_listed_etags {
            answer = rewritten(answer, |xml| xml.replace("<ETag>\"", "<ETag>\"0-")).await;
        }
        if quirks.empty_classes {
            answer = rewritten(answer, |xml| xml.replace("<StorageClass>STANDARD<", "<StorageClass><")).await;
        }
        let prefix = asked("prefix").unwrap_or_default();
        let key = quirks.raw_key.filter(|key| {
            let rest = key.strip_prefix(&prefix);
            rest.is_some_and(|rest| asked("delimiter").is_none() || !rest.contains('/'))
        });
        let Some(key) = key else { return answer };
        let more = format!(
            "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"e\"</ETag>\
             <Size>1</Size></Contents></ListBucketResult>"
        );
        let add =
            |xml: String| without(xml, "<KeyCount>", "</KeyCount>").replace("</ListBucketResult>", &more);
        rewritten(answer, add).await
    }

    fn object(&self, mut answer: Response<Body>, quirks: &Quirks) -> Response<Body> {
        if let Some((name, value)) = quirks.raw_header
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            answer.headers_mut().insert(name, value);
        }
        if quirks.weak_etags
            && let Some(etag) = answer.headers().get(header::ETAG)
            && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", etag.as_bytes()].concat())
        {
            answer.headers_mut().insert(header::ETAG, weak);
        }
        let is_gunzipped = quirks.gunzips.iter().any(|name| self.path.ends_with(name));
        if is_gunzipped && (quirks.gunzips_always || !self.accepts_gzip) {
            answer.headers_mut().remove(header::ETAG);
            answer.headers_mut().remove(header::CONTENT_LENGTH);
            answer = answer.map(|body| StreamBody::new(BodyStream::new(body)).boxed_unsync());
        }
        answer
    }
}

/// What some servers say of a folder's name.
pub(super) fn folder() -> HeadObjectOutput {
    HeadObjectOutput {
        content_length: Some(0),
        e_tag: Some(ETag::Strong(hex::encode(Md5::digest([])))),
        last_modified: Some(SystemTime::now().into()),
        content_type: Some("application/x-directory".to_owned()),
        ..Default::default()
    }
}

/// An answer with other XML.
async fn rewritten(answer: Response<Body>, change: impl FnOnce(String) -> String) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, whole(change(String::from_utf8_lossy(&bytes).into_owned())))
}

/// `xml` without all that stands between these, and themselves.
fn without(mut xml: String, start: &str, end: &str) -> String {
    while let Some(from) = xml.find(start)
        && let Some(length) = xml[from..].find(end)
    {
        xml.replace_range(from..from + length + end.len(), "");
    }
    xml
}
