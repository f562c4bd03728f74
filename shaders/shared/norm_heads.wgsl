// The norms of heads, for rows that are normalized already.
@group(0) @binding(5) var<storage, read> norm: array<vec2<f32>>;    // [K/2], then those of heads
