//! Cuts a list of texts into batches.

use std::ops::Range;

/// The batch that begins with the text `first`, given how many tokens texts have and vectors they give: consecutive texts
/// of at most `tokens` tokens and `vectors` vectors, or one large text. `None` if there is no such text. Nothing is padded,
/// so there is nothing to gain from sorting by length.
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
    use std::ops::Range;

    use super::next;

    fn pack(sizes: &[(usize, usize)], vectors: usize) -> Vec<Range<usize>> {
        let mut batches: Vec<Range<usize>> = Vec::new();
        while let Some(range) = next(sizes, batches.last().map_or(0, |last| last.end), 4096, vectors) {
            batches.push(range);
        }
        batches
    }

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
