//! Deletes of many objects where their conditions are ignored: each is looked at first, by pages of a listing where
//! one shows at once what was written. What a page tells of is deleted before the next one is asked for.

use std::collections::HashMap;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::looks::common_prefix;
use super::{Conditional, Kind, from, in_time};
use crate::object::{DeleteTarget, ETag, Key};
use crate::store::listing::Progress;
use crate::store::{ListPage, ListRequest, ObjectStore, StoreError, StoreResult, existing, looked};

/// Objects that are still there, and why.
type Failed = Vec<(Key, StoreError)>;

impl Conditional {
    /// Deletes where batches ignore conditions: a single one may keep them.
    pub(super) async fn delete_looked_at(&self, objects: &[DeleteTarget]) -> StoreResult<Failed> {
        if let [only] = objects
            && self.keeps(Kind::Delete).await?
        {
            let deleted = existing(self.delete(&only.key, &only.condition()).await);
            return Ok(deleted.err().map(|error| (only.key.clone(), error)).into_iter().collect());
        }
        let mut objects: Vec<&DeleteTarget> = objects.iter().collect();
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        let (mut failed, mut left) = (Failed::new(), &objects[..]);
        if self.lists_at_once().await {
            (failed, left) = self.delete_by_pages(left).await?;
        }
        for some in left.chunks(LOOKS_AT_ONCE) {
            failed.extend(in_time(|| self.delete_one_by_one(some)).await?);
        }
        Ok(failed)
    }

    /// Those that could not be deleted, and those that no page tells of.
    async fn delete_by_pages<'a>(
        &self,
        mut left: &'a [&'a DeleteTarget],
    ) -> StoreResult<(Failed, &'a [&'a DeleteTarget])> {
        let (mut failed, mut progress) = (Failed::new(), Progress::default());
        let (Some(first), Some(last)) = (left.first(), left.last()) else { return Ok((failed, left)) };
        let mut request = from(common_prefix(first.key.as_str(), last.key.as_str()), &first.key);
        while !left.is_empty() {
            let Some(deleted) = in_time(|| self.delete_page(&request, left)).await? else { break };
            failed.extend(deleted.failed);
            left = &left[deleted.told..];
            request.continuation = progress.take(deleted.page)?.continuation;
        }
        Ok((failed, left))
    }

    /// Looks at a page, and deletes what it shows in the version that is meant. `None`: no page comes, or one in no
    /// order.
    async fn delete_page(
        &self,
        request: &ListRequest,
        left: &[&DeleteTarget],
    ) -> StoreResult<Option<Deleted>> {
        let (page, until) = match self.fresh(|| self.inner.list(request)).await {
            Err(error) if !error.is_transient() => {
                tracing::debug!(%error, "each name is looked at by itself");
                return Ok(None);
            }
            page => page?,
        };
        if !page.objects.is_sorted_by(|a, b| a.key < b.key) {
            return Ok(None);
        }
        let told = match (&page.continuation, page.objects.last()) {
            (None, _) => left.len(),
            (Some(_), None) => 0,
            (Some(_), Some(last)) => left.partition_point(|object| object.key <= last.key),
        };
        let now: HashMap<&Key, &ETag> =
            page.objects.iter().map(|object| (&object.key, &object.meta.etag)).collect();
        let (mut meant, mut failed) = (Vec::new(), Failed::new());
        for object in &left[..told] {
            match (&object.etag, now.get(&object.key)) {
                // It is gone already.
                (Some(_), None) => {}
                (Some(wanted), Some(now)) if wanted != *now => {
                    failed.push((object.key.clone(), StoreError::ConditionFailed));
                }
                _ => meant.push(*object),
            }
        }
        failed.extend(self.delete_until(until, &meant).await?);
        Ok(Some(Deleted { page, told, failed }))
    }

    /// Looks at each, all at once, and deletes those that are there in the version that is meant.
    async fn delete_one_by_one(&self, objects: &[&DeleteTarget]) -> StoreResult<Failed> {
        let looks = objects.iter().map(|object| async move {
            let condition = object.condition();
            self.look_at_one(&object.key, &condition).await
        });
        let (mut meant, mut failed) = (Vec::new(), Failed::new());
        let mut until: Option<Instant> = None;
        for (object, look) in objects.iter().zip(join_all(looks).await) {
            match look {
                Ok(counts) => {
                    until = Some(until.map_or(counts, |until| until.min(counts)));
                    meant.push(*object);
                }
                Err(StoreError::NotFound) => {}
                Err(StoreError::ConditionFailed) => {
                    failed.push((object.key.clone(), StoreError::ConditionFailed));
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(until) = until {
            failed.extend(self.delete_until(until, &meant).await?);
        }
        Ok(failed)
    }

    /// Deletes without conditions what was looked at.
    async fn delete_until(&self, until: Instant, objects: &[&DeleteTarget]) -> StoreResult<Failed> {
        if objects.is_empty() {
            return Ok(Failed::new());
        }
        let bare: Vec<DeleteTarget> = objects.iter().map(|object| object.key.clone().into()).collect();
        let _writing = self.looks.writing(objects.iter().map(|object| &object.key).collect());
        looked::until(until, self.inner.delete_many(&bare)).await
    }
}

/// What came of a page.
struct Deleted {
    page: ListPage,
    /// So many of those that were left it tells of.
    told: usize,
    failed: Failed,
}

/// As many as are under way without waiting for each other.
const LOOKS_AT_ONCE: usize = 32;
