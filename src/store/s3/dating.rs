//! The date of a request: S3 refuses one that is far from its own, and HEAD's answer has no body to say so.

use std::time::SystemTime;

use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use aws_smithy_types::date_time::Format;

/// Lays the date of each request that was forbidden beside its answer.
#[derive(Debug)]
pub(super) struct NoteDate;

/// As the request tells it.
#[derive(Debug)]
struct RequestDate(String);

impl Storable for RequestDate {
    type Storer = StoreReplace<Self>;
}

impl Intercept for NoteDate {
    fn name(&self) -> &'static str {
        "NoteDate"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.request().headers().get("x-amz-date") {
            config.interceptor_state().store_put(RequestDate(date.to_owned()));
        }
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = config.load::<RequestDate>().map(|RequestDate(date)| date.clone());
        let answer = context.response_mut();
        // It is nobody's but ours.
        answer.headers_mut().remove(NOTED);
        if let Some(date) = date.filter(|_| answer.status().as_u16() == 403) {
            answer.headers_mut().insert(NOTED, date);
        }
        Ok(())
    }
}

/// The date of the request that was answered so; `None`: it is not known.
pub(super) fn request_date(answer: &HttpResponse) -> Option<SystemTime> {
    // Such as 20261128T101500Z.
    let date = answer.headers().get(NOTED)?;
    let part = |from: usize, to: usize| date.get(from..to);
    let day = format!("{}-{}-{}", part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let time = format!("{}:{}:{}", part(9, 11)?, part(11, 13)?, part(13, 15)?);
    DateTime::from_str(&format!("{day}T{time}Z"), Format::DateTime).ok()?.try_into().ok()
}

const NOTED: &str = "x-s3dav-request-date";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_types::body::SdkBody;

    use super::*;

    #[test]
    fn the_date_of_a_request_is_read() {
        let noted = |date: &str| {
            let mut answer = HttpResponse::new(StatusCode::try_from(403).unwrap(), SdkBody::empty());
            answer.headers_mut().insert(NOTED, date.to_owned());
            request_date(&answer)
        };
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_324_900);
        assert_eq!(noted("20251128T101500Z"), Some(expected));
        for unreadable in ["", "yesterday", "20251128", "2025112-T101500Z", "20251328T101500Z"] {
            assert_eq!(noted(unreadable), None, "{unreadable}");
        }
    }
}
