//! Cuts a list of texts into batches for the GPU.

use std::ops::Range;

/// Tokens a batch holds, unless a single text has more.
const TOKENS: usize = 4096;
/// Texts a batch holds.
const TEXTS: usize = 512;

/// Ranges of consecutive texts, each of at most [`TOKENS`] tokens and [`TEXTS`] texts, or one long text. Nothing is
/// padded, so there is nothing to gain from sorting by length.
pub(super) fn pack(lengths: &[usize]) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut first, mut tokens) = (0, 0);
    for (i, &length) in lengths.iter().enumerate() {
        if i > first && (tokens + length > TOKENS || i - first == TEXTS) {
            batches.push(first..i);
            (first, tokens) = (i, 0);
        }
        tokens += length;
    }
    if first < lengths.len() {
        batches.push(first..lengths.len());
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::pack;

    #[test]
    fn batches_cover_the_texts_in_order_within_the_budget() {
        assert!(pack(&[]).is_empty());
        assert_eq!(pack(&[0, 0, 4097]), [0..2, 2..3]);
        assert_eq!(pack(&[4096, 1]), [0..1, 1..2]);
        assert_eq!(pack(&[1, 4095, 1]), [0..2, 2..3]);
        assert_eq!(pack(&[1, 9000, 1]), [0..1, 1..2, 2..3]);
        assert_eq!(pack(&[1; 513]), [0..512, 512..513]);
    }
}
