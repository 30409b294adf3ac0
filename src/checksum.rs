//! CRC-32C, by which a body is the one that arrived: computed when it comes in, kept with it, told to S3 with it, and
//! compared where it is read again.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crc_fast::{CrcAlgorithm, Digest, checksum_combine};
use serde::{Deserialize, Serialize};

/// The CRC-32C of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Crc32c(pub u32);

impl Crc32c {
    /// Of these pieces, one behind the other.
    pub fn of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digest = Crc32cDigest::default();
        pieces.into_iter().for_each(|piece| digest.update(piece));
        digest.end()
    }

    /// Of these bytes and the `length` bytes of which `next` was computed behind them.
    pub fn followed_by(self, next: Self, length: u64) -> Self {
        // The algorithm has 32 bits.
        Self(checksum_combine(ALGORITHM, self.0.into(), next.0.into(), length) as u32)
    }

    /// In base64, as S3 tells it.
    pub fn base64(self) -> String {
        STANDARD.encode(self.0.to_be_bytes())
    }
}

/// What is computed of bytes while they come.
#[derive(Debug, Clone)]
pub struct Crc32cDigest(Digest);

impl Default for Crc32cDigest {
    fn default() -> Self {
        Self(Digest::new(ALGORITHM))
    }
}

impl Crc32cDigest {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all that came so far.
    pub fn end(&self) -> Crc32c {
        // The algorithm has 32 bits.
        Crc32c(self.0.finalize() as u32)
    }
}

const ALGORITHM: CrcAlgorithm = CrcAlgorithm::Crc32Iscsi;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_that_everybody_computes() {
        // The check value of CRC-32/ISCSI.
        assert_eq!(Crc32c::of([&b"12345"[..], b"6789"]), Crc32c(0xE306_9283));
        assert_eq!(Crc32c(0xE306_9283).base64(), "4waSgw==");
        let (first, second) = (Crc32c::of([&b"12345"[..]]), Crc32c::of([&b"6789"[..]]));
        assert_eq!(first.followed_by(second, 4), Crc32c(0xE306_9283));
        assert_eq!(Crc32c::default().followed_by(first, 5), first);
        assert_eq!((Crc32c::of([]), Crc32c::default().base64()), (Crc32c(0), "AAAAAA==".to_owned()));
    }
}
