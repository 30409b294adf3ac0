//! Answers as other servers give them: what the service says, changed by the quirks that are on.

use http::{Response, header};
use http_body_util::BodyExt;

use super::quirks::Quirks;
use super::server::{Body, whole};

/// The answer to an operation.
pub(super) async fn with_quirks(answer: Response<Body>, operation: &str, quirks: &Quirks) -> Response<Body> {
    let is_in = |operations: &[String]| operations.iter().any(|name| name == operation);
    let mut answer = answer;
    if !answer.status().is_success() {
        return answer;
    }
    if is_in(&quirks.without_etag) {
        answer.headers_mut().remove(header::ETAG);
        answer = rewritten(answer, |xml| without(xml, "<ETag>", "</ETag>")).await;
    }
    if is_in(&quirks.other_roots) {
        answer = rewritten(answer, |xml| xml.replace("Result>", "Response>").replace("Result ", "Response "))
            .await;
    }
    answer
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
