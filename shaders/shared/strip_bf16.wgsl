// Weights in strips: bfloat16, the upper half of the f32 of the same value. A piece is two values of
// K of a quad of outputs, K ascending, two outputs a word, low half first.
alias Piece = vec4<u32>;
@group(0) @binding(3) var<storage, read> w: array<Piece>;       // [strips, K/4, 16, 2]

fn widened(words: vec2<u32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(vec4<u32>(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));
}

fn first(piece: Piece) -> vec4<f32> {
    return widened(piece.xy);
}

fn second(piece: Piece) -> vec4<f32> {
    return widened(piece.zw);
}
