// Weights in strips for packed dot products: codes of 8 bits around zero. A piece is four values of K of a quad of outputs: a word
// for each output, K in its bytes, low byte first.
const HALVES = 1u;
@group(0) @binding(3) var<storage, read> w: array<vec4<u32>>;   // [strips, K/4, 16]

fn word_of(piece: vec4<u32>, i: u32) -> vec4<u32> {
    return piece;
}
