//! The content of a write, in the pieces in which it arrived: nothing is put together before it is sent.
//!
//! A piece keeps the whole buffer in memory that it was read into, and hyper's are 64 KiB. So short pieces are
//! copied into buffers of their own: what is held is never more than twice what is counted, and of a body that
//! comes in drops no more is held than of one that comes at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};

use crate::checksum::Crc32c;

/// The content of an object or a part. Cheap to clone, for attempts that are repeated.
#[derive(Debug, Clone, Default)]
pub struct Payload {
    /// None of them is empty.
    pieces: Arc<[Bytes]>,
    /// Bytes of all of them.
    length: usize,
    /// How much of it was sent at most, of all attempts.
    reached: Arc<AtomicUsize>,
    arrived: Option<Crc32c>,
}

impl Payload {
    /// Bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The pieces, in order; none of them is empty.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// An attempt to send it has come as far as so many bytes; whether none had before.
    pub fn has_come_further(&self, sent: usize) -> bool {
        self.reached.fetch_max(sent, Ordering::Relaxed) < sent
    }

    /// The same, of which this was computed when it arrived.
    pub fn arrived_as(self, crc32c: Crc32c) -> Self {
        Self { arrived: Some(crc32c), ..self }
    }

    /// What was computed when it arrived, or what it is now.
    pub fn crc32c(&self) -> Crc32c {
        self.arrived.unwrap_or_else(|| Crc32c::of(self.pieces.iter().map(|piece| &**piece)))
    }

    /// The content, if it lies in one piece.
    pub fn as_one(&self) -> Option<Bytes> {
        match &*self.pieces {
            [] => Some(Bytes::new()),
            [one] => Some(one.clone()),
            _ => None,
        }
    }

    /// The content in one piece. Copies it if it is in several.
    pub fn to_bytes(&self) -> Bytes {
        self.as_one().unwrap_or_else(|| {
            let mut all = BytesMut::with_capacity(self.length);
            self.pieces.iter().for_each(|piece| all.extend_from_slice(piece));
            all.freeze()
        })
    }
}

impl FromIterator<Bytes> for Payload {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let pieces: Arc<[Bytes]> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let length = pieces.iter().map(Bytes::len).sum();
        Self { pieces, length, reached: Arc::default(), arrived: None }
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::from_iter([bytes])
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Payload {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

/// What has arrived of a body and is not cut into [`Payload`]s yet.
#[derive(Debug, Default)]
pub struct PayloadBuffer {
    pieces: VecDeque<Bytes>,
    /// Short pieces joined, behind the others.
    tail: BytesMut,
    /// Bytes of all.
    length: usize,
}

impl PayloadBuffer {
    /// Bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Appends `bytes`; `room` for so many bytes, no fewer than these, is reserved: no more is allocated.
    pub fn push(&mut self, mut bytes: Bytes, room: usize) {
        self.length += bytes.len();
        if bytes.len() >= LEAST_KEPT {
            self.end_tail();
            self.pieces.push_back(bytes);
            return;
        }
        let mut room = room;
        while !bytes.is_empty() {
            if self.tail.len() == self.tail.capacity() {
                self.end_tail();
                self.tail = BytesMut::with_capacity(room.clamp(bytes.len(), JOINED));
            }
            let fits = self.tail.capacity() - self.tail.len();
            let next = bytes.split_to(fits.min(bytes.len()));
            self.tail.extend_from_slice(&next);
            room = room.saturating_sub(next.len());
        }
    }

    /// Takes the first `length` bytes, or all if there are fewer.
    pub fn split_to(&mut self, length: usize) -> Payload {
        self.end_tail();
        let (mut taken, mut missing) = (Vec::new(), length);
        while missing > 0
            && let Some(mut piece) = self.pieces.pop_front()
        {
            if piece.len() > missing {
                self.pieces.push_front(piece.split_off(missing));
            }
            missing -= piece.len();
            taken.push(piece);
        }
        let payload = Payload::from_iter(taken);
        self.length -= payload.len();
        payload
    }

    /// The rest of its buffer is for the short pieces that come next.
    fn end_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
    }
}

/// Bytes of the shortest piece that is kept as it came: half of the buffer that hyper reads into.
const LEAST_KEPT: usize = 32 << 10;
/// Bytes of the buffers for shorter ones: so many go out at once.
const JOINED: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// `length` bytes of which none is like its neighbours, of a body's bytes from `first` on.
    fn pattern(first: usize, length: usize) -> Bytes {
        (first..first + length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect::<Vec<_>>().into()
    }

    fn lengths(payload: &Payload) -> Vec<usize> {
        payload.pieces().iter().map(Bytes::len).collect()
    }

    #[test]
    fn a_payload_is_its_pieces_in_order() {
        let payload = Payload::from_iter(["ab", "", "c"].map(Bytes::from));
        assert_eq!((payload.len(), lengths(&payload)), (3, vec![2, 1]));
        assert_eq!((payload.to_bytes(), payload.as_one()), ("abc".into(), None));
        assert!(Payload::default().is_empty() && Payload::from("").pieces().is_empty());
        assert_eq!(Payload::default().as_one(), Some(Bytes::new()));
    }

    #[test]
    fn what_is_sent_again_is_no_progress() {
        let payload = Payload::from_iter(["ab", "cd"].map(Bytes::from));
        let again = payload.clone();
        assert_eq!(
            [2, 1, 2, 4, 3, 4].map(|sent| again.has_come_further(sent)),
            [true, false, false, true, false, false]
        );
        assert!(!payload.has_come_further(4), "it is the same");
    }

    #[test]
    fn one_piece_is_not_copied() {
        let bytes = pattern(0, 100);
        assert_eq!(Payload::from(bytes.clone()).to_bytes().as_ptr(), bytes.as_ptr());
    }

    #[test]
    fn long_pieces_are_kept_as_they_came() {
        let mut buffer = PayloadBuffer::default();
        let pieces = [pattern(0, LEAST_KEPT), pattern(LEAST_KEPT, JOINED)];
        pieces.iter().for_each(|piece| buffer.push(piece.clone(), 1 << 20));
        let payload = buffer.split_to(buffer.len());
        let kept = payload.pieces().iter().map(|piece| piece.as_ptr());
        assert!(kept.eq(pieces.iter().map(|piece| piece.as_ptr())));
    }

    #[test]
    fn drops_are_joined_into_buffers_that_are_full() {
        let mut buffer = PayloadBuffer::default();
        for at in (0..1 << 20).step_by(1000) {
            buffer.push(pattern(at, 1000.min((1 << 20) - at)), (1 << 20) - at);
        }
        let payload = buffer.split_to(1 << 20);
        assert_eq!(lengths(&payload), [JOINED; 16]);
        assert!(payload.to_bytes() == pattern(0, 1 << 20));
    }

    #[test]
    fn no_more_is_allocated_than_is_reserved() {
        let mut buffer = PayloadBuffer::default();
        buffer.push(pattern(0, 10), 1024);
        assert_eq!(buffer.tail.capacity(), 1024);
        // What is left of it takes what comes behind a long piece.
        buffer.push(pattern(10, LEAST_KEPT), 1 << 20);
        buffer.push(pattern(10 + LEAST_KEPT, 1014), 1 << 20);
        assert_eq!(buffer.tail.capacity(), 1014);
        let payload = buffer.split_to(usize::MAX);
        assert_eq!(lengths(&payload), [10, LEAST_KEPT, 1014]);
        assert!(payload.to_bytes() == pattern(0, 1024 + LEAST_KEPT));
    }

    #[test]
    fn cuts_go_through_pieces() {
        let mut buffer = PayloadBuffer::default();
        let (mut at, mut cut) = (0, Vec::new());
        for length in [100_000, 1, 40_000, 32_767, 32_768, 5, 70_000] {
            buffer.push(pattern(at, length), 1 << 20);
            at += length;
        }
        for length in [0, 1, 99_999, 50_000, 99_999, usize::MAX] {
            let left = buffer.len();
            let payload = buffer.split_to(length);
            assert_eq!((payload.len(), buffer.len()), (length.min(left), left - length.min(left)));
            cut.extend_from_slice(&payload.to_bytes());
        }
        assert!(buffer.is_empty() && cut == pattern(0, at));
    }
}
