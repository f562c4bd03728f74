// Weight storage: affine 8 bit codes, four a word, low byte first. The words are signed because CPUs
// make floats of signed integers much faster; the mask takes away the copies of the sign.
@group(0) @binding(3) var<storage, read> w: array<i32>;         // [N, K/4]

fn weight4(at: u32, group: Group) -> vec4<f32> {
    let codes = (vec4<i32>(w[at]) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<i32>(0xff);
    return vec4<f32>(codes) * group.x + group.y;
}
