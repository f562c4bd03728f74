// The share of a lane of tile.wgsl: four tokens and eight outputs, in a tile of size_64x64.wgsl or size_32x128.wgsl.

// Whether scales and biases are loaded again at each step: kept, they would cost GPUs of few registers what they do not have.
const RELOAD = true;

// Columns are tokens: quad t; rows are outputs: quads n and n + LANES_N.
struct Sums {
    a: mat4x4<f32>,
    b: mat4x4<f32>,
}

fn products(s: Sums, k: u32, t: u32, n: u32) -> Sums {
    let t0 = xs[k][t];
    let a = outer(s.a, t0, ws[k][n]);
    return Sums(a, outer(s.b, t0, ws[k][n + LANES_N]));
}

fn add(s: Sums, t: Sums) -> Sums {
    return Sums(s.a + t.a, s.b + t.b);
}

fn row_scaled(s: Sums, t: u32) -> Sums {
    let scales = scales_of(t);
    return Sums(scaled(s.a, scales), scaled(s.b, scales));
}

fn finish(s: Sums, row: u32, tile: u32, t: u32, n: u32) {
    meet();
    show(t, n, s.a, s.b);
    meet();
    store_tokens(row, tile, t, n, s.a, s.b);
}
