//! Weights in strips, as `shaders/tile.wgsl` and `few.wgsl` read them.
//!
//! A strip is 64 rows of a matrix `[N, K]`, `[K/4][16 quads of rows][4 of K][4 rows]` of numbers or codes, so that what a
//! workgroup reads for a few values of K is one run of memory, and a quad of rows is one vector. Codes of four bits go in
//! pairs: two values of K of a row in a byte, as in a file. K is padded to a multiple of 16 and N to 64, with zeros.
//! Scales and biases of a strip are `[G][16 quads][scale of 4 rows, bias of 4 rows]`. The strips of a pair take turns.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::numbers::MatrixFormat;

/// Rows of a strip.
pub(super) const ROWS: u32 = 64;
/// K is padded to a multiple of it.
const STEP: u32 = 16;

/// Bytes of the numbers or codes of a strip.
pub(super) fn value_bytes(format: MatrixFormat, k: u32) -> u64 {
    format.value_bytes(k.next_multiple_of(STEP).into()) * u64::from(ROWS)
}

/// One strip of values from its rows in the order of a file, as many as there are, at most [`ROWS`].
pub(super) fn pack_values(format: MatrixFormat, k: u32, rows: &[u8]) -> Vec<u8> {
    let mut strip = vec![0; value_bytes(format, k) as usize];
    // Bytes that stay together, and how many such a row has for four values of K.
    match format {
        MatrixFormat::F32 => pack::<4, 4>(rows, k, &mut strip),
        MatrixFormat::F16 | MatrixFormat::Bf16 => pack::<2, 4>(rows, k, &mut strip),
        MatrixFormat::Q8 { .. } => pack::<1, 4>(rows, k, &mut strip),
        MatrixFormat::Q4 { .. } => pack::<1, 2>(rows, k, &mut strip),
    }
    strip
}

fn pack<const BYTES: usize, const PER_4: usize>(rows: &[u8], k: u32, strip: &mut [u8]) {
    // Four values of K of a quad of rows.
    let unit = 4 * PER_4 * BYTES;
    let row_bytes = k as usize / 4 * PER_4 * BYTES;
    for (r, row) in rows.chunks_exact(row_bytes).enumerate() {
        let units = strip.chunks_exact_mut(unit).skip(r / 4).step_by(ROWS as usize / 4);
        for (unit, values) in units.zip(row.chunks_exact(PER_4 * BYTES)) {
            for (i, value) in values.chunks_exact(BYTES).enumerate() {
                let at = (i * 4 + r % 4) * BYTES;
                unit[at..at + BYTES].copy_from_slice(value);
            }
        }
    }
}

/// The scales and biases of one strip from those of its rows, `row_groups` each.
pub(super) fn pack_groups(row_groups: usize, rows: &[[f32; 2]]) -> Vec<f32> {
    let mut strip = vec![0.0; row_groups * ROWS as usize * 2];
    for (r, row) in rows.chunks_exact(row_groups).enumerate() {
        for (g, pair) in row.iter().enumerate() {
            let at = (g * ROWS as usize / 4 + r / 4) * 8 + r % 4;
            strip[at] = pair[0];
            strip[at + 4] = pair[1];
        }
    }
    strip
}

/// Rows of strips that have not come as a whole yet. A loader's steps do not end where strips do.
#[derive(Default)]
pub(super) struct Incoming(BTreeMap<Place, (u32, Vec<u8>)>);

/// A strip of a matrix and what of it: values, or groups.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) groups: bool,
    pub(super) matrix: usize,
    pub(super) first: u32,
}

impl Incoming {
    /// Takes `bytes`, the rows `rows` of a strip of `height` rows, counted from its first. Calls `whole` with all rows of
    /// the strip once they have come.
    pub(super) fn take(
        &mut self,
        place: Place,
        height: u32,
        rows: Range<u32>,
        bytes: &[u8],
        whole: impl FnOnce(&[u8]),
    ) {
        if rows.is_empty() {
            return;
        }
        if rows.len() == height as usize {
            return whole(bytes);
        }
        let row_bytes = bytes.len() / rows.len();
        let (seen, strip) = self.0.entry(place).or_insert_with(|| (0, vec![0; row_bytes * height as usize]));
        let at = rows.start as usize * row_bytes;
        strip[at..at + bytes.len()].copy_from_slice(bytes);
        *seen += rows.len() as u32;
        if *seen >= height
            && let Some((_, strip)) = self.0.remove(&place)
        {
            whole(&strip);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Incoming, MatrixFormat, Place, pack_groups, pack_values, value_bytes};

    /// Where value `k` of `row` is, by the definition above.
    fn element(k: usize, row: usize) -> usize {
        ((k / 4 * 16 + row / 4) * 4 + k % 4) * 4 + row % 4
    }

    #[test]
    fn a_strip_has_four_values_of_k_of_four_rows_side_by_side() {
        let (rows, k) = (7, 20);
        let values: Vec<u32> = (0..rows * k).map(|i| i as u32 + 1).collect();
        let strip: Vec<u32> =
            bytemuck::pod_collect_to_vec(&pack_values(MatrixFormat::F32, k as u32, bytemuck::cast_slice(&values)));
        assert_eq!(strip.len(), 64 * 32);
        for (i, value) in values.iter().enumerate() {
            assert_eq!(strip[element(i % k, i / k)], *value);
        }
        assert_eq!(strip.iter().filter(|v| **v == 0).count(), strip.len() - values.len());
        let bytes: Vec<u8> = values.iter().map(|v| *v as u8).collect();
        let strip = pack_values(MatrixFormat::Q8 { group: 4 }, k as u32, &bytes);
        assert!(bytes.iter().enumerate().all(|(i, byte)| strip[element(i % k, i / k)] == *byte));
    }

    #[test]
    fn two_codes_of_four_bits_share_a_byte() {
        let (rows, k) = (5, 24);
        let bytes: Vec<u8> = (0..rows * k / 2).map(|i| i as u8).collect();
        let format = MatrixFormat::Q4 { group: 8 };
        let strip = pack_values(format, k as u32, &bytes);
        assert_eq!(strip.len() as u64, value_bytes(format, k as u32));
        for (i, byte) in bytes.iter().enumerate() {
            let (row, pair) = (i / (k / 2), i % (k / 2));
            assert_eq!(strip[((pair / 2 * 16 + row / 4) * 2 + pair % 2) * 4 + row % 4], *byte);
        }
    }

    #[test]
    fn groups_of_four_rows_lie_together() {
        let groups: Vec<[f32; 2]> = (0..15).map(|i| [i as f32, -(i as f32)]).collect();
        let strip = pack_groups(3, &groups);
        for (i, pair) in groups.iter().enumerate() {
            let at = (i % 3 * 16 + i / 3 / 4) * 8 + i / 3 % 4;
            assert_eq!([strip[at], strip[at + 4]], *pair);
        }
    }

    #[test]
    fn a_strip_is_whole_when_all_its_rows_have_come_in_any_order() {
        let mut incoming = Incoming::default();
        let place = Place { groups: false, matrix: 0, first: 0 };
        let mut got = Vec::new();
        incoming.take(place, 3, 2..3, &[5, 6], |strip| got = strip.to_vec());
        incoming.take(place, 3, 0..1, &[1, 2], |_| panic!("a row is missing"));
        assert!(got.is_empty());
        incoming.take(place, 3, 1..2, &[3, 4], |strip| got = strip.to_vec());
        assert_eq!(got, [1, 2, 3, 4, 5, 6]);
        assert!(incoming.0.is_empty());
    }
}
