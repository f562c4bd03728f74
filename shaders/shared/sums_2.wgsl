// What a lane of attention_tile.wgsl adds up where it has one vec4 of dimensions.

// Sums of eight queries: a column a query, a row a dimension.
struct Sums {
    a: mat4x4<f32>,
    b: mat4x4<f32>,
}

fn rescaled(s: Sums, low: vec4<f32>, high: vec4<f32>) -> Sums {
    return Sums(scaled(s.a, low), scaled(s.b, high));
}

fn finish(s: Sums, tile: Tile, key_head: u32, low: u32, high: u32, d: u32) {
    store_queries(s.a, tile, key_head, low, d);
    store_queries(s.b, tile, key_head, high, d);
}
