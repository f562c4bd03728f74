// Softmax attention of each text over itself, flash-style: the T x T scores are never stored.
//
//   y[t, h] = sum_j p_j v[j, h/G] / sum_j p_j,   p_j = exp(q[t, h] . k[j, h/G] * scale - max)
//
// with j over the text's own tokens (up to t where attention is causal) and G = Hq / Hkv query
// heads to a key head. Texts lie end to end without padding; a tile names up to four consecutive
// tokens of one text and the text's keys.
//
// A thread owns one tile and one head. It walks the keys eight at a time with the online softmax
// (Milakov & Gimelshein 2018; Dao et al. 2022): the scores of a block are two 4 x 4 matrices,
// a column a key and a row a query, and after each block
//
//   m' = max(m, max_j s_j);  y = y * exp(m - m') + sum_j exp(s_j - m') v_j;  l likewise.
//
// y lives in its place in memory between blocks, not in registers: 4 x Dh accumulators would
// spill on every GPU, and the traffic is that of reading V once more. What this buys is one
// shader for any head_dim and no barrier. What it costs a real GPU is reuse of K and V across
// the threads of a workgroup, which is left to the caches.
//
// A dispatch covers a range of 2,048 keys; the state (m, l) and y carry a long text from one to the
// next. That bounds the time of a dispatch, and the number of loop iterations of an invocation:
// llvmpipe ends loops, without a word, after 65,535 of them.
//
// A query whose first keys are out of its window gathers nonsense from them, as all their scores are the
// same; it is multiplied by exp(LOWEST - max) = 0 when the first key that it sees comes.
//
// Keys are visited from the text's first in blocks of eight, so a token's bits do not depend on
// where its text lies in the batch. Keys past the end read the last key and get the score LOWEST,
// whose exponential is 0 (an infinity would be, too, but WGSL may assume there is none).

struct Params {
    tiles: u32,
    heads: u32,     // Hq
    group: u32,     // G = Hq / Hkv
    dh4: u32,       // Dh / 4
    scale: f32,     // 1 / sqrt(Dh)
    causal: u32,    // 1: a token attends to itself and the tokens before it
    first_key: u32, // the range of keys, counted in each text: a multiple of KEYS
    end_key: u32,
    reach: u32,     // how far from itself a token sees, in places: less than a window of tokens
}

struct Tile {
    row: u32,       // first query row in q and y
    count: u32,     // 1..=4 query rows
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
@group(0) @binding(6) var<storage, read_write> state: array<State>;  // [tiles, Hq]

// The online softmax between two ranges of keys, a component a query.
struct State {
    highest: vec4<f32>,  // m
    total: vec4<f32>,    // l
}

const KEYS = 8u;
const LOWEST = -1e30;

// The keys that each of the four queries sees, counted from the text's first.
struct Seen {
    first: vec4<u32>,
    last: vec4<u32>,
}

fn score(products: vec4<f32>, key: u32, seen: Seen) -> vec4<f32> {
    let hidden = (vec4<u32>(key) < seen.first) | (vec4<u32>(key) > seen.last);
    return select(products * params.scale, vec4<f32>(LOWEST), hidden);
}

// Scores of the four queries for four keys, a column a key: those that a query does not see are LOWEST.
fn in_reach(products: mat4x4<f32>, first: u32, seen: Seen) -> mat4x4<f32> {
    return mat4x4<f32>(
        score(products[0], first, seen),
        score(products[1], first + 1u, seen),
        score(products[2], first + 2u, seen),
        score(products[3], first + 3u, seen),
    );
}

fn highest_of(s: mat4x4<f32>) -> vec4<f32> {
    return max(max(s[0], s[1]), max(s[2], s[3]));
}

fn exponentials(s: mat4x4<f32>, peak: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(exp(s[0] - peak), exp(s[1] - peak), exp(s[2] - peak), exp(s[3] - peak));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.tiles * params.heads) {
        return;
    }
    let tile_ix = id.x % params.tiles;
    let tile = tiles[tile_ix];
    // From the block with the first key that the first row sees to the last key that the last row sees.
    let ahead = select(params.reach, 0u, params.causal == 1u);
    let begin = (tile.start - min(tile.start, params.reach)) / KEYS * KEYS;
    let all = min(tile.start + tile.count + ahead, tile.keys);
    if (params.first_key >= all || params.end_key <= begin) {
        return;
    }
    let head = id.x / params.tiles;
    let state_ix = tile_ix * params.heads + head;
    let dh4 = params.dh4;
    let q_stride = params.heads * dh4;
    let k_stride = params.heads / params.group * dh4;
    let k_base = tile.key * k_stride + head / params.group * dh4;
    // Rows past the tile's end repeat its last row, and store the same value to the same place.
    let last = tile.count - 1u;
    let rows = vec4<u32>(0u, min(1u, last), min(2u, last), min(3u, last));
    let at = (tile.row + rows) * q_stride + head * dh4;
    let places_in_text = tile.start + rows;
    let seen = Seen(
        places_in_text - min(places_in_text, vec4<u32>(params.reach)),
        min(places_in_text + ahead, vec4<u32>(tile.keys - 1u)),
    );

    var highest = vec4<f32>(LOWEST);
    var total = vec4<f32>();
    if (params.first_key > begin) {
        highest = state[state_ix].highest;
        total = state[state_ix].total;
    }
    let end = min(params.end_key, all);
    for (var first = max(params.first_key, begin); first < end; first += KEYS) {
        let places = first + vec4<u32>(0u, 1u, 2u, 3u);
        let a = k_base + min(places, vec4<u32>(tile.keys - 1u)) * k_stride;
        let b = k_base + min(places + 4u, vec4<u32>(tile.keys - 1u)) * k_stride;
        var s = mat4x4<f32>();
        var t = mat4x4<f32>();
        for (var d = 0u; d < dh4; d++) {
            let queries = transpose(mat4x4<f32>(q[at.x + d], q[at.y + d], q[at.z + d], q[at.w + d]));
            s += queries * mat4x4<f32>(k[a.x + d], k[a.y + d], k[a.z + d], k[a.w + d]);
            t += queries * mat4x4<f32>(k[b.x + d], k[b.y + d], k[b.z + d], k[b.w + d]);
        }

        s = in_reach(s, first, seen);
        t = in_reach(t, first + 4u, seen);
        let peak = max(highest, max(highest_of(s), highest_of(t)));
        let keep = exp(highest - peak);
        highest = peak;
        s = exponentials(s, peak);
        t = exponentials(t, peak);
        total = total * keep + ((s[0] + s[1]) + (s[2] + s[3])) + ((t[0] + t[1]) + (t[2] + t[3]));

        // From a column a key to a column a query.
        s = transpose(s);
        t = transpose(t);
        for (var d = 0u; d < dh4; d++) {
            var sums = mat4x4<f32>(v[a.x + d], v[a.y + d], v[a.z + d], v[a.w + d]) * s
                + mat4x4<f32>(v[b.x + d], v[b.y + d], v[b.z + d], v[b.w + d]) * t;
            if (first > begin) {
                sums += mat4x4<f32>(
                    y[at.x + d] * keep.x, y[at.y + d] * keep.y,
                    y[at.z + d] * keep.z, y[at.w + d] * keep.w,
                );
            }
            y[at.x + d] = sums[0];
            y[at.y + d] = sums[1];
            y[at.z + d] = sums[2];
            y[at.w + d] = sums[3];
        }
    }

    if (end < all) {
        state[state_ix] = State(highest, total);
        return;
    }
    for (var d = 0u; d < dh4; d++) {
        let sums = mat4x4<f32>(
            y[at.x + d] / total.x, y[at.y + d] / total.y,
            y[at.z + d] / total.z, y[at.w + d] / total.w,
        );
        y[at.x + d] = sums[0];
        y[at.y + d] = sums[1];
        y[at.z + d] = sums[2];
        y[at.w + d] = sums[3];
    }
}
