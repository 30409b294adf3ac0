//! Whether two contents are the same, byte for byte: an ETag tells that only where both have one of a kind.
//! Encrypted with KMS, or put together of parts, equal contents have different ones.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::StoreResult;

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
}
