//! One member of gzip (RFC 1952), put together from parts that were compressed by themselves.
//!
//! A part is a row of deflate blocks (RFC 1951) that ends on a byte and refers to nothing before it, so that parts can
//! follow each other in any order, and each be kept for as long as its text is. What stands between them comes as it is,
//! in blocks of one byte.

use std::io::Write as _;

use bytes::Bytes;
use crc32fast::Hasher;
use flate2::Compression;
use flate2::write::DeflateEncoder;

/// Deflate, no name, no time, from an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// A block of one byte, stored.
const SINGLE_BYTES: usize = 6;
/// That of the comma before a part.
const COMMA: [u8; SINGLE_BYTES] = single(b',', false);

/// How hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// For what the next push replaces: a third of the time, and a quarter larger.
    Quick,
    /// For what stays.
    Thorough,
}

impl Level {
    const fn compression(self) -> Compression {
        match self {
            Self::Quick => Compression::new(1),
            Self::Thorough => Compression::new(6),
        }
    }
}

/// A text that begins with a comma, compressed.
#[derive(Clone, Debug)]
pub(super) struct Packed {
    /// First the comma, as [`COMMA`].
    blocks: Bytes,
    /// Of the text.
    crc: Hasher,
}

impl Packed {
    /// Compresses a text that begins with a comma.
    pub(super) fn of(text: &[u8], level: Level) -> Self {
        debug_assert_eq!(text.first(), Some(&b','), "a part begins with a comma");
        let blocks = deflate(COMMA.to_vec(), text.get(1..).unwrap_or_default(), level);
        Self { blocks: blocks.into(), crc: hash(text) }
    }

    /// What it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.len()
    }

    pub(super) const fn blocks(&self) -> &Bytes {
        &self.blocks
    }
}

/// The beginning and the end of a member that holds a JSON array, while its parts go by.
pub(super) struct Member {
    crc: Hasher,
    bytes: u64,
}

impl Member {
    /// Begins, with the bracket.
    pub(super) fn begin() -> (Self, Bytes) {
        let start = [HEADER.as_slice(), &single(b'[', false)].concat();
        (Self { crc: hash(b"["), bytes: start.len() as u64 }, start.into())
    }

    /// The first part, of which only what follows `from` counts, where a comma ends.
    pub(super) fn first(&mut self, text: &[u8], from: usize, packed: &Packed) -> Bytes {
        let text = &text[from..];
        self.crc.combine(&hash(text));
        let is_whole = from == 1;
        let blocks =
            if is_whole { packed.blocks.slice(SINGLE_BYTES..) } else { deflate(Vec::new(), text, Level::Quick).into() };
        self.bytes += blocks.len() as u64;
        blocks
    }

    /// Takes a part into account that follows the first one.
    pub(super) fn add(&mut self, packed: &Packed) {
        self.crc.combine(&packed.crc);
        self.bytes += packed.blocks.len() as u64;
    }

    /// Ends, with the bracket; also says how many bytes the whole is.
    pub(super) fn end(mut self) -> (Bytes, u64) {
        self.crc.update(b"]");
        let [crc, size] = [self.crc.clone().finalize(), wrapped(self.crc.total_len())];
        let end = [single(b']', true).as_slice(), &crc.to_le_bytes(), &size.to_le_bytes()].concat();
        let bytes = self.bytes + end.len() as u64;
        (end.into(), bytes)
    }
}

/// A size as gzip writes it, modulo 2^32.
fn wrapped(bytes: u64) -> u32 {
    u32::try_from(bytes & u64::from(u32::MAX)).expect("it was cut to 32 bits")
}

const fn single(byte: u8, is_final: bool) -> [u8; SINGLE_BYTES] {
    [is_final as u8, 1, 0, 0xfe, 0xff, byte]
}

fn hash(text: &[u8]) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(text);
    hasher
}

/// Writes blocks behind what is there, and ends on a byte, without a last block.
fn deflate(before: Vec<u8>, text: &[u8], level: Level) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(before, level.compression());
    encoder.write_all(text).and_then(|()| encoder.flush()).expect("memory takes whatever is written");
    let mut blocks = std::mem::take(encoder.get_mut());
    blocks.shrink_to_fit();
    blocks
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    /// What a reader of one member makes of parts, of which the first is shown from `from`; nothing may follow it.
    fn read(parts: &[Vec<u8>], from: usize, level: Level) -> Vec<u8> {
        let (mut member, start) = Member::begin();
        let mut sent = start.to_vec();
        for (index, part) in parts.iter().enumerate() {
            let packed = Packed::of(part, level);
            if index == 0 {
                sent.extend_from_slice(&member.first(part, from, &packed));
            } else {
                member.add(&packed);
                sent.extend_from_slice(packed.blocks());
            }
        }
        let (end, bytes) = member.end();
        sent.extend_from_slice(&end);
        assert_eq!(bytes, sent.len() as u64);
        let mut decoder = GzDecoder::new(sent.as_slice());
        let mut text = Vec::new();
        decoder.read_to_end(&mut text).expect("one member, with the right sum and size");
        assert!(decoder.into_inner().is_empty(), "nothing follows the member");
        text
    }

    #[test]
    fn parts_make_one_member() {
        assert_eq!(read(&[], 1, Level::Quick), b"[]");
        assert_eq!(read(&[b",1".to_vec()], 1, Level::Quick), b"[1]");
        assert_eq!(read(&[b",1".to_vec(), b",2,3".to_vec(), b",4".to_vec()], 1, Level::Thorough), b"[1,2,3,4]");
        assert_eq!(read(&[b",1,2,3".to_vec(), b",4".to_vec()], 5, Level::Thorough), b"[3,4]");
        let large = [b',', b'1'].repeat(100_000);
        assert_eq!(read(&[large.clone(), large.clone()], 1, Level::Thorough).len(), 400_001);
    }

    #[test]
    fn a_part_is_smaller_than_its_text() {
        let text = br#",{"user":"ann","item":"task.1","action":"done"}"#.repeat(1_000);
        for level in [Level::Quick, Level::Thorough] {
            assert!(Packed::of(&text, level).bytes() * 20 < text.len());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_the_parts_hold(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3_000), 1..6)) {
            let parts: Vec<Vec<u8>> = parts.into_iter().map(|part| [b",", part.as_slice()].concat()).collect();
            let whole = [b"[", &parts.concat()[1..], b"]"].concat();
            prop_assert_eq!(read(&parts, 1, Level::Quick), whole.clone());
            prop_assert_eq!(read(&parts, 1, Level::Thorough), whole);
        }
    }
}
