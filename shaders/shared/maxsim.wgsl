// What the two families of the MaxSim kernel share.
//
//   best[d, i] = max over the tokens j of document d of  scale_j * <q_i, d_j>
//
// Documents lie end to end. The host cuts the tokens of this shard into strips; a workgroup or thread finds the highest
// similarity of every query row among a strip's tokens and raises `best` to it. The similarities themselves are never
// stored. A maximum does not depend on the order it is taken in, and every similarity is one chain of additions over
// the dimensions in ascending order, so a score has the same bits however documents are cut and batched.
//
// `best` holds floats as integers of the same order, so that atomicMax serves; 0 is below every finite number and
// means that no token has been seen.

struct Params {
    k4: u32,          // dimensions / 4, rounded up
    stride: u32,      // elements of `data` a token
    scaled: u32,      // 1: similarities are multiplied by `scales`
    first_strip: u32, // the part of the work that this dispatch does
    end_strip: u32,
    first_block: u32, // in blocks of query rows
}

struct Strip {
    token: u32,  // its first token in this shard
    end: u32,    // the token after its last
    doc: u32,    // the document of its first token, as `ends` counts them
    best: u32,   // where in `best` that document's rows begin
    query: u32,  // its first query row in `q`
    rows: u32,   // its query rows: also what lies between two documents in `best`
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> strips: array<Strip>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;             // [rows, k4]
@group(0) @binding(4) var<storage, read> scales: array<f32>;              // [T]
@group(0) @binding(5) var<storage, read_write> best: array<atomic<u32>>;

// The lowest float: an infinity would do, but WGSL may assume there is none.
const LOWEST = -0x1.fffffep+127f;

fn ordered(value: f32) -> u32 {
    let bits = bitcast<u32>(value);
    return select(bits | 0x80000000u, ~bits, bits >> 31u == 1u);
}

fn scales_of(tokens: vec4<u32>) -> vec4<f32> {
    if (params.scaled == 0u) {
        return vec4<f32>(1.0);
    }
    return vec4<f32>(scales[tokens.x], scales[tokens.y], scales[tokens.z], scales[tokens.w]);
}
