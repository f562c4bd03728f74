// What a strip kernel does with its sums in matmul: both sides of a tile are outputs, one after the other.

// Where a quad of outputs lies in w.
struct Place {
    strip: u32,
    quad: u32,
}

// The place of quad n of a side of a tile; past the last output the last strip, whose sums are not stored.
fn place(tile: u32, side: u32, n: u32) -> Place {
    let quad = (tile * 2u + side) * LANES_N + n;
    return Place(min(quad / 16u, (params.cols - 1u) / 64u), quad % 16u);
}

fn store(row: u32, col: u32, value: f32) {
    if (col < params.cols) {
        let at = (params.y_row + row) * params.y_stride + params.y_col + col;
        if (params.accumulate == 1u) {
            y[at] += value;
        } else {
            y[at] = value;
        }
    }
}

// The sums of a token for quad n of both sides.
fn store_quads(row: u32, tile: u32, n: u32, a: vec4<f32>, b: vec4<f32>) {
    if (row < params.rows) {
        let col = (tile * 2u * LANES_N + n) * 4u;
        store(row, col, a.x);
        store(row, col + 1u, a.y);
        store(row, col + 2u, a.z);
        store(row, col + 3u, a.w);
        store(row, col + LANES_N * 4u, b.x);
        store(row, col + LANES_N * 4u + 1u, b.y);
        store(row, col + LANES_N * 4u + 2u, b.z);
        store(row, col + LANES_N * 4u + 3u, b.w);
    }
}
