// The share of a lane of maxsim_tile.wgsl: eight query rows and four tokens, for GPUs of few registers.
const TOKENS = 64u;

// Similarities of a quad of tokens with two of rows: a column a token, a row a query row.
struct Sums {
    a: mat4x4<f32>,
    b: mat4x4<f32>,
}

fn products(s: Sums, d: u32, t: u32, r: u32) -> Sums {
    let tokens = tile[d][t];
    let a = outer(s.a, tokens, queries[d][r]);
    return Sums(a, outer(s.b, tokens, queries[d][r ^ ROW_LANES]));
}

fn finish(s: Sums, strip: Strip, row: u32, lane: u32) {
    raise(s.a, s.b, strip, row, 0u, lane);
}
