// Weight storage: float32. One element of a weight matrix [N, K/4] holds four values of a row.
@group(0) @binding(3) var<storage, read> w: array<vec4<f32>>;   // [N, K/4]

// What the weights at one place have in common: nothing.
alias Part = u32;

fn part_of(k: u32) -> Part {
    return 0u;
}

fn weight4(at: u32, part: Part, group: Group) -> vec4<f32> {
    return w[at];
}
