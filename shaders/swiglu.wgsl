// y[t, n] = silu(g) * u with g = sum_k x[t, k] * gate[n, k] and u = sum_k x[t, k] * up[n, k];
// silu(g) = g / (1 + exp(-g)).
//
// The register tile of matmul.wgsl with four tokens and four outputs of both matrices a thread,
// so that the gate and up products never reach memory.

struct Params {
    rows: u32,      // T: tokens here
    cols: u32,      // N: outputs of this weight part
    k4: u32,        // K / 4
    y_col: u32,     // first column of y to write
    y_stride: u32,  // I: columns of y
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;   // [T, K/4]
@group(0) @binding(2) var<storage, read> gate: array<Weight4>;  // [N, K/4]
@group(0) @binding(3) var<storage, read> up: array<Weight4>;    // [N, K/4]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;   // [T, I]

const TOKENS = 4u;
const OUTPUTS = 4u;

// g / (1 + exp(-g)), with the exponent bounded so that it never overflows: beyond 80 the
// quotient is 0 in f32 anyway.
fn silu(g: vec4<f32>) -> vec4<f32> {
    return g / (1.0 + exp(min(-g, vec4<f32>(80.0))));
}

fn store_tokens(row: u32, col: u32, g: vec4<f32>, u: vec4<f32>) {
    if (col >= params.cols) {
        return;
    }
    let values = silu(g) * u;
    let at = row * params.y_stride + params.y_col + col;
    y[at] = values.x;
    if (row + 1u < params.rows) {
        y[at + params.y_stride] = values.y;
    }
    if (row + 2u < params.rows) {
        y[at + 2u * params.y_stride] = values.z;
    }
    if (row + 3u < params.rows) {
        y[at + 3u * params.y_stride] = values.w;
    }
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let col = id.x * OUTPUTS;
    let row = id.y * TOKENS;
    if (row >= params.rows || col >= params.cols) {
        return;
    }
    let k4 = params.k4;
    let last_row = params.rows - 1u;
    let last_col = params.cols - 1u;
    let x0 = row * k4;
    let x1 = min(row + 1u, last_row) * k4;
    let x2 = min(row + 2u, last_row) * k4;
    let x3 = min(row + 3u, last_row) * k4;
    let w0 = col * k4;
    let w1 = min(col + 1u, last_col) * k4;
    let w2 = min(col + 2u, last_col) * k4;
    let w3 = min(col + 3u, last_col) * k4;

    var g0 = vec4<f32>();
    var g1 = vec4<f32>();
    var g2 = vec4<f32>();
    var g3 = vec4<f32>();
    var u0 = vec4<f32>();
    var u1 = vec4<f32>();
    var u2 = vec4<f32>();
    var u3 = vec4<f32>();
    for (var k = 0u; k < k4; k++) {
        let tokens = mat4x4<f32>(x[x0 + k], x[x1 + k], x[x2 + k], x[x3 + k]);
        g0 += weight4(gate[w0 + k]) * tokens;
        g1 += weight4(gate[w1 + k]) * tokens;
        g2 += weight4(gate[w2 + k]) * tokens;
        g3 += weight4(gate[w3 + k]) * tokens;
        u0 += weight4(up[w0 + k]) * tokens;
        u1 += weight4(up[w1 + k]) * tokens;
        u2 += weight4(up[w2 + k]) * tokens;
        u3 += weight4(up[w3 + k]) * tokens;
    }
    store_tokens(row, col, g0, u0);
    store_tokens(row, col + 1u, g1, u1);
    store_tokens(row, col + 2u, g2, u2);
    store_tokens(row, col + 3u, g3, u3);
}
