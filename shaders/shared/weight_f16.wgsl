// Weight storage: float16, two values a word, low half first. Every f16 is exact in f32, and
// unpack2x16float is core WGSL, so no optional feature is needed.
@group(0) @binding(3) var<storage, read> w: array<vec2<u32>>;   // [N, K/4]

// What the weights at one place have in common: nothing.
alias Part = u32;

fn part_of(k: u32) -> Part {
    return 0u;
}

fn weight4(at: u32, part: Part, group: Group) -> vec4<f32> {
    let words = w[at];
    return vec4<f32>(unpack2x16float(words.x), unpack2x16float(words.y));
}
