// The shape of attention_tile.wgsl for heads of up to 64 dimensions.
const ROWS = 64u;       // queries of a workgroup: tokens times the heads that share a key head
const KEYS = 32u;       // keys at a time
const D4 = 16u;         // vec4s of a head; shorter ones leave the rest idle
const D_LANES = 16u;    // lanes over them

fn with_value(s: Sums, low: vec4<f32>, high: vec4<f32>, key: u32, d: u32) -> Sums {
    let v0 = stage[key / 2u][key % 2u * 16u + d];
    return Sums(outer(s.a, low, v0), outer(s.b, high, v0));
}
