//! Cuts a list of texts into batches for the GPU.

use std::ops::Range;

/// Tokens a batch holds, unless a single text has more.
const TOKENS: usize = 4096;

/// Ranges of consecutive texts, given by how many tokens they have and vectors they give: each of at most [`TOKENS`]
/// tokens and `vectors` vectors, or one large text. Nothing is padded, so there is nothing to gain from sorting by
/// length.
pub(super) fn pack(sizes: &[(usize, usize)], max_vectors: usize) -> Vec<Range<usize>> {
    let mut first = 0;
    let batch = || {
        let range = next(sizes, first, TOKENS, max_vectors)?;
        first = range.end;
        Some(range)
    };
    std::iter::from_fn(batch).collect()
}

/// The batch that begins with the text `first`: at most `tokens` tokens and `vectors` vectors, or one large text. `None` if
/// there is no such text.
pub(super) fn next(sizes: &[(usize, usize)], first: usize, tokens: usize, vectors: usize) -> Option<Range<usize>> {
    let mut sum = *sizes.get(first)?;
    let fits = |size: &&(usize, usize)| {
        sum = (sum.0 + size.0, sum.1 + size.1);
        sum.0 <= tokens && sum.1 <= vectors
    };
    let more = sizes[first + 1..].iter().take_while(fits).count();
    Some(first..first + 1 + more)
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
