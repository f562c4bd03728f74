// y[t, n] (+)= sum_k x[t, k] * w[n, k]: a linear layer without bias, both operands K-contiguous, by the tile of
// shared/register.wgsl: a thread owns eight tokens and eight outputs. Outputs past the edge are those of the last, and
// are not stored.

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

@compute @workgroup_size(8, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let col = id.x * OUTPUTS;
    let row = id.y * TOKENS;
    if (row >= params.rows || col >= params.cols) {
        return;
    }
    let last = vec4<u32>(params.cols - 1u);
    let cols = col + vec4<u32>(0u, 1u, 2u, 3u);
    let s = tile_of(row, min(cols, last), min(cols + 4u, last));
    // In a loop, because it is the stores that take a software adapter long to compile.
    var sums = array<vec4<f32>, 16>(
        s.a.a.low, s.a.a.high, s.a.b.low, s.a.b.high, s.a.c.low, s.a.c.high, s.a.d.low, s.a.d.high,
        s.b.a.low, s.b.a.high, s.b.b.low, s.b.b.high, s.b.c.low, s.b.c.high, s.b.d.low, s.b.d.high,
    );
    for (var i = 0u; i < 16u; i++) {
        let first = row + i % 2u * 4u;
        store(first, col + i / 2u, sums[i].x);
        store(first + 1u, col + i / 2u, sums[i].y);
        store(first + 2u, col + i / 2u, sums[i].z);
        store(first + 3u, col + i / 2u, sums[i].w);
    }
}
