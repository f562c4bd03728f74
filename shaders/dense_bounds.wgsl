// The highest score of each 64 rows for each query: what a search reads back to see where its hits can be, instead of every
// similarity. What a score is, is up to shared/score_*.wgsl.
//
// A thread takes the 64 rows of a block one after the other, without a barrier. Its neighbours read other blocks, 256 bytes
// apart, so what a cache line brings is used up over the next steps; all of it is 4 bytes a row, a small share of what the
// rows themselves are.

struct Params {
    columns: u32,    // N
    blocks: u32,     // N / 64, rounded up
    first_row: u32,  // the row that column 0 of y is of
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<u32>;           // [Q, N], as dense.wgsl writes it
@group(0) @binding(2) var<storage, read_write> best: array<f32>;  // [Q, blocks]

const ROWS = 64u;
const LOWEST = -3e38;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.blocks) {
        return;
    }
    let first = id.x * ROWS;
    let end = min(first + ROWS, params.columns);
    var highest = LOWEST;
    for (var column = first; column < end; column++) {
        highest = max(highest, score(y[id.y * params.columns + column], column));
    }
    best[id.y * params.blocks + id.x] = highest;
}
