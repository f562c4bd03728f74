// A workgroup of int8_few.wgsl where sums of a token do not depend on each other: 32 outputs.
const LANES_N = 4u;     // quads of a side
const SLICES = 16u;

fn finish(row: u32, tile: u32, token: u32, n: u32) {
    if (token < TOKENS) {
        store_quads(row + token, tile, n, sums_of(token, n), sums_of(token, n + LANES_N));
    }
}
