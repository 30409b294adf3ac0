//! Headers of answers that the SDK cannot read.

use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextMut;

/// Leaves out headers that are no text: for one of them the SDK would refuse the whole answer.
#[derive(Debug)]
pub(super) struct DropUnreadable;

impl Intercept for DropUnreadable {
    fn name(&self) -> &'static str {
        "DropUnreadable"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response_mut().headers_mut();
        let is_text = |value: &[u8]| std::str::from_utf8(value).is_ok();
        let unreadable = headers.iter_bytes().filter(|(_, value)| !is_text(value));
        let unreadable: Vec<String> = unreadable.map(|(name, _)| name.to_owned()).collect();
        for name in unreadable {
            tracing::debug!(name, "a header that is no text is left out");
            headers.remove(name);
        }
        Ok(())
    }
}
