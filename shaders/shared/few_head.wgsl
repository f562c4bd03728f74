// A workgroup of int8_few.wgsl that has a whole head: 16 lanes of a token add up its squares, as in store_heads.wgsl.
const LANES_N = 16u;    // quads of a side
const SLICES = 8u;

fn finish(row: u32, tile: u32, token: u32, n: u32) {
    let a = sums_of(token, n);
    let b = sums_of(token, n + LANES_N);
    terms[4][token * LANES_N + n].x = bitcast<i32>(squares_of(a, b));
    workgroupBarrier();
    var squares = 0.0;
    for (var i = 0u; i < LANES_N; i++) {
        squares += bitcast<f32>(terms[4][token * LANES_N + i].x);
    }
    store_head(row + token, tile, n, a, b, squares);
}
