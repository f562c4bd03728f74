// Softmax attention of each text over itself, flash-style, by tiles in workgroup memory: what
// attention.wgsl computes, for GPUs that are there.
//
// A workgroup takes ROWS queries of one key head: a row is a token and one of the G query heads that
// share the key head, so k and v are read once for all of them. It walks the keys KEYS at a time:
//
//   scores     16 dimensions at a time, q and k turned so that dimensions come first; 4 x 4 a lane
//   softmax    online, as in attention.wgsl; the maxima of a row's lanes meet in workgroup memory
//   values     8 queries and one or two vec4s of dimensions a lane, sums in registers
//
// `stage` holds in turn what is needed of q and k (columns 0 to 23), the maxima (24 to 31), the
// rescaling of each row (row 0), and v; `p` the weights of the keys. Together they are 16 KiB.
//
// Blocks of keys are counted from the text's first, and a key out of reach weighs 0 and changes
// nothing, so a token's bits do not depend on where its text lies, or on the other rows of its tile.
// No time limit is in sight: a workgroup's loop over 32,768 keys is 1,024 blocks long.

struct Params {
    heads: u32,     // Hq
    group: u32,     // G = Hq / Hkv
    dh4: u32,       // Dh / 4
    scale: f32,     // log2(e) / sqrt(Dh): softmax is in powers of two
    causal: u32,    // 1: a token attends to itself and the tokens before it
    keys: u32,      // KEYS: as a constant it would make compilers unroll too much
    first: u32,     // the dispatch's first tile
    reach: u32,     // how far from itself a token sees, in places: less than a window of tokens
}

struct Tile {
    row: u32,       // first query row in q and y
    count: u32,     // tokens, 1 to ROWS / G
    key: u32,       // row of the text's first key in k and v
    keys: u32,      // keys, windows aside: the whole text, or up to the tile's last token when causal
    start: u32,     // place of the first row within its text
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tiles: array<Tile>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;        // [rows, Hq, Dh/4]
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;        // [T, Hkv, Dh/4]
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;        // [T, Hkv, Dh/4]
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;  // [rows, Hq, Dh/4]

const LOWEST = -1e30;
const LANES = 128u;
const ROW_QUADS = ROWS / 4u;
const KEY_QUADS = KEYS / 4u;
const Q_LOADS = ROWS * 4u / LANES;
const K_LOADS = KEYS * 4u / LANES;
const V_KEYS = 512u / D4;               // keys whose values fit the stage
const V_LOADS = 512u / LANES;
const V_STEP = LANES / D4;

var<workgroup> p: array<array<vec4<f32>, ROW_QUADS>, KEYS>;
var<workgroup> stage: array<array<vec4<f32>, 32>, 16>;

fn outer(s: mat4x4<f32>, t: vec4<f32>, n: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        fma(vec4<f32>(t.x), n, s[0]), fma(vec4<f32>(t.y), n, s[1]),
        fma(vec4<f32>(t.z), n, s[2]), fma(vec4<f32>(t.w), n, s[3]),
    );
}

fn scaled(s: mat4x4<f32>, t: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(s[0] * t.x, s[1] * t.y, s[2] * t.z, s[3] * t.w);
}

// The token of a row in its tile; rows past the end repeat the last.
fn token_of(tile: Tile, row: u32) -> u32 {
    return min(row / params.group, tile.count - 1u);
}

// Where a row's head begins in q and y.
fn query_at(tile: Tile, key_head: u32, row: u32) -> u32 {
    let head = key_head * params.group + row % params.group;
    return ((tile.row + token_of(tile, row)) * params.heads + head) * params.dh4;
}

fn store_query(sums: vec4<f32>, tile: Tile, key_head: u32, row: u32, d: u32) {
    if (row / params.group < tile.count && d < params.dh4) {
        y[query_at(tile, key_head, row) + d] = sums;
    }
}

fn store_queries(s: mat4x4<f32>, tile: Tile, key_head: u32, quad: u32, d: u32) {
    store_query(s[0], tile, key_head, quad * 4u, d);
    store_query(s[1], tile, key_head, quad * 4u + 1u, d);
    store_query(s[2], tile, key_head, quad * 4u + 2u, d);
    store_query(s[3], tile, key_head, quad * 4u + 3u, d);
}

// Four dimensions of a row of q or k in a column of the stage, one below the other.
fn turn(values: vec4<f32>, d: u32, column: u32, component: u32) {
    stage[d * 4u][column][component] = values.x;
    stage[d * 4u + 1u][column][component] = values.y;
    stage[d * 4u + 2u][column][component] = values.z;
    stage[d * 4u + 3u][column][component] = values.w;
}

// The keys that each of four rows sees, counted from the text's first.
struct Seen {
    first: vec4<u32>,
    last: vec4<u32>,
}

fn score(products: vec4<f32>, key: u32, seen: Seen) -> vec4<f32> {
    let hidden = (vec4<u32>(key) < seen.first) | (vec4<u32>(key) > seen.last);
    return select(products * params.scale, vec4<f32>(LOWEST), hidden);
}

fn products(s: mat4x4<f32>, d: u32, row_quad: u32, key_column: u32) -> mat4x4<f32> {
    let s0 = outer(s, stage[d][key_column], stage[d][row_quad]);
    let s1 = outer(s0, stage[d + 1u][key_column], stage[d + 1u][row_quad]);
    let s2 = outer(s1, stage[d + 2u][key_column], stage[d + 2u][row_quad]);
    return outer(s2, stage[d + 3u][key_column], stage[d + 3u][row_quad]);
}

// With four keys from `key` of the stage on, whose weights are those of keys from `from_key` on.
fn with_four(s: Sums, from_key: u32, key: u32, low: u32, high: u32, d: u32) -> Sums {
    let first = with_value(s, from_key + key, low, high, key, d);
    let second = with_value(first, from_key + key + 1u, low, high, key + 1u, d);
    let third = with_value(second, from_key + key + 2u, low, high, key + 2u, d);
    return with_value(third, from_key + key + 3u, low, high, key + 3u, d);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = tiles[params.first + workgroup.x];
    let key_head = workgroup.y;
    let dh4 = params.dh4;
    let k_stride = params.heads / params.group * dh4;
    let k_base = tile.key * k_stride + key_head * dh4;
    let last_key = tile.keys - 1u;

    // Scores: a quad of rows and a quad of keys a lane. Values: two quads of rows, and d_lane and so on of a head.
    let row_quad = lane / KEY_QUADS;
    let key_quad = lane % KEY_QUADS;
    // Their columns in the stage, which are shuffled by XOR, or lanes that turn what they copied would meet in a bank.
    let rows_0 = row_quad;
    let rows_1 = row_quad ^ 2u;
    let rows_2 = row_quad ^ 4u;
    let rows_3 = row_quad ^ 6u;
    let keys_0 = ROW_QUADS + key_quad;
    let keys_1 = ROW_QUADS + (key_quad ^ 2u);
    let keys_2 = ROW_QUADS + (key_quad ^ 4u);
    let keys_3 = ROW_QUADS + (key_quad ^ 6u);
    let low = lane / D_LANES;
    let high = low + ROW_QUADS / 2u;
    let d_lane = lane % D_LANES;

    // What a lane copies of q and k: a vec4 of rows that are 32 apart.
    let part = lane % 4u;
    let copied = lane / 4u;
    let column = (copied / 4u) ^ (part * 2u);
    var q_at: array<u32, Q_LOADS>;
    for (var i = 0u; i < Q_LOADS; i++) {
        q_at[i] = query_at(tile, key_head, copied + i * 32u);
    }

    // And of v: a vec4 of d of keys that are V_STEP apart.
    let v_d = k_base + min(lane % D4, dh4 - 1u);
    let v_at = v_d + lane / D4 * k_stride;
    let v_last = v_d + last_key * k_stride;

    // From the block with the first key that the first token sees to the last key that the last token sees.
    let ahead = select(params.reach, 0u, params.causal == 1u);
    let begin = (tile.start - min(tile.start, params.reach)) / KEYS * KEYS;
    let end = min(tile.start + tile.count + ahead, tile.keys);
    let row = row_quad * 4u;
    let places = tile.start + vec4<u32>(
        token_of(tile, row), token_of(tile, row + 1u), token_of(tile, row + 2u), token_of(tile, row + 3u),
    );

    var highest = vec4<f32>(LOWEST);
    var total = vec4<f32>();    // of this lane's keys
    var sums = Sums();
    for (var first = begin; first < end; first += KEYS) {
        var k_at: array<u32, K_LOADS>;
        for (var i = 0u; i < K_LOADS; i++) {
            k_at[i] = k_base + min(first + copied + i * 32u, last_key) * k_stride;
        }
        // A column a key, a row a query.
        var s = mat4x4<f32>();
        for (var d = 0u; d < dh4; d += 4u) {
            var q_new: array<vec4<f32>, Q_LOADS>;
            var k_new: array<vec4<f32>, K_LOADS>;
            // Past the end of a head k is 0.
            let at = min(d + part, dh4 - 1u);
            for (var i = 0u; i < Q_LOADS; i++) {
                q_new[i] = q[q_at[i] + at];
            }
            for (var i = 0u; i < K_LOADS; i++) {
                k_new[i] = select(vec4<f32>(), k[k_at[i] + at], d + part < dh4);
            }
            workgroupBarrier();
            for (var i = 0u; i < Q_LOADS; i++) {
                turn(q_new[i], part, column + i * 8u, copied % 4u);
            }
            for (var i = 0u; i < K_LOADS; i++) {
                turn(k_new[i], part, ROW_QUADS + column + i * 8u, copied % 4u);
            }
            workgroupBarrier();
            s = products(s, 0u, rows_0, keys_0);
            s = products(s, 4u, rows_1, keys_1);
            s = products(s, 8u, rows_2, keys_2);
            s = products(s, 12u, rows_3, keys_3);
        }

        let key = first + key_quad * 4u;
        let seen = Seen(places - min(places, vec4<u32>(params.reach)), min(places + ahead, vec4<u32>(last_key)));
        s = mat4x4<f32>(
            score(s[0], key, seen), score(s[1], key + 1u, seen),
            score(s[2], key + 2u, seen), score(s[3], key + 3u, seen),
        );
        workgroupBarrier();
        stage[lane / 8u][24u + lane % 8u] = max(max(s[0], s[1]), max(s[2], s[3]));
        workgroupBarrier();
        var peak = highest;
        for (var i = 0u; i < KEY_QUADS; i++) {
            let at = row_quad * KEY_QUADS + i;
            peak = max(peak, stage[at / 8u][24u + at % 8u]);
        }
        let keep = exp2(highest - peak);
        highest = peak;
        s = mat4x4<f32>(exp2(s[0] - peak), exp2(s[1] - peak), exp2(s[2] - peak), exp2(s[3] - peak));
        total = total * keep + ((s[0] + s[1]) + (s[2] + s[3]));
        p[key_quad * 4u][row_quad] = s[0];
        p[key_quad * 4u + 1u][row_quad] = s[1];
        p[key_quad * 4u + 2u][row_quad] = s[2];
        p[key_quad * 4u + 3u][row_quad] = s[3];
        if (key_quad == 0u) {
            stage[0][row_quad] = keep;
        }
        workgroupBarrier();
        sums = rescaled(sums, stage[0][low], stage[0][high]);

        for (var block = 0u; block < params.keys; block += V_KEYS) {
            var v_new: array<vec4<f32>, V_LOADS>;
            for (var i = 0u; i < V_LOADS; i++) {
                v_new[i] = v[min(v_at + (first + block + i * V_STEP) * k_stride, v_last)];
            }
            workgroupBarrier();
            for (var i = 0u; i < V_LOADS; i++) {
                stage[lane / 32u + i * 4u][lane % 32u] = v_new[i];
            }
            workgroupBarrier();
            // Nothing is beyond it, but that has to be seen, or each load would add up its address.
            let from_key = min(block, KEYS - V_KEYS);
            for (var i = 0u; i < V_KEYS; i += 16u) {
                sums = with_four(sums, from_key, i, low, high, d_lane);
                sums = with_four(sums, from_key, i + 4u, low, high, d_lane);
                if (V_KEYS > 8u) {
                    sums = with_four(sums, from_key, i + 8u, low, high, d_lane);
                    sums = with_four(sums, from_key, i + 12u, low, high, d_lane);
                }
            }
        }
    }

    // The totals of a row's lanes, in the order of their keys.
    workgroupBarrier();
    stage[lane / 8u][24u + lane % 8u] = total;
    workgroupBarrier();
    var total_low = vec4<f32>();
    var total_high = vec4<f32>();
    for (var i = 0u; i < KEY_QUADS; i++) {
        let a = low * KEY_QUADS + i;
        let b = high * KEY_QUADS + i;
        total_low += stage[a / 8u][24u + a % 8u];
        total_high += stage[b / 8u][24u + b % 8u];
    }
    finish(rescaled(sums, 1.0 / total_low, 1.0 / total_high), tile, key_head, low, high, d_lane);
}
