// scales[row] = max |x| / 127 of each token vector, rounded to the nearest float32: the factors of pack_i8. A thread takes
// a row, four numbers at a time; llvmpipe ends loops after 65,535.

struct Params {
    dim: u32,    // D
    first: u32,  // row of `vectors`
    at: u32,     // row of `scales`
    rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> vectors: array<u32>;       // [n, D], bits of float32
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;  // [rows], bits of float32

const LARGEST = 0x42fe0000u;  // 127

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.rows) {
        return;
    }
    let start = (params.first + id.x) * params.dim;
    let last = start + params.dim - 1u;
    // Without their signs, floats are ordered as their bits are. Indices beyond the end read the last number again.
    var most = vec4<u32>();
    for (var i = start; i <= last; i += 4u) {
        let at = min(vec4<u32>(i) + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last));
        let four = vec4<u32>(vectors[at.x], vectors[at.y], vectors[at.z], vectors[at.w]);
        most = max(most, four & vec4<u32>(0x7fffffffu));
    }
    scales[params.at + id.x] = divided(max(max(most.x, most.y), max(most.z, most.w)), LARGEST);
}
