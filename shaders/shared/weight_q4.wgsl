// Weight storage: affine 4 bit codes, eight a word, low bits first. K is a multiple of eight, so a
// row starts with a word; `at` counts half words. The words are signed because CPUs make floats of
// signed integers much faster. Codes are not shifted down, which SwiftShader does number by number, but made
// floats where they are, and these are multiplied by a power of two, which is exact.
@group(0) @binding(3) var<storage, read> w: array<i32>;         // [N, K/8]

// The codes of a half of a word, and what makes them numbers below 16. The highest bit of all is that of a sign.
struct Part {
    codes: vec4<i32>,
    by: vec4<f32>,
    sign: i32,
}

fn part_of(k: u32) -> Part {
    if (k % 2u == 0u) {
        return Part(vec4<i32>(0xf, 0xf0, 0xf00, 0xf000), vec4<f32>(1.0, 0x1p-4, 0x1p-8, 0x1p-12), 0);
    }
    let by = vec4<f32>(0x1p-16, 0x1p-20, 0x1p-24, 0x1p-28);
    return Part(vec4<i32>(0xf0000, 0xf00000, 0xf000000, 0x70000000), by, -0x7fffffff - 1);
}

fn weight4(at: u32, part: Part, group: Group) -> vec4<f32> {
    let word = w[at / 2u];
    var codes = vec4<f32>(vec4<i32>(word) & part.codes);
    codes.w -= f32(word & part.sign);
    return codes * part.by * group.x + group.y;
}
