// Weight storage: float16, two values a word, low half first. Every f16 is exact in f32, and
// unpack2x16float is core WGSL, so no optional feature is needed.
alias Weight4 = vec2<u32>;

fn weight4(w: Weight4) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(w.x), unpack2x16float(w.y));
}
