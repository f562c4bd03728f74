// The share of a lane of maxsim_tile.wgsl: eight query rows and eight tokens.
const TOKENS = 128u;

// Similarities of two quads of tokens with two of rows: a column a token, a row a query row.
struct Sums {
    a: mat4x4<f32>,
    b: mat4x4<f32>,
    c: mat4x4<f32>,
    d: mat4x4<f32>,
}

fn products(s: Sums, d: u32, t: u32, r: u32) -> Sums {
    let t0 = tile[d][t];
    let t1 = tile[d][t + TOKEN_LANES];
    let r0 = queries[d][r];
    let r1 = queries[d][r ^ ROW_LANES];
    return Sums(outer(s.a, t0, r0), outer(s.b, t0, r1), outer(s.c, t1, r0), outer(s.d, t1, r1));
}

fn finish(s: Sums, strip: Strip, row: u32, lane: u32) {
    raise(s.a, s.b, strip, row, 0u, lane);
    raise(s.c, s.d, strip, row, 64u, lane);
}
