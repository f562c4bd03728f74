// Weight storage: affine 8 bit codes, four a word, low byte first. The words are signed because CPUs make floats
// of signed integers much faster, and made floats as shared/weight_q4.wgsl does.
@group(0) @binding(3) var<storage, read> w: array<i32>;         // [N, K/4]

// What the weights at one place have in common: nothing.
alias Part = u32;

fn part_of(k: u32) -> Part {
    return 0u;
}

fn weight4(at: u32, part: Part, group: Group) -> vec4<f32> {
    let word = w[at];
    var codes = vec4<f32>(vec4<i32>(word) & vec4<i32>(0xff, 0xff00, 0xff0000, 0x7f000000));
    codes.w -= f32(word & (-0x7fffffff - 1));
    return codes * vec4<f32>(1.0, 0x1p-8, 0x1p-16, 0x1p-24) * group.x + group.y;
}
