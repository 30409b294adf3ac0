//! A listing of the parts of an upload, as S3 answers it.

use aws_sdk_s3::operation::list_parts::ListPartsOutput;
use aws_sdk_s3::types::Part as Listed;

use super::convert::{etag, invalid, length};
use crate::store::{Part, PartsPage, StoreResult, StoredPart};

/// The page behind part `after`. One that was cut short parses, so it must show that it is whole.
pub(super) fn page(after: u32, output: &ListPartsOutput) -> StoreResult<PartsPage> {
    let Some(truncated) = output.is_truncated() else {
        return Err(invalid("a listing of parts that does not say whether it is complete"));
    };
    let parts = output.parts().iter().map(stored).collect::<StoreResult<Vec<_>>>()?;
    let marker = || output.next_part_number_marker()?.parse().ok().filter(|next| *next > after);
    let next = if truncated {
        Some(marker().ok_or_else(|| invalid("a listing of parts that goes on but does not say how"))?)
    } else {
        None
    };
    Ok(PartsPage { parts, next })
}

fn stored(listed: &Listed) -> StoreResult<StoredPart> {
    let number = listed.part_number().and_then(|number| u32::try_from(number).ok());
    let number = number.ok_or_else(|| invalid("a part without a number"))?;
    let part =
        Part { number, etag: etag(listed.e_tag())?, crc32c: listed.checksum_crc32_c().map(str::to_owned) };
    Ok(StoredPart { part, size: length(listed.size())? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    fn listed(number: i32) -> Listed {
        Listed::builder().part_number(number).e_tag("\"x\"").size(5).checksum_crc32_c("AAAAAA==").build()
    }

    #[test]
    fn parts_are_read_and_go_on_where_the_page_says() {
        let output = ListPartsOutput::builder().parts(listed(2)).is_truncated(true);
        let read = page(1, &output.next_part_number_marker("2").build()).unwrap();
        assert_eq!((read.next, read.parts[0].size, read.parts[0].part.number), (Some(2), 5, 2));
        assert_eq!(read.parts[0].part.crc32c.as_deref(), Some("AAAAAA=="));
        let last = ListPartsOutput::builder().is_truncated(false).next_part_number_marker("0").build();
        assert_eq!(page(2, &last).unwrap(), PartsPage::default());
    }

    #[test]
    fn pages_that_are_cut_short_or_do_not_end_are_refused() {
        let output = || ListPartsOutput::builder().parts(listed(2));
        let truncated = || output().is_truncated(true);
        let other = output().parts(Listed::builder().part_number(3).build()).is_truncated(false).build();
        for output in [
            output().build(),
            truncated().build(),
            truncated().next_part_number_marker("1").build(),
            truncated().next_part_number_marker("two").build(),
            other,
        ] {
            assert!(matches!(page(1, &output), Err(StoreError::InvalidAnswer(_))), "{output:?}");
        }
    }
}
