// Weight storage: affine 4 bit codes, eight a word, low bits first. K is a multiple of eight, so a
// row starts with a word; `at` counts half words. The words are signed because CPUs make floats of
// signed integers much faster; the mask takes away the copies of the sign.
@group(0) @binding(3) var<storage, read> w: array<i32>;         // [N, K/8]

fn weight4(at: u32, group: Group) -> vec4<f32> {
    let half = w[at / 2u] >> (at % 2u * 16u);
    let codes = (vec4<i32>(half) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<i32>(0xf);
    return vec4<f32>(codes) * group.x + group.y;
}
