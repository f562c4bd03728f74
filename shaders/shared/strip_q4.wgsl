// Weights in strips: affine 4 bit codes. A piece is two values of K of a quad of outputs in one word:
// a byte an output, low byte first, with the first value of K in its low half.
alias Piece = u32;
@group(0) @binding(3) var<storage, read> w: array<Piece>;       // [strips, K/4, 16, 2]

fn first(piece: Piece) -> vec4<f32> {
    return vec4<f32>(unpack4xU8(piece & 0x0f0f0f0fu));
}

fn second(piece: Piece) -> vec4<f32> {
    return vec4<f32>(unpack4xU8((piece >> 4u) & 0x0f0f0f0fu));
}
