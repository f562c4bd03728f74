// What a strip kernel does with its sums in swiglu: y = silu(g) * u, with the gate's sums on one side of a tile and
// the up's on the other; silu(g) = g / (1 + exp(-g)). Strips of gate and up take turns in w.

// Where a quad of outputs lies in w.
struct Place {
    strip: u32,
    quad: u32,
}

// The place of quad n of a side of a tile; past the last output the last strip, whose sums are not stored.
fn place(tile: u32, side: u32, n: u32) -> Place {
    let quad = tile * LANES_N + n;
    return Place(min(quad / 16u, (params.cols - 1u) / 64u) * 2u + side, quad % 16u);
}

// g / (1 + exp(-g)), with the exponent bounded so that it never overflows: beyond 80 the quotient is 0 in f32 anyway.
fn silu(g: vec4<f32>) -> vec4<f32> {
    return g / (1.0 + exp(min(-g, vec4<f32>(80.0))));
}

fn store(row: u32, col: u32, value: f32) {
    if (col < params.cols) {
        y[(params.y_row + row) * params.y_stride + params.y_col + col] = value;
    }
}

// The sums of a token for quad n of both sides.
fn store_quads(row: u32, tile: u32, n: u32, gate: vec4<f32>, up: vec4<f32>) {
    if (row < params.rows) {
        let values = silu(gate) * up;
        let col = (tile * LANES_N + n) * 4u;
        store(row, col, values.x);
        store(row, col + 1u, values.y);
        store(row, col + 2u, values.z);
        store(row, col + 3u, values.w);
    }
}
