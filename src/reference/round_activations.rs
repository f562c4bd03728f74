use std::ops::Range;

/// Rows of `k` activations as they are once each of `blocks` of a row has been rounded to integers: `code * scale`,
/// where the scale is the block's largest magnitude / `levels` (32767 for 16 bits, 127 for 8) and codes are rounded half to
/// even. What the processor does where weights are codes.
pub fn round_activations(x: &[f32], k: usize, blocks: &[Range<usize>], levels: f32) -> Vec<f32> {
    let mut rounded = Vec::with_capacity(x.len());
    for row in x.chunks_exact(k) {
        for block in blocks {
            let block = &row[block.clone()];
            let most = block.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
            let inverse = if most > 0.0 { levels / most } else { 0.0 };
            rounded.extend(block.iter().map(|x| (x * inverse).round_ties_even() * (most / levels)));
        }
    }
    rounded
}
