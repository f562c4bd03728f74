// Weights in strips for int8.wgsl: codes of 8 bits around zero. A piece is four values of K of a quad of outputs: a word for
// each output, K in its bytes, low byte first.
const PIECES = 16u;  // of a step
@group(0) @binding(3) var<storage, read> w: array<vec4<u32>>;   // [strips, K/4, 16]

fn stage(piece: u32, quad: u32, words: vec4<u32>) {
    ws[piece][quad] = words;
}
