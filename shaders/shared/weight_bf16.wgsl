// Weight storage: bfloat16, two values a word, low half first. A bfloat16 is the upper half of
// the f32 of the same value, so a shift widens it exactly.
@group(0) @binding(3) var<storage, read> w: array<vec2<u32>>;   // [N, K/4]

// What the weights at one place have in common: nothing.
alias Part = u32;

fn part_of(k: u32) -> Part {
    return 0u;
}

fn weight4(at: u32, part: Part, group: Group) -> vec4<f32> {
    let words = w[at];
    return vec4<f32>(
        bitcast<f32>(words.x << 16u),
        bitcast<f32>(words.x & 0xffff0000u),
        bitcast<f32>(words.y << 16u),
        bitcast<f32>(words.y & 0xffff0000u),
    );
}
