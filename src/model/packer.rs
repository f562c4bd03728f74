//! Cuts a list of texts into batches for the GPU.

use std::ops::Range;

/// Tokens a batch holds, unless a single text has more.
const TOKENS: usize = 4096;

/// Ranges of consecutive texts, given by how many tokens they have and vectors they give: each of at most [`TOKENS`]
/// tokens and `vectors` vectors, or one large text. Nothing is padded, so there is nothing to gain from sorting by
/// length.
pub(super) fn pack(sizes: &[(usize, usize)], max_vectors: usize) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut first, mut tokens, mut vectors) = (0, 0, 0);
    for (i, &(more_tokens, more_vectors)) in sizes.iter().enumerate() {
        if i > first && (tokens + more_tokens > TOKENS || vectors + more_vectors > max_vectors) {
            batches.push(first..i);
            (first, tokens, vectors) = (i, 0, 0);
        }
        tokens += more_tokens;
        vectors += more_vectors;
    }
    if first < sizes.len() {
        batches.push(first..sizes.len());
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::pack;

    #[test]
    fn batches_cover_the_texts_in_order_within_the_budget() {
        let texts = |lengths: &[usize]| pack(&lengths.iter().map(|&n| (n, 1)).collect::<Vec<_>>(), 512);
        assert!(texts(&[]).is_empty());
        assert_eq!(texts(&[0, 0, 4097]), [0..2, 2..3]);
        assert_eq!(texts(&[4096, 1]), [0..1, 1..2]);
        assert_eq!(texts(&[1, 4095, 1]), [0..2, 2..3]);
        assert_eq!(texts(&[1, 9000, 1]), [0..1, 1..2, 2..3]);
        assert_eq!(texts(&[1; 513]), [0..512, 512..513]);
        assert_eq!(pack(&[(1, 500), (1, 12), (1, 1), (1, 900), (1, 0)], 512), [0..2, 2..3, 3..4, 4..5]);
    }
}
