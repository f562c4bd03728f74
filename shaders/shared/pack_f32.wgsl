// float32, as tokens_f32.wgsl reads it.
fn word(row: u32, place: u32, index: u32) -> u32 {
    return number(row, index);
}
