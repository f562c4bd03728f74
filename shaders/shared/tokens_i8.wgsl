// Token storage: int8, four a word, lowest byte first, rows padded with zeros to a multiple of four.
@group(0) @binding(3) var<storage, read> data: array<u32>;  // [T, stride]

fn token4(token: u32, k: u32) -> vec4<f32> {
    // Each byte to the top of its lane, and back down with its sign.
    let bytes = vec4<i32>(vec4<u32>(data[token * params.stride + k]) << vec4<u32>(24u, 16u, 8u, 0u));
    return vec4<f32>(bytes >> vec4<u32>(24u));
}
