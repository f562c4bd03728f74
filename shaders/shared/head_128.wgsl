// The shape of attention_tile.wgsl for heads of up to 128 dimensions.
const ROWS = 64u;       // queries of a workgroup: tokens times the heads that share a key head
const KEYS = 32u;       // keys at a time
const D4 = 32u;         // vec4s of a head; shorter ones leave the rest idle
const D_LANES = 16u;    // lanes over them

// Sums of eight queries: a column a query, a row a dimension; dimensions of two vec4s.
struct Sums {
    a: mat4x4<f32>,
    b: mat4x4<f32>,
    c: mat4x4<f32>,
    d: mat4x4<f32>,
}

fn rescaled(s: Sums, low: vec4<f32>, high: vec4<f32>) -> Sums {
    return Sums(scaled(s.a, low), scaled(s.b, high), scaled(s.c, low), scaled(s.d, high));
}

fn with_value(s: Sums, low: vec4<f32>, high: vec4<f32>, key: u32, d: u32) -> Sums {
    let v0 = stage[key][d];
    let v1 = stage[key][d + D_LANES];
    return Sums(outer(s.a, low, v0), outer(s.b, high, v0), outer(s.c, low, v1), outer(s.d, high, v1));
}

fn finish(s: Sums, tile: Tile, key_head: u32, low: u32, high: u32, d: u32) {
    store_queries(s.a, tile, key_head, low, d);
    store_queries(s.b, tile, key_head, high, d);
    store_queries(s.c, tile, key_head, low, d + D_LANES);
    store_queries(s.d, tile, key_head, high, d + D_LANES);
}
