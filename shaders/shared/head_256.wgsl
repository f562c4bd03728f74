// The shape of attention_tile.wgsl for heads of up to 256 dimensions.
const ROWS = 32u;       // queries of a workgroup: tokens times the heads that share a key head
const KEYS = 64u;       // keys at a time
const D4 = 64u;         // vec4s of a head; shorter ones leave the rest idle
const D_LANES = 32u;    // lanes over them

fn with_value(s: Sums, low: vec4<f32>, high: vec4<f32>, key: u32, d: u32) -> Sums {
    let v0 = stage[key * 2u][d];
    let v1 = stage[key * 2u + 1u][d];
    return Sums(outer(s.a, low, v0), outer(s.b, high, v0), outer(s.c, low, v1), outer(s.d, high, v1));
}
