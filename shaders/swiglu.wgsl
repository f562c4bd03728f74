// y[t, n] = silu(g) * u with g = sum_k x[t, k] * gate[n, k] and u = sum_k x[t, k] * up[n, k];
// silu(g) = g / (1 + exp(-g)).
//
// The register tile of matmul.wgsl with four tokens and four outputs of both matrices a thread,
// so that the gate and up products never reach memory. One weight holds both matrices: the gate's
// rows of this part, then the up's.

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;   // [T, K/4]

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
    let at = (params.y_row + row) * params.y_stride + params.y_col + col;
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
    let c1 = min(col + 1u, last_col);
    let c2 = min(col + 2u, last_col);
    let c3 = min(col + 3u, last_col);
    let gate0 = col * k4;
    let gate1 = c1 * k4;
    let gate2 = c2 * k4;
    let gate3 = c3 * k4;
    let up0 = (params.cols + col) * k4;
    let up1 = (params.cols + c1) * k4;
    let up2 = (params.cols + c2) * k4;
    let up3 = (params.cols + c3) * k4;

    var g0 = vec4<f32>();
    var g1 = vec4<f32>();
    var g2 = vec4<f32>();
    var g3 = vec4<f32>();
    var u0 = vec4<f32>();
    var u1 = vec4<f32>();
    var u2 = vec4<f32>();
    var u3 = vec4<f32>();
    for (var g = 0u; g < row_groups(); g++) {
        let gate_group0 = group(col, g);
        let gate_group1 = group(c1, g);
        let gate_group2 = group(c2, g);
        let gate_group3 = group(c3, g);
        let up_group0 = group(params.cols + col, g);
        let up_group1 = group(params.cols + c1, g);
        let up_group2 = group(params.cols + c2, g);
        let up_group3 = group(params.cols + c3, g);
        let end = group_end(g);
        for (var k = group_start(g); k < end; k++) {
            let tokens = mat4x4<f32>(x[x0 + k], x[x1 + k], x[x2 + k], x[x3 + k]);
            g0 += weight4(gate0 + k, gate_group0) * tokens;
            g1 += weight4(gate1 + k, gate_group1) * tokens;
            g2 += weight4(gate2 + k, gate_group2) * tokens;
            g3 += weight4(gate3 + k, gate_group3) * tokens;
            u0 += weight4(up0 + k, up_group0) * tokens;
            u1 += weight4(up1 + k, up_group1) * tokens;
            u2 += weight4(up2 + k, up_group2) * tokens;
            u3 += weight4(up3 + k, up_group3) * tokens;
        }
    }
    store_tokens(row, col, g0, u0);
    store_tokens(row, col + 1u, g1, u1);
    store_tokens(row, col + 2u, g2, u2);
    store_tokens(row, col + 3u, g3, u3);
}
