/// The similarity of every query with every row, `[queries, rows]`; both have `len` elements a row.
pub fn dense<T, S>(queries: &[T], rows: &[T], len: usize, similarity: impl Fn(&[T], &[T]) -> S) -> Vec<S> {
    queries
        .chunks_exact(len)
        .flat_map(|q| rows.chunks_exact(len).map(|r| similarity(q, r)).collect::<Vec<_>>())
        .collect()
}

/// The dot product of two vectors, in f64.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// The dot product of two rows of codes, exact.
pub fn dot_codes(a: &[i8], b: &[i8]) -> i64 {
    a.iter().zip(b).map(|(&a, &b)| i64::from(i32::from(a) * i32::from(b))).sum()
}

/// How many bits of two rows differ.
pub fn hamming(a: &[u8], b: &[u8]) -> u32 {
    a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
}
