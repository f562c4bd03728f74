// Token storage: float16, two values a word, low half first, rows padded with zeros to a multiple of four. Every f16 is
// exact in f32, and unpack2x16float is core WGSL, so no optional feature is needed.
@group(0) @binding(3) var<storage, read> data: array<vec2<u32>>;  // [T, stride]

fn token4(token: u32, k: u32) -> vec4<f32> {
    let w = data[token * params.stride + k];
    return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}
