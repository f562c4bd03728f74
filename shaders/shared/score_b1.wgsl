// The score of a similarity of bits: how few of them differ.
fn score(bits: u32, column: u32) -> f32 {
    return -f32(bits);
}
