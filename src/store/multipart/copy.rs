//! Copies of objects too large for one request: server-side, in parts.

use std::sync::Arc;

use super::open::OpenUpload;
use super::{MAX_PARTS, Target, Uploads};
use crate::object::{ByteRange, Written};
use crate::store::{CopyObject, MultipartStore, StoreResult};

impl Uploads {
    /// Whether an object of this size, in bytes, is copied in one step.
    pub fn is_copied_whole(&self, size: u64) -> bool {
        size <= self.options.copy_limit
    }

    /// Copies an object, whatever its size. In parts it keeps what CopyObject keeps, and the
    /// condition is checked at the end.
    pub async fn copy(
        &self,
        store: &Arc<dyn MultipartStore>,
        request: CopyObject<'_>,
    ) -> StoreResult<Written> {
        let CopyObject { source, to, condition } = request;
        let Some(etag) = source.etag.as_ref().filter(|_| !self.is_copied_whole(source.size)) else {
            return store.copy(request).await;
        };
        let mut attributes = store.attributes(&source.key, etag).await?;
        attributes.storage_class.clone_from(&source.storage_class);
        let target = Target { store: Arc::clone(store), key: to.clone(), attributes };
        let mut upload = OpenUpload::begin(&target, self, None).await?;
        let needed = source.size.div_ceil(u64::from(MAX_PARTS)).next_multiple_of(1 << 20);
        let size = self.options.copy_part.max(needed);
        let mut first = 0;
        while first < source.size {
            let last = source.size.min(first + size) - 1;
            upload.send_copy(source, ByteRange { first, last: Some(last) }).await?;
            first = last + 1;
        }
        upload.complete((source.size, None), condition).await
    }
}
