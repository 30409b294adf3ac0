//! What lies in the demo's bucket at first: enough to try everything on that people do with files.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::commands::CommandError;
use crate::object::{Attributes, Condition, Key};
use crate::store::{ListRequest, MultipartStore, ObjectStore, PutObject};

/// Puts them into an empty bucket.
pub(super) async fn add(store: &Arc<dyn MultipartStore>) -> Result<(), CommandError> {
    if !store.list(&ListRequest::probe("")).await?.is_nothing() {
        return Ok(());
    }
    let few = FEW.iter().map(|(key, content)| ((*key).to_owned(), Bytes::from_static(content)));
    let large = std::iter::once_with(|| (LARGE.to_owned(), large()));
    let puts =
        few.chain((1..=NOTES).map(note)).chain(large).map(|(key, content)| put(&**store, key, content));
    stream::iter(puts).buffer_unordered(AT_ONCE).try_collect().await
}

async fn put(store: &dyn ObjectStore, key: String, content: Bytes) -> Result<(), CommandError> {
    let content_type = if key.ends_with('/') {
        Some("application/x-directory".to_owned())
    } else {
        mime_guess::from_path(&key).first_raw().map(|kind| {
            let is_text = kind.starts_with("text/");
            if is_text { format!("{kind}; charset=utf-8") } else { kind.to_owned() }
        })
    };
    let attributes = Attributes { content_type, ..Attributes::default() };
    let (key, body, attributes, condition) = (&Key::new(key)?, content.into(), &attributes, &Condition::None);
    store.put(PutObject { key, body, attributes, condition }).await?;
    Ok(())
}

/// One of many small files.
fn note(number: usize) -> (String, Bytes) {
    let key = format!("A thousand notes/Note {number}.txt");
    (key, format!("Note {number} of {NOTES}: an object of its own.\n").into())
}

/// A file that takes a moment to copy. Made here, so that the program need not hold it.
fn large() -> Bytes {
    // xorshift: nothing can compress it, as is so of videos.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut content = Vec::with_capacity(LARGE_SIZE);
    while content.len() < LARGE_SIZE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.into()
}

const LARGE: &str = "Large file (64 MB).bin";
/// Bytes; a multiple of 8.
const LARGE_SIZE: usize = 64_000_000;
/// As many as S3 lists at once.
const NOTES: usize = 1_000;
/// Of an S3 server in this process, which has no way to go.
const AT_ONCE: usize = 8;

const FEW: &[(&str, &[u8])] = &[
    (
        "Welcome.txt",
        b"This file is an object in an S3 bucket.\n\nEdit it, rename it, drag something in beside it: each is one \
          request to S3.\n",
    ),
    ("About this bucket.pdf", include_bytes!("samples/About this bucket.pdf")),
    ("Documents/", b""),
    ("Documents/Shopping list.txt", b"apples\nbread\ncheese\n"),
    ("Documents/\u{dc}bersicht.csv", b"month,visitors\nMay,120\nJune,340\n"),
    (
        "Documents/Read me.md",
        b"# What to try\n\n- rename the folder *A thousand notes*: S3 copies it, nothing is downloaded\n- copy the \
          large file, and look at `s3dav status` meanwhile\n- sort the pictures by size in a browser\n",
    ),
    ("Pictures/IMG_8.png", include_bytes!("samples/IMG_8.png")),
    ("Pictures/IMG_9.png", include_bytes!("samples/IMG_9.png")),
    ("Pictures/IMG_10.png", include_bytes!("samples/IMG_10.png")),
    ("Pictures/IMG_11.png", include_bytes!("samples/IMG_11.png")),
    ("Pictures/IMG_12.png", include_bytes!("samples/IMG_12.png")),
    (
        "Pictures/sunrise.svg",
        b"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"320\" height=\"200\"><rect width=\"320\" height=\"200\" \
          fill=\"#fbd38d\"/><circle cx=\"160\" cy=\"200\" r=\"80\" fill=\"#f56565\"/></svg>\n",
    ),
];
