// How a lane of tile.wgsl or int8.wgsl stores its sums where those of a token do not depend on each other.
// Lanes have nothing to tell each other.
fn meet() {}

fn show(quad: u32, n: u32, a: mat4x4<f32>, b: mat4x4<f32>) {}

// The sums of a quad of tokens of a tile that begins at `row`.
fn store_tokens(row: u32, tile: u32, quad: u32, n: u32, a: mat4x4<f32>, b: mat4x4<f32>) {
    let first = row + quad * 4u;
    store_quads(first, tile, n, a[0], b[0]);
    store_quads(first + 1u, tile, n, a[1], b[1]);
    store_quads(first + 2u, tile, n, a[2], b[2]);
    store_quads(first + 3u, tile, n, a[3], b[3]);
}
