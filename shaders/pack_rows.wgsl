// Token vectors as they leave the encoder, written as rows of a corpus in the layouts of shared/tokens_*.wgsl. A thread
// makes one word of one row; what a word is, is up to shared/pack_*.wgsl.
//
// All of it is integer arithmetic on the bits of float32 numbers: WGSL's division may be off in the last place, its
// conversion to float16 may round either way, and a device may take subnormals for zero; here, rows have the bits that
// the same vectors get on the host.

struct Params {
    dim: u32,     // D
    stride: u32,  // words of a row of `data`
    first: u32,   // row of `vectors`
    at: u32,      // row of `data`
    words: u32,   // of all rows of this dispatch
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> vectors: array<u32>;     // [n, D], bits of float32
@group(0) @binding(2) var<storage, read_write> data: array<u32>;  // [rows, stride]

// The bits of a number; past the last dimension, of 0.
fn number(row: u32, d: u32) -> u32 {
    if (d >= params.dim) {
        return 0u;
    }
    return vectors[row * params.dim + d];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.words) {
        return;
    }
    let row = id.x / params.stride;
    data[params.at * params.stride + id.x] = word(params.first + row, params.at + row, id.x % params.stride);
}
