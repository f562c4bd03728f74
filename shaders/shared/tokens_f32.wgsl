// Token storage: float32, rows padded with zeros to a multiple of four.
@group(0) @binding(3) var<storage, read> data: array<vec4<f32>>;  // [T, stride]

fn token4(token: u32, k: u32) -> vec4<f32> {
    return data[token * params.stride + k];
}
