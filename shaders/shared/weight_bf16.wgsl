// Weight storage: bfloat16, two values a word, low half first. A bfloat16 is the upper half of
// the f32 of the same value, so a shift widens it exactly.
alias Weight4 = vec2<u32>;

fn weight4(w: Weight4) -> vec4<f32> {
    return vec4<f32>(
        bitcast<f32>(w.x << 16u),
        bitcast<f32>(w.x & 0xffff0000u),
        bitcast<f32>(w.y << 16u),
        bitcast<f32>(w.y & 0xffff0000u),
    );
}
