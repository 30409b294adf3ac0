//! Whether an object is what was written: by its content, byte for byte, or by what else tells of it. An ETag tells
//! only where both have one of a kind. Encrypted with KMS, or put together of parts, equal contents have different
//! ones.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use md5::{Digest, Md5};

use super::{Part, StoreResult};
use crate::object::{ETag, ObjectMeta};

/// Reads no further than to the first difference.
pub async fn is_same(
    mut left: BoxStream<'_, StoreResult<Bytes>>,
    mut right: BoxStream<'_, StoreResult<Bytes>>,
) -> StoreResult<bool> {
    let (mut ours, mut theirs) = (Bytes::new(), Bytes::new());
    loop {
        let go_on = (fill(&mut left, &mut ours).await?, fill(&mut right, &mut theirs).await?);
        if go_on != (true, true) {
            return Ok(go_on == (false, false));
        }
        let length = ours.len().min(theirs.len());
        if ours.split_to(length) != theirs.split_to(length) {
            return Ok(false);
        }
    }
}

/// Takes the next bytes if `rest` is empty; says whether there are any.
async fn fill(chunks: &mut BoxStream<'_, StoreResult<Bytes>>, rest: &mut Bytes) -> StoreResult<bool> {
    while rest.is_empty() {
        match chunks.next().await {
            Some(chunk) => *rest = chunk?,
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// The ETag of an object made of these parts, where their ETags are MD5s.
pub(super) fn composite_etag(parts: &[Part]) -> Option<ETag> {
    let mut digest = Md5::new();
    for part in parts.iter() {
        digest.update(hex::decode(part.etag.unquoted()).ok().filter(|bytes| bytes.len() == 16)?);
    }
    Some(ETag::new(format!("{}-{}", hex::encode(digest.finalize()), parts.len())))
}

/// Whether an object was made since `begun`; dates have whole seconds, and clocks differ a little.
pub(super) fn is_since(meta: &ObjectMeta, begun: SystemTime) -> bool {
    meta.last_modified + CLOCK_SLACK >= begun
}

/// Off the runtime: a body of many MiB takes its time.
pub(super) async fn md5_of(body: Bytes) -> String {
    tokio::task::spawn_blocking(move || hex::encode(Md5::digest(&body))).await.unwrap_or_default()
}

/// Clocks differ a little.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;
    use crate::store::StoreError;

    fn chunks(texts: &[&'static str]) -> BoxStream<'static, StoreResult<Bytes>> {
        let chunks: Vec<_> = texts.iter().map(|text| Ok(Bytes::from_static(text.as_bytes()))).collect();
        stream::iter(chunks).boxed()
    }

    #[tokio::test]
    async fn contents_are_compared_however_they_come() {
        let whole = ["abcdef"];
        for (other, same) in [
            (&["abcdef"][..], true),
            (&["a", "", "bcd", "ef", ""], true),
            (&["abcde"], false),
            (&["abcdef", "g"], false),
            (&["abc", "dxf"], false),
            (&[], false),
        ] {
            assert_eq!(is_same(chunks(&whole), chunks(other)).await.unwrap(), same, "{other:?}");
            assert_eq!(is_same(chunks(other), chunks(&whole)).await.unwrap(), same, "{other:?}");
        }
        assert!(is_same(chunks(&[]), chunks(&[""])).await.unwrap());
    }

    #[tokio::test]
    async fn what_breaks_off_is_not_the_same() {
        let broken = || stream::iter([Ok(Bytes::from_static(b"ab")), Err(StoreError::NotFound)]).boxed();
        assert!(is_same(chunks(&["ab"]), broken()).await.is_err());
        assert!(!is_same(chunks(&["xb"]), broken()).await.unwrap(), "the rest does not matter");
    }

    #[test]
    fn an_object_is_since_an_attempt_if_its_second_is() {
        let begun = SystemTime::UNIX_EPOCH + Duration::from_millis(100_900);
        let is_since = |second| {
            let meta = ObjectMeta {
                size: 1,
                etag: ETag::new("x"),
                last_modified: SystemTime::UNIX_EPOCH + Duration::from_secs(second),
                content_type: None,
                storage_class: None,
                user: Default::default(),
            };
            super::is_since(&meta, begun)
        };
        assert!(is_since(100) && is_since(99) && is_since(200));
        assert!(!is_since(98) && !is_since(0));
    }
}
