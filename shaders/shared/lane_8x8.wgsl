// The share of a lane of tile.wgsl: eight tokens and eight outputs. 256 lanes make 128 x 128, which
// fills 16 KiB of workgroup memory and reads 4 bytes of x and w for 64 multiply-adds of float32.
const LANES_T = 16u;    // lanes over tokens
const LANES_N = 16u;    // lanes over outputs
const TOKENS = 128u;
const OUTPUTS = 128u;
// Whether scales and biases are loaded again at each step: the largest tile has to save bytes.
const RELOAD = false;

// Columns are tokens: quads t and t + LANES_T of them; rows are outputs: quads n and n + LANES_N.
struct Sums {
    a: mat4x4<f32>,
    b: mat4x4<f32>,
    c: mat4x4<f32>,
    d: mat4x4<f32>,
}

fn products(s: Sums, k: u32, t: u32, n: u32) -> Sums {
    let t0 = xs[k][t];
    let t1 = xs[k][t + LANES_T];
    let n0 = ws[k][n];
    let n1 = ws[k][n + LANES_N];
    return Sums(outer(s.a, t0, n0), outer(s.b, t0, n1), outer(s.c, t1, n0), outer(s.d, t1, n1));
}

fn add(s: Sums, t: Sums) -> Sums {
    return Sums(s.a + t.a, s.b + t.b, s.c + t.c, s.d + t.d);
}

fn row_scaled(s: Sums, t: u32) -> Sums {
    let low = scales_of(t);
    let high = scales_of(t + LANES_T);
    return Sums(scaled(s.a, low), scaled(s.b, low), scaled(s.c, high), scaled(s.d, high));
}

fn finish(s: Sums, row: u32, tile: u32, t: u32, n: u32) {
    meet();
    show(t, n, s.a, s.b);
    show(t + LANES_T, n, s.c, s.d);
    meet();
    store_tokens(row, tile, t, n, s.a, s.b);
    store_tokens(row, tile, t + LANES_T, n, s.c, s.d);
}
