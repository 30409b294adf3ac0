//! Answers of servers that are wrong: about the time, or about where a listing ends.

use std::time::{Duration, SystemTime};

use http::{HeaderValue, Response, header};
use http_body_util::BodyExt;

use super::bodies::{Body, whole};
use super::hooks::Tokens;

/// The answer of a server whose clock is so far ahead.
pub(super) fn dated(mut answer: Response<Body>, ahead: Duration) -> Response<Body> {
    let date = httpdate::fmt_http_date(SystemTime::now() + ahead);
    if let Ok(date) = HeaderValue::try_from(date) {
        answer.headers_mut().insert(header::DATE, date);
    }
    answer
}

/// A listing that goes on, with a token by which it begins anew.
pub(super) async fn going_on(answer: Response<Body>, target: &str, tokens: Tokens) -> Response<Body> {
    let (mut head, body) = answer.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let mut xml = String::from_utf8_lossy(&bytes).into_owned();
    if tokens == Tokens::NewAndEmpty
        && let (Some(start), Some(end)) = (xml.find("<Contents>"), xml.rfind("</Contents>"))
    {
        let count = xml.matches("<Contents>").count();
        xml.replace_range(start..end + "</Contents>".len(), "");
        xml = xml.replace(&format!("<KeyCount>{count}</KeyCount>"), "<KeyCount>0</KeyCount>");
    }
    // Hex of blanks, behind which all keys come.
    let asked = target.split(['?', '&']).find_map(|pair| pair.strip_prefix("continuation-token="));
    let token = match (asked, tokens) {
        (Some(asked), Tokens::New | Tokens::NewAndEmpty) => format!("{asked}20"),
        _ => "20".to_owned(),
    };
    let goes_on =
        format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>");
    let xml = xml.replace("<IsTruncated>false</IsTruncated>", &goes_on);
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, whole(xml))
}
