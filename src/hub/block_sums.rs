//! A sum for each block of a file, so that a byte that changed where the file is kept is found by whoever reads it.

use std::hash::Hasher as _;
use std::sync::atomic::{AtomicBool, Ordering};

use twox_hash::XxHash64;

/// Bytes of a block: what is read at least of a file that is checked.
const BLOCK: u64 = 256 << 10;
/// What a file of sums begins with.
const MAGIC: &[u8; 8] = b"pplxsum2";

/// XXH64, because WebAssembly has nothing that makes CRC-32 quick: a warm load would spend a fifth of its time on it.
fn sum(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

/// Sums up a file as it is written from its start to its end.
#[derive(Default)]
pub(super) struct BlockSummer {
    block: XxHash64,
    /// Bytes in the block so far, and in all.
    filled: u64,
    size: u64,
    sums: Vec<u64>,
}

impl BlockSummer {
    /// Takes the next bytes.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (own, rest) = bytes.split_at(bytes.len().min((BLOCK - self.filled) as usize));
            self.block.write(own);
            self.filled += own.len() as u64;
            self.size += own.len() as u64;
            bytes = rest;
            if self.filled == BLOCK {
                self.close_block();
            }
        }
    }

    fn close_block(&mut self) {
        self.sums.push(std::mem::take(&mut self.block).finish());
        self.filled = 0;
    }

    /// The sums as bytes: eight that say what this is, the file's size, and XXH64 of each block, little-endian.
    pub(super) fn finish(mut self) -> Vec<u8> {
        if self.filled > 0 {
            self.close_block();
        }
        let size = self.size.to_le_bytes();
        let sums = self.sums.iter().flat_map(|sum| sum.to_le_bytes());
        MAGIC.iter().copied().chain(size).chain(sums).collect()
    }
}

/// The sums of a file that is being read.
pub(super) struct BlockSums {
    size: u64,
    sums: Vec<u64>,
    /// The blocks that were read and were right.
    good: Vec<AtomicBool>,
}

impl BlockSums {
    /// Bytes that the sums of a file of `size` bytes take.
    pub(super) fn bytes(size: u64) -> u64 {
        16 + 8 * size.div_ceil(BLOCK)
    }

    /// What [`BlockSummer::finish`] gave for a file of `size` bytes; `None` for anything else.
    pub(super) fn parse(bytes: &[u8], size: u64) -> Option<Self> {
        let (own_size, sums) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
        if u64::from_le_bytes(*own_size) != size || bytes.len() as u64 != Self::bytes(size) {
            return None;
        }
        let sums: Vec<u64> = sums.as_chunks().0.iter().map(|sum| u64::from_le_bytes(*sum)).collect();
        let good = sums.iter().map(|_| AtomicBool::new(false)).collect();
        Some(Self { size, sums, good })
    }

    /// The bytes `from..to` that have to be read and checked, so that `at..at + length` can be trusted; `None` if they were
    /// checked before.
    pub(super) fn unchecked(&self, at: u64, length: u64) -> Option<(u64, u64)> {
        let (first, last) = (at / BLOCK, (at + length).div_ceil(BLOCK));
        let checked = |block: u64| self.good.get(block as usize).is_some_and(|good| good.load(Ordering::Relaxed));
        let unchecked = (first..last).any(|block| !checked(block));
        (length > 0 && unchecked).then(|| (first * BLOCK, (last * BLOCK).min(self.size)))
    }

    /// Checks whole blocks from byte `from` on. Gives the first byte of one that is not what was written.
    pub(super) fn check(&self, from: u64, bytes: &[u8]) -> Result<(), u64> {
        for (block, bytes) in (from / BLOCK..).zip(bytes.chunks(BLOCK as usize)) {
            if self.sums.get(block as usize) != Some(&sum(bytes)) {
                return Err(block * BLOCK);
            }
            if let Some(good) = self.good.get(block as usize) {
                good.store(true, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, BlockSummer, BlockSums};

    fn sums(bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut summer = BlockSummer::default();
        bytes.chunks(piece.max(1)).for_each(|piece| summer.update(piece));
        summer.finish()
    }

    #[test]
    fn sums_do_not_depend_on_the_pieces_and_find_every_changed_block() {
        for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5] {
            let bytes: Vec<u8> = (0..size).map(|i| ((i * 7919) >> 3) as u8).collect();
            let whole = sums(&bytes, bytes.len());
            assert_eq!(sums(&bytes, 1000), whole);
            let parsed = BlockSums::parse(&whole, size).unwrap();
            assert_eq!(parsed.check(0, &bytes), Ok(()));
            assert_eq!(parsed.unchecked(0, size), None);
            assert!(BlockSums::parse(&whole, size + 1).is_none());
            assert!(BlockSums::parse(&whole[1..], size).is_none());
            for at in (0..size).step_by(BLOCK as usize / 2) {
                let mut wrong = bytes.clone();
                wrong[at as usize] ^= 1;
                assert_eq!(BlockSums::parse(&whole, size).unwrap().check(0, &wrong), Err(at / BLOCK * BLOCK));
            }
        }
    }

    #[test]
    fn the_sum_of_a_block_is_xxh64() {
        // `printf a | xxhsum -H64`
        assert_eq!(sums(b"a", 1)[16..], 0xd24e_c4f1_a98c_6e5b_u64.to_le_bytes());
    }

    #[test]
    fn what_is_read_is_whole_blocks_and_only_once() {
        let bytes = vec![7; 2 * BLOCK as usize + 9];
        let parsed = BlockSums::parse(&sums(&bytes, 4096), bytes.len() as u64).unwrap();
        assert_eq!(parsed.unchecked(BLOCK - 1, 2), Some((0, 2 * BLOCK)));
        assert_eq!(parsed.unchecked(2 * BLOCK + 1, 8), Some((2 * BLOCK, 2 * BLOCK + 9)));
        parsed.check(2 * BLOCK, &bytes[2 * BLOCK as usize..]).unwrap();
        assert_eq!(parsed.unchecked(2 * BLOCK + 1, 8), None);
        assert_eq!(parsed.unchecked(0, 0), None);
    }
}
