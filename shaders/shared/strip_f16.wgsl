// Weights in strips: float16. A piece is two values of K of a quad of outputs, K ascending, two
// outputs a word, low half first.
alias Piece = vec4<u32>;
@group(0) @binding(3) var<storage, read> w: array<Piece>;       // [strips, K/4, 16, 2]

fn first(piece: Piece) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(piece.x), unpack2x16float(piece.y));
}

fn second(piece: Piece) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(piece.z), unpack2x16float(piece.w));
}
