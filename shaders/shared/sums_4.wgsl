// What a lane of attention_tile.wgsl adds up where it has two vec4s of dimensions, D_LANES apart.

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

fn finish(s: Sums, tile: Tile, key_head: u32, low: u32, high: u32, d: u32) {
    store_queries(s.a, tile, key_head, low, d);
    store_queries(s.b, tile, key_head, high, d);
    store_queries(s.c, tile, key_head, low, d + D_LANES);
    store_queries(s.d, tile, key_head, high, d + D_LANES);
}
