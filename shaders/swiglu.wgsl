// y[t, n] = silu(g) * u with g = sum_k x[t, k] * gate[n, k] and u = sum_k x[t, k] * up[n, k];
// silu(g) = g / (1 + exp(-g)).
//
// The tile of shared/register.wgsl with eight tokens and four outputs of both matrices a thread, so that the gate and up
// products never reach memory. One weight holds both matrices: the gate's rows of this part, then the up's.

const OUTPUTS = 4u;

// g / (1 + exp(-g)), with the exponent bounded so that it never overflows: beyond 80 the
// quotient is 0 in f32 anyway.
fn silu(g: vec4<f32>) -> vec4<f32> {
    return g / (1.0 + exp(min(-g, vec4<f32>(80.0))));
}

fn store(row: u32, col: u32, value: f32) {
    if (row < params.rows && col < params.cols) {
        y[(params.y_row + row) * params.y_stride + params.y_col + col] = value;
    }
}

@compute @workgroup_size(8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let col = id.x * OUTPUTS;
    let row = id.y * TOKENS;
    if (row >= params.rows || col >= params.cols) {
        return;
    }
    let cols = min(col + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.cols - 1u));
    var sums = tile_of(row, cols, params.cols + cols);
    // In a loop, because it is the stores that take a software adapter long to compile.
    for (var i = 0u; i < 4u; i++) {
        store_tokens(row, col + i, silu(sums.low[i]) * sums.low[i + 4u]);
        store_tokens(row + 4u, col + i, silu(sums.high[i]) * sums.high[i + 4u]);
    }
}
