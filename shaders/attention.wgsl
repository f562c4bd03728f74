// Softmax attention of each text over itself, flash-style: the T x T scores are never stored.
//
//   y[t, h] = sum_j p_j v[j, h/G] / sum_j p_j,   p_j = exp(q[t, h] . k[j, h/G] * scale - max)
//
// with j over the text's own tokens (up to t where attention is causal) and G = Hq / Hkv query
// heads to a key head. Texts lie end to end without padding; a tile names up to four consecutive
// tokens of one text and the text's keys.
//
// A thread owns one tile and one head. It walks the keys eight at a time with the online softmax
// (Milakov & Gimelshein 2018; Dao et al. 2022): the scores of a block are eight vec4 registers,
// one component a query, and after each block
//
//   m' = max(m, max_j s_j);  y = y * exp(m - m') + sum_j exp(s_j - m') v_j;  l likewise.
//
// y lives in its place in memory between blocks, not in registers: 4 x Dh accumulators would
// spill on every GPU, and the traffic is that of reading V once more. What this buys is one
// shader for any head_dim and no barrier. What it costs a real GPU is reuse of K and V across
// the threads of a workgroup, which is left to the caches.
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
    first_tile: u32,
}

struct Tile {
    row: u32,       // first query row in q and y
    count: u32,     // 1..=4 query rows
    key: u32,       // row of the text's first key in k and v
    keys: u32,      // keys in reach: the whole text, or up to the tile's last token when causal
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tiles: array<Tile>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;        // [rows, Hq, Dh/4]
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;        // [T, Hkv, Dh/4]
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;        // [T, Hkv, Dh/4]
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;  // [rows, Hq, Dh/4]

const KEYS = 8u;
const LOWEST = -1e30;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.tiles * params.heads) {
        return;
    }
    let tile = tiles[params.first_tile + id.x % params.tiles];
    let head = id.x / params.tiles;
    let dh4 = params.dh4;
    let q_stride = params.heads * dh4;
    let k_stride = params.heads / params.group * dh4;
    let k_base = tile.key * k_stride + head / params.group * dh4;
    // Rows past the tile's end repeat its last row, and store the same value to the same place.
    let last = tile.count - 1u;
    let rows = vec4<u32>(0u, min(1u, last), min(2u, last), min(3u, last));
    let at = (tile.row + rows) * q_stride + head * dh4;
    // The last key each query may see.
    var reach = vec4<u32>(tile.keys - 1u);
    if (params.causal == 1u) {
        reach = tile.keys - tile.count + rows;
    }

    var highest = vec4<f32>(LOWEST);
    var total = vec4<f32>();
    for (var first = 0u; first < tile.keys; first += KEYS) {
        var key: array<u32, KEYS>;
        var s: array<vec4<f32>, KEYS>;
        for (var j = 0u; j < KEYS; j++) {
            key[j] = k_base + min(first + j, tile.keys - 1u) * k_stride;
            s[j] = vec4<f32>();
        }
        for (var d = 0u; d < dh4; d++) {
            let queries = mat4x4<f32>(q[at.x + d], q[at.y + d], q[at.z + d], q[at.w + d]);
            for (var j = 0u; j < KEYS; j++) {
                s[j] += k[key[j] + d] * queries;
            }
        }

        var peak = highest;
        for (var j = 0u; j < KEYS; j++) {
            s[j] = select(s[j] * params.scale, vec4<f32>(LOWEST), vec4<u32>(first + j) > reach);
            peak = max(peak, s[j]);
        }
        let keep = exp(highest - peak);
        total *= keep;
        for (var j = 0u; j < KEYS; j++) {
            s[j] = exp(s[j] - peak);
            total += s[j];
        }
        highest = peak;

        for (var d = 0u; d < dh4; d++) {
            var sums = mat4x4<f32>();
            if (first > 0u) {
                sums = mat4x4<f32>(
                    y[at.x + d] * keep.x, y[at.y + d] * keep.y,
                    y[at.z + d] * keep.z, y[at.w + d] * keep.w,
                );
            }
            for (var j = 0u; j < KEYS; j++) {
                let value = v[key[j] + d];
                sums += mat4x4<f32>(value * s[j].x, value * s[j].y, value * s[j].z, value * s[j].w);
            }
            y[at.x + d] = sums[0];
            y[at.y + d] = sums[1];
            y[at.z + d] = sums[2];
            y[at.w + d] = sums[3];
        }
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
