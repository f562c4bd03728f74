// The shape of attention_tile.wgsl for heads of up to 128 dimensions.
const ROWS = 64u;       // queries of a workgroup: tokens times the heads that share a key head
const KEYS = 32u;       // keys at a time
const D4 = 32u;         // vec4s of a head; shorter ones leave the rest idle
const D_LANES = 16u;    // lanes over them

// With a key of the stage, whose weights are row `weights` of p.
fn with_value(s: Sums, weights: u32, low: u32, high: u32, key: u32, d: u32) -> Sums {
    let v0 = stage[key][d];
    let v1 = stage[key][d + D_LANES];
    let w0 = p[weights][low];
    let w1 = p[weights][high];
    return Sums(outer(s.a, w0, v0), outer(s.b, w1, v0), outer(s.c, w0, v1), outer(s.d, w1, v1));
}
