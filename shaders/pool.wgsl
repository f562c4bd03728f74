// Running sums over the tokens of each text, for the mean: one thread a text and dimension.
//
// A text may span several calls (its tokens arrive in slabs), so the state is kept between them:
// the sum of the current block of 64 tokens and the sum of the blocks before it. Adding blocks
// instead of tokens keeps the error of 32,768 additions down, and as the blocks are counted from
// the text's own first token, the sum does not depend on how the batch was cut.
// Pooling one token is the mean over a segment of one. The token at place i of its text counts
// weight + i * slope times: 1 for a plain mean.

struct Params {
    h: u32,          // H
}

struct Segment {
    row: u32,        // first row in x
    count: u32,      // rows
    start: u32,      // place of that row within the text
    vector: u32,     // row of the state
    weight: f32,
    slope: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> segments: array<Segment>;
@group(0) @binding(2) var<storage, read> x: array<f32>;                    // [rows, H]
@group(0) @binding(3) var<storage, read_write> state: array<vec2<f32>>;    // [B, H]: block, blocks before

const BLOCK = 64u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = id.x;
    if (i >= params.h) {
        return;
    }
    let segment = segments[id.y];
    let at = segment.vector * params.h + i;
    var sums = vec2<f32>();
    if (segment.start > 0u) {
        sums = state[at];
    }
    for (var t = 0u; t < segment.count; t++) {
        let place = segment.start + t;
        if (place % BLOCK == 0u) {
            sums = vec2<f32>(0.0, sums.x + sums.y);
        }
        sums.x += (segment.weight + f32(place) * segment.slope) * x[(segment.row + t) * params.h + i];
    }
    state[at] = sums;
}
