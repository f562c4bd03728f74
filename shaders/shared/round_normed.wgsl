// Rows that are normalized before they are rounded.
const NORMED = true;

@group(0) @binding(5) var<storage, read> norm: array<vec4<f32>>;    // [K/4]

fn weighted(x: vec4<f32>, k4: u32) -> vec4<f32> {
    return x * norm[k4];
}
