//! Whether an object is what was written: by its content, byte for byte, or by what else tells of it. An ETag tells
//! only where both have one of a kind. Encrypted with KMS, or put together of parts, equal contents have different
//! ones.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream::{self, BoxStream};
use md5::{Digest, Md5};

use super::{CopySource, GetObject, ListRequest, ObjectStore, Part, Payload, StoreResult, StoredPart};
use crate::object::{ETag, Key, ObjectMeta, ReadCondition};
use crate::sync::blocking;

/// What a write should leave.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected<'a> {
    Body(&'a Payload),
    /// Begun then.
    Copy(&'a CopySource, SystemTime),
    /// With the whole's length in bytes. Begun then.
    Parts(&'a [Part], u64, SystemTime),
}

impl Expected<'_> {
    /// Whether the object at `key` is what was written, or just as good. A look that fails proves nothing.
    pub(super) async fn is_at<S: ObjectStore + ?Sized>(
        self,
        store: &S,
        key: &Key,
        meta: &ObjectMeta,
    ) -> bool {
        match self {
            Self::Body(body) => holds(store, key, meta, body).await,
            Self::Copy(source, begun) => is_copy(store, source, key, meta, begun).await,
            Self::Parts(parts, size, begun) => {
                composite_etag(parts).as_ref() == Some(&meta.etag)
                    || meta.size == size && is_since(meta, begun)
            }
        }
    }
}

async fn holds<S: ObjectStore + ?Sized>(store: &S, key: &Key, meta: &ObjectMeta, body: &Payload) -> bool {
    if meta.size != body.len() as u64 {
        return false;
    }
    // Encrypted with KMS, an ETag looks like an MD5 and is none.
    if body.is_empty() || meta.etag.unquoted() == md5_of(body.clone()).await {
        return true;
    }
    let ours = stream::iter(body.pieces().iter().cloned().map(Ok)).boxed();
    let condition = &ReadCondition::IfMatch(meta.etag.clone());
    match store.get(GetObject { condition, ..GetObject::whole(key) }).await {
        Ok(content) => is_same(ours, content.body).await.unwrap_or(false),
        Err(_) => false,
    }
}

async fn is_copy<S: ObjectStore + ?Sized>(
    store: &S,
    source: &CopySource,
    to: &Key,
    meta: &ObjectMeta,
    begun: SystemTime,
) -> bool {
    if Some(&meta.etag) == source.etag.as_ref() {
        return true;
    }
    if meta.size != source.size {
        return false;
    }
    if meta.size > MOST_COMPARED {
        return is_since(meta, begun);
    }
    let version = source.etag.clone().map_or(ReadCondition::None, ReadCondition::IfMatch);
    let original = store.get(GetObject { condition: &version, ..GetObject::whole(&source.key) }).await;
    let version = ReadCondition::IfMatch(meta.etag.clone());
    let copy = store.get(GetObject { condition: &version, ..GetObject::whole(to) }).await;
    match (original, copy) {
        (Ok(original), Ok(copy)) => is_same(original.body, copy.body).await.unwrap_or(false),
        _ => false,
    }
}

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

/// The ETag that conditions know a version by that listings call `listed`, where that is another one: the listing
/// and the object itself then have one size and one date.
pub(super) async fn own_etag<S: ObjectStore + ?Sized>(store: &S, key: &Key, listed: &ETag) -> Option<ETag> {
    let request = ListRequest::probe(key.as_str());
    let (page, own) = join(store.list(&request), store.head(key)).await;
    let entry = page.ok()?.objects.into_iter().find(|object| object.key == *key)?.meta;
    let own = own.ok()?;
    let second = |meta: &ObjectMeta| {
        meta.last_modified.duration_since(SystemTime::UNIX_EPOCH).ok().map(|d| d.as_secs())
    };
    let is_it = entry.etag == *listed && entry.size == own.size && second(&entry) == second(&own);
    (is_it && own.etag != *listed).then_some(own.etag)
}

/// Whether a part that the store has is what is to be sent: by its checksum, or its ETag where that is an MD5. Where neither
/// tells, it is not.
pub(super) async fn is_part(stored: &StoredPart, body: &Payload) -> bool {
    let StoredPart { part, size } = stored;
    if *size != body.len() as u64 {
        return false;
    }
    match &part.crc32c {
        Some(crc32c) => *crc32c == crc32c_of(body.clone()).await,
        None => part.etag.unquoted() == md5_of(body.clone()).await,
    }
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
fn is_since(meta: &ObjectMeta, begun: SystemTime) -> bool {
    meta.last_modified + CLOCK_SLACK >= begun
}

/// Off the runtime: a body of many MiB takes its time.
pub(super) async fn md5_of(body: Payload) -> String {
    let digest = move || {
        let mut digest = Md5::new();
        body.pieces().iter().for_each(|piece| digest.update(piece));
        hex::encode(digest.finalize())
    };
    blocking(digest).await.unwrap_or_default()
}

/// The same.
async fn crc32c_of(body: Payload) -> String {
    blocking(move || body.crc32c().base64()).await.unwrap_or_default()
}

/// Bytes of a doubtful copy that are read to tell whose it is. Of a larger one its size and its date must tell:
/// reading both ends would take longer than clients wait.
const MOST_COMPARED: u64 = 64 << 20;
/// Clocks differ a little.
const CLOCK_SLACK: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
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
