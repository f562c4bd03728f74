// Token storage: a bit a dimension, the first in the highest bit of the first byte, lowest byte of a word first. 1 stands
// for +1, 0 for -1. Bits past the last dimension meet the zeros that the query is padded with.
@group(0) @binding(3) var<storage, read> data: array<u32>;  // [T, stride]

fn token4(token: u32, k: u32) -> vec4<f32> {
    // The bits of the four dimensions to the top, where those of floats have their sign, 1 for a minus.
    let minus = ~data[token * params.stride + k / 8u] << (24u - 8u * (k / 2u % 4u) + 4u * (k % 2u));
    let signs = vec4<u32>(minus) << vec4<u32>(0u, 1u, 2u, 3u);
    return bitcast<vec4<f32>>((signs & vec4<u32>(0x80000000u)) | vec4<u32>(0x3f800000u));
}
