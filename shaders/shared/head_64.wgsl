// The shape of attention_tile.wgsl for heads of up to 64 dimensions.
const ROWS = 64u;       // queries of a workgroup: tokens times the heads that share a key head
const KEYS = 32u;       // keys at a time
const D4 = 16u;         // vec4s of a head; shorter ones leave the rest idle
const D_LANES = 16u;    // lanes over them

// With a key of the stage, whose weights are row `weights` of p.
fn with_value(s: Sums, weights: u32, low: u32, high: u32, key: u32, d: u32) -> Sums {
    let v0 = stage[key / 2u][key % 2u * 16u + d];
    let a = outer(s.a, p[weights][low], v0);
    return Sums(a, outer(s.b, p[weights][high], v0));
}
