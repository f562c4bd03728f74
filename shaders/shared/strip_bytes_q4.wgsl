// Weights in strips for packed dot products: codes of 4 bits. A piece is eight values of K of a quad of outputs: a word for each
// output, the first four values of K in the low halves of its bytes.
const HALVES = 2u;
@group(0) @binding(3) var<storage, read> w: array<vec4<u32>>;   // [strips, K/8, 16]

fn word_of(piece: vec4<u32>, i: u32) -> vec4<u32> {
    return (piece >> vec4<u32>(i * 4u)) & vec4<u32>(0x0f0f0f0fu);
}
