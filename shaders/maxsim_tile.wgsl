// MaxSim with tiles in workgroup memory, for GPUs. See shared/maxsim.wgsl for what it computes.
//
// A workgroup owns 32 query rows and a strip of up to 64 tokens, which takes no notice of where documents begin and end:
// a thousand documents of one token cost what one document of a thousand tokens does. A lane owns 4 rows and 4 tokens,
// 16 apart; the dimensions come through workgroup memory 32 at a time. Then the 32 x 64 similarities go to workgroup
// memory too, and a lane walks 16 tokens of one row in order, raising `best` at every end of a document.
//
// Columns of workgroup memory are one longer than they need to be: otherwise the lanes that stage one token would all
// write to the same bank.

@group(0) @binding(6) var<storage, read> ends: array<u32>;  // the token after each document's last

const ROWS = 32u;
const TOKENS = 64u;
const DEPTH = 8u;              // vec4s of the dimensions staged at a time
const LANES = 128u;
const Q_COLUMN = 33u;          // ROWS + 1
const D_COLUMN = 65u;          // TOKENS + 1
const S_ROW = 17u;             // 16 vec4s of similarities + 1

var<workgroup> queries: array<vec4<f32>, 264>;  // [DEPTH][Q_COLUMN]
var<workgroup> tile: array<vec4<f32>, 544>;     // [DEPTH][D_COLUMN], then the similarities, [ROWS][S_ROW]

@compute @workgroup_size(16, 8)
fn main(
    @builtin(local_invocation_id) lane: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(workgroup_id) group: vec3<u32>,
) {
    let strip = strips[params.first_strip + group.x];
    let row = (params.first_block + group.y) * ROWS;
    if (row >= strip.rows) {
        return;
    }
    let k4 = params.k4;
    let last_row = strip.rows - 1u;
    let last_token = strip.end - 1u;

    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    for (var first = 0u; first < k4; first += DEPTH) {
        let depth = min(DEPTH, k4 - first);
        workgroupBarrier();
        // Neighbouring lanes read neighbouring vec4s of a row. Indices beyond an edge read the last one again.
        for (var i = index; i < ROWS * DEPTH; i += LANES) {
            let k = min(i % DEPTH, depth - 1u);
            let r = i / DEPTH;
            queries[i % DEPTH * Q_COLUMN + r] = q[(strip.query + min(row + r, last_row)) * k4 + first + k];
        }
        for (var i = index; i < TOKENS * DEPTH; i += LANES) {
            let k = min(i % DEPTH, depth - 1u);
            let t = i / DEPTH;
            tile[i % DEPTH * D_COLUMN + t] = token4(min(strip.token + t, last_token), first + k);
        }
        workgroupBarrier();
        for (var k = 0u; k < depth; k++) {
            let d = k * D_COLUMN + lane.x;
            let r = k * Q_COLUMN + lane.y * 4u;
            let tokens = mat4x4<f32>(tile[d], tile[d + 16u], tile[d + 32u], tile[d + 48u]);
            s0 += queries[r] * tokens;
            s1 += queries[r + 1u] * tokens;
            s2 += queries[r + 2u] * tokens;
            s3 += queries[r + 3u] * tokens;
        }
    }
    let scale = scales_of(min(strip.token + lane.x + vec4<u32>(0u, 16u, 32u, 48u), vec4<u32>(last_token)));
    workgroupBarrier();
    let spill = lane.y * 4u * S_ROW + lane.x;
    tile[spill] = s0 * scale;
    tile[spill + S_ROW] = s1 * scale;
    tile[spill + 2u * S_ROW] = s2 * scale;
    tile[spill + 3u * S_ROW] = s3 * scale;
    workgroupBarrier();

    // Component c of a row's vec4 number x is the similarity with token x + 16 c.
    let r = index % ROWS;
    let quarter = index / ROWS;
    let start = strip.token + quarter * 16u;
    if (row + r >= strip.rows || start >= strip.end) {
        return;
    }
    var doc = strip.doc;
    while (ends[doc] <= start) {
        doc++;
    }
    let place = strip.best + row + r;
    var highest = LOWEST;
    let count = min(16u, strip.end - start);
    for (var x = 0u; x < count; x++) {
        if (start + x == ends[doc]) {
            atomicMax(&best[place + (doc - strip.doc) * strip.rows], ordered(highest));
            highest = LOWEST;
            doc++;
        }
        highest = max(highest, tile[r * S_ROW + x][quarter]);
    }
    atomicMax(&best[place + (doc - strip.doc) * strip.rows], ordered(highest));
}
