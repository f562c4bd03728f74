// y[t, n] (+)= sum_k x[t, k] * w[n, k]: a linear layer without bias, both operands K-contiguous.
//
// The barrier-free register tile. A thread owns four tokens and eight outputs; at each step it
// reads one vec4 of K from each of its twelve rows and does 128 multiply-adds on them, all from
// registers. With the four token rows as the columns of a matrix X, `w * X` is the four dot
// products of one weight row at once. There is no shared memory, because barriers are what makes
// tiled kernels collapse on software adapters; what that costs a real GPU is reuse across the
// workgroup, which is left to the caches. Each output is one chain of additions over K in
// ascending order, whatever the tile, so a token's bits do not depend on its neighbours.
//
// How a weight is stored is for shared/weight_*.wgsl to know: `group` reads what a group of a row
// shares, `weight4` four weights of it as f32. A dense weight is one group as long as the row.
//
// Rows and outputs past the edge are computed from the last valid row and not stored: cheaper
// than a branch in the loop, and never out of bounds.

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;   // [T, K/4]

const TOKENS = 4u;
const OUTPUTS = 8u;

fn store(row: u32, col: u32, value: f32) {
    if (row < params.rows && col < params.cols) {
        let at = (params.y_row + row) * params.y_stride + params.y_col + col;
        if (params.accumulate == 1u) {
            y[at] += value;
        } else {
            y[at] = value;
        }
    }
}

fn store_tokens(row: u32, col: u32, values: vec4<f32>) {
    store(row, col, values.x);
    store(row + 1u, col, values.y);
    store(row + 2u, col, values.z);
    store(row + 3u, col, values.w);
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
    let c4 = min(col + 4u, last_col);
    let c5 = min(col + 5u, last_col);
    let c6 = min(col + 6u, last_col);
    let c7 = min(col + 7u, last_col);
    let w0 = col * k4;
    let w1 = c1 * k4;
    let w2 = c2 * k4;
    let w3 = c3 * k4;
    let w4 = c4 * k4;
    let w5 = c5 * k4;
    let w6 = c6 * k4;
    let w7 = c7 * k4;

    var y0 = vec4<f32>();
    var y1 = vec4<f32>();
    var y2 = vec4<f32>();
    var y3 = vec4<f32>();
    var y4 = vec4<f32>();
    var y5 = vec4<f32>();
    var y6 = vec4<f32>();
    var y7 = vec4<f32>();
    for (var g = 0u; g < row_groups(); g++) {
        let g0 = group(col, g);
        let g1 = group(c1, g);
        let g2 = group(c2, g);
        let g3 = group(c3, g);
        let g4 = group(c4, g);
        let g5 = group(c5, g);
        let g6 = group(c6, g);
        let g7 = group(c7, g);
        let end = group_end(g);
        for (var k = group_start(g); k < end; k++) {
            let tokens = mat4x4<f32>(x[x0 + k], x[x1 + k], x[x2 + k], x[x3 + k]);
            y0 += weight4(w0 + k, g0) * tokens;
            y1 += weight4(w1 + k, g1) * tokens;
            y2 += weight4(w2 + k, g2) * tokens;
            y3 += weight4(w3 + k, g3) * tokens;
            y4 += weight4(w4 + k, g4) * tokens;
            y5 += weight4(w5 + k, g5) * tokens;
            y6 += weight4(w6 + k, g6) * tokens;
            y7 += weight4(w7 + k, g7) * tokens;
        }
    }
    store_tokens(row, col, y0);
    store_tokens(row, col + 1u, y1);
    store_tokens(row, col + 2u, y2);
    store_tokens(row, col + 3u, y3);
    store_tokens(row, col + 4u, y4);
    store_tokens(row, col + 5u, y5);
    store_tokens(row, col + 6u, y6);
    store_tokens(row, col + 7u, y7);
}
