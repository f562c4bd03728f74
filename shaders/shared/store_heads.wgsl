// How a lane of tile.wgsl or int8.wgsl stores its sums where they are of a head: all lanes of a token first add up its squares.
fn meet() {
    workgroupBarrier();
}

fn show(quad: u32, n: u32, a: mat4x4<f32>, b: mat4x4<f32>) {
    keep(n, quad, vec4<f32>(
        squares_of(a[0], b[0]), squares_of(a[1], b[1]), squares_of(a[2], b[2]), squares_of(a[3], b[3]),
    ));
}

// The sums of a quad of tokens of a tile that begins at `row`.
fn store_tokens(row: u32, tile: u32, quad: u32, n: u32, a: mat4x4<f32>, b: mat4x4<f32>) {
    var squares = vec4<f32>();
    for (var i = 0u; i < LANES_N; i++) {
        squares += kept(i, quad);
    }
    let first = row + quad * 4u;
    store_head(first, tile, n, a[0], b[0], squares.x);
    store_head(first + 1u, tile, n, a[1], b[1], squares.y);
    store_head(first + 2u, tile, n, a[2], b[2], squares.z);
    store_head(first + 3u, tile, n, a[3], b[3], squares.w);
}
