// Weights in strips: affine 8 bit codes. A piece is two values of K of a quad of outputs: a word for
// each, the outputs in its bytes, low byte first.
alias Piece = vec2<u32>;
@group(0) @binding(3) var<storage, read> w: array<Piece>;       // [strips, K/4, 16, 2]

fn first(piece: Piece) -> vec4<f32> {
    return vec4<f32>(unpack4xU8(piece.x));
}

fn second(piece: Piece) -> vec4<f32> {
    return vec4<f32>(unpack4xU8(piece.y));
}
