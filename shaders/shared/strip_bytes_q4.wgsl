// Weights in strips for int8.wgsl: codes of 4 bits. A piece is eight values of K of a quad of outputs: a word for each output, the
// first four values of K in the low halves of its bytes.
const PIECES = 8u;  // of a step
@group(0) @binding(3) var<storage, read> w: array<vec4<u32>>;   // [strips, K/8, 16]

fn stage(piece: u32, quad: u32, words: vec4<u32>) {
    ws[piece * 2u][quad] = words & vec4<u32>(0x0f0f0f0fu);
    ws[piece * 2u + 1u][quad] = (words >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu);
}
