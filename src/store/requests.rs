//! What a store is asked for, where that takes more than two words: one struct for each method of
//! [`ObjectStore`](super::ObjectStore) and [`MultipartStore`](super::MultipartStore) that needs it. A layer hands one on
//! with what it changes: `PutObject { key: &full, ..request }`.

use super::{CopySource, Part, Payload, Upload};
use crate::checksum::Crc32c;
use crate::object::{Attributes, ByteRange, Condition, Key, ReadCondition};

/// An object to read.
#[derive(Debug, Clone, Copy)]
pub struct GetObject<'a> {
    pub key: &'a Key,
    /// `None`: all of it.
    pub range: Option<ByteRange>,
    pub condition: &'a ReadCondition,
}

impl<'a> GetObject<'a> {
    /// The whole object, in whichever version it is.
    pub fn whole(key: &'a Key) -> Self {
        Self { key, range: None, condition: &ReadCondition::None }
    }
}

/// An object to write whole.
#[derive(Debug, Clone)]
pub struct PutObject<'a> {
    pub key: &'a Key,
    pub body: Payload,
    pub attributes: &'a Attributes,
    pub condition: &'a Condition,
}

/// An object to make of another.
#[derive(Debug, Clone, Copy)]
pub struct CopyObject<'a> {
    pub source: &'a CopySource,
    pub to: &'a Key,
    /// What must hold at `to`.
    pub condition: &'a Condition,
}

/// A part to send.
#[derive(Debug, Clone)]
pub struct UploadPart<'a> {
    pub upload: &'a Upload,
    /// Counts from 1.
    pub number: u32,
    pub body: Payload,
}

/// A part to make of a range of another object.
#[derive(Debug, Clone, Copy)]
pub struct CopyPart<'a> {
    pub upload: &'a Upload,
    /// Counts from 1.
    pub number: u32,
    pub source: &'a CopySource,
    pub range: ByteRange,
}

/// The parts of an upload to list.
#[derive(Debug, Clone, Copy)]
pub struct ListParts<'a> {
    pub upload: &'a Upload,
    /// Only those with a greater number.
    pub after: u32,
}

/// An object to make of its parts.
#[derive(Debug, Clone, Copy)]
pub struct CompleteUpload<'a> {
    pub upload: &'a Upload,
    /// In order.
    pub parts: &'a [Part],
    /// The whole object's length in bytes.
    pub size: u64,
    /// Of the whole object, where it is known.
    pub crc32c: Option<Crc32c>,
    pub condition: &'a Condition,
}
