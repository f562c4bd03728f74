// The score of a similarity of float32 rows: their dot product.
fn score(bits: u32, column: u32) -> f32 {
    return bitcast<f32>(bits);
}
