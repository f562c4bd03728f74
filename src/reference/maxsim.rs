use super::dense::dot;

/// For each query vector of `query` `[Lq, dim]`, its highest dot product with a vector of `document` `[Ld, dim]`, and the
/// lowest index that has it; `None` for an empty document. The score of late interaction (Khattab & Zaharia 2020) is
/// the sum of the products.
pub fn maxsim(query: &[f32], document: &[f32], dim: usize) -> Vec<Option<(f64, usize)>> {
    let matches = query.chunks_exact(dim).map(|q| {
        let similarities = document.chunks_exact(dim).map(|d| dot(q, d)).zip(0..);
        similarities.reduce(|best, next| if next.0 > best.0 { next } else { best })
    });
    matches.collect()
}
