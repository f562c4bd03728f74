// Weight storage: float16, two values a word, low half first. Every f16 is exact in f32, and
// unpack2x16float is core WGSL, so no optional feature is needed.
@group(0) @binding(3) var<storage, read> w: array<vec2<u32>>;   // [N, K/4]

fn weight4(at: u32, group: Group) -> vec4<f32> {
    let words = w[at];
    return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}
