// The score of a similarity of codes, but for the length of the query: the dot product by the length of the row. The host,
// which knows both, makes the cosine anew in float64, so this may be off by a few units in the last place.
@group(0) @binding(3) var<storage, read> squares: array<u32>;     // [rows], of the codes of a row

fn score(bits: u32, column: u32) -> f32 {
    let square = squares[params.first_row + column];
    return select(f32(bitcast<i32>(bits)) * inverseSqrt(f32(max(square, 1u))), 0.0, square == 0u);
}
