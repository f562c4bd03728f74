// Token storage: a bit a dimension, the first in the highest bit of the first byte, lowest byte of a word first. 1 stands
// for +1, 0 for -1. Bits past the last dimension meet the zeros that the query is padded with.
@group(0) @binding(3) var<storage, read> data: array<u32>;  // [T, stride]

fn token4(token: u32, k: u32) -> vec4<f32> {
    let byte = data[token * params.stride + k / 8u] >> (8u * (k / 2u % 4u));
    let nibble = vec4<u32>(select(byte, byte >> 4u, k % 2u == 0u));
    let plus = (nibble & vec4<u32>(8u, 4u, 2u, 1u)) != vec4<u32>();
    return select(vec4<f32>(-1.0), vec4<f32>(1.0), plus);
}
