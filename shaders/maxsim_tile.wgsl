// MaxSim with tiles in workgroup memory, for GPUs. See shared/maxsim.wgsl for what it computes.
//
// A workgroup owns 32 query rows and a strip of up to 128 or 64 tokens, which takes no notice of where documents begin and
// end: a thousand documents of one token cost what one document of a thousand tokens does. A lane owns two quads of rows
// and two of tokens, or one (shared/maxsim_*.wgsl); 16 dimensions at a time come through workgroup memory, turned so that
// dimensions come first. Then the similarities go to workgroup memory too, 64 tokens at a time, and a lane walks 32 tokens
// of one row in order, raising `best` at every end of a document.
//
// Columns of workgroup memory are shuffled by XOR: otherwise lanes that write to one column would meet in a bank.

@group(0) @binding(6) var<storage, read> ends: array<u32>;  // the token after each document's last

const ROWS = 32u;
const LANES = 64u;
const ROW_LANES = 4u;       // lanes over rows
const TOKEN_LANES = 16u;    // lanes over tokens
const Q_LOADS = ROWS * 4u / LANES;
const T_LOADS = TOKENS * 4u / LANES;

var<workgroup> queries: array<array<vec4<f32>, 8>, 16>;  // [16 dimensions][quads of rows]
var<workgroup> tile: array<array<vec4<f32>, 32>, 16>;    // [16 dimensions][quads of tokens], then similarities

fn outer(s: mat4x4<f32>, t: vec4<f32>, r: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(
        fma(vec4<f32>(t.x), r, s[0]), fma(vec4<f32>(t.y), r, s[1]),
        fma(vec4<f32>(t.z), r, s[2]), fma(vec4<f32>(t.w), r, s[3]),
    );
}

fn quarter(s: Sums, c: u32, t: u32, r: u32) -> Sums {
    let t_c = t ^ (c * 2u);
    let r_c = r ^ (c * 2u);
    let first = products(s, c * 4u, t_c, r_c);
    let second = products(first, c * 4u + 1u, t_c, r_c);
    let third = products(second, c * 4u + 2u, t_c, r_c);
    return products(third, c * 4u + 3u, t_c, r_c);
}

// Where the similarity of a token's quad with a quad of rows lies in a row of the tile.
fn column(i: u32, t: u32, r: u32) -> u32 {
    return i * 8u + (r ^ (t % 8u));
}

fn put(s: mat4x4<f32>, t: u32, r: u32, scale: vec4<f32>) {
    tile[t][column(0u, t, r)] = s[0] * scale.x;
    tile[t][column(1u, t, r)] = s[1] * scale.y;
    tile[t][column(2u, t, r)] = s[2] * scale.z;
    tile[t][column(3u, t, r)] = s[3] * scale.w;
}

fn quad_of(token: u32, last: u32) -> vec4<u32> {
    return min(token + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last));
}

// Raises the maxima of a row of queries by its similarities with tokens `start` to `end` of the strip, which lie from
// `place` of the tile on.
fn walk(strip: Strip, row: u32, r: u32, start: u32, place: u32) {
    let first = strip.token + start;
    if (row + r >= strip.rows || first >= strip.end) {
        return;
    }
    var doc = strip.doc;
    while (ends[doc] <= first) {
        doc++;
    }
    let at = strip.best + row + r;
    var highest = LOWEST;
    let count = min(32u, strip.end - first);
    for (var x = 0u; x < count; x++) {
        if (first + x == ends[doc]) {
            atomicMax(&best[at + (doc - strip.doc) * strip.rows], ordered(highest));
            highest = LOWEST;
            doc++;
        }
        let t = (place + x) / 4u;
        highest = max(highest, tile[t][column(x % 4u, t, r / 4u)][r % 4u]);
    }
    atomicMax(&best[at + (doc - strip.doc) * strip.rows], ordered(highest));
}

// Raises maxima by the similarities of 64 tokens from `start` of the strip on, a and b: those of a lane's quads of rows.
fn raise(a: mat4x4<f32>, b: mat4x4<f32>, strip: Strip, row: u32, start: u32, lane: u32) {
    let t = lane % TOKEN_LANES;
    let r = lane / TOKEN_LANES;
    let scale = scales_of(quad_of(strip.token + start + t * 4u, strip.end - 1u));
    workgroupBarrier();
    put(a, t, r, scale);
    put(b, t, r + ROW_LANES, scale);
    workgroupBarrier();
    let place = lane / ROWS * 32u;
    walk(strip, row, lane % ROWS, start + place, place);
}

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    let strip = strips[params.first_strip + group.x];
    let row = (params.first_block + group.y) * ROWS;
    if (row >= strip.rows) {
        return;
    }
    let k4 = params.k4;
    let last_row = strip.rows - 1u;
    let last_token = strip.end - 1u;
    let t = lane % TOKEN_LANES;
    let r = lane / TOKEN_LANES;

    // What a lane copies: a vec4 of the dimensions of rows and tokens that are 16 apart.
    let part = lane % 4u;
    let copied = lane / 4u;
    let shuffled = (copied / 4u) ^ (part * 2u);
    var sums = Sums();
    for (var k = 0u; k < k4; k += 4u) {
        // Past the last dimension queries are 0. Past an edge the last row and token come again.
        let at = min(k + part, k4 - 1u);
        var q_new: array<vec4<f32>, Q_LOADS>;
        var t_new: array<vec4<f32>, T_LOADS>;
        for (var i = 0u; i < Q_LOADS; i++) {
            let from_row = strip.query + min(row + copied + i * 16u, last_row);
            q_new[i] = select(vec4<f32>(), q[from_row * k4 + at], k + part < k4);
        }
        for (var i = 0u; i < T_LOADS; i++) {
            t_new[i] = token4(min(strip.token + copied + i * 16u, last_token), at);
        }
        workgroupBarrier();
        for (var i = 0u; i < Q_LOADS; i++) {
            let quad = shuffled ^ (i * 4u);
            queries[part * 4u][quad][copied % 4u] = q_new[i].x;
            queries[part * 4u + 1u][quad][copied % 4u] = q_new[i].y;
            queries[part * 4u + 2u][quad][copied % 4u] = q_new[i].z;
            queries[part * 4u + 3u][quad][copied % 4u] = q_new[i].w;
        }
        for (var i = 0u; i < T_LOADS; i++) {
            let quad = (shuffled ^ (i % 2u * 4u)) + i / 2u * 8u;
            tile[part * 4u][quad][copied % 4u] = t_new[i].x;
            tile[part * 4u + 1u][quad][copied % 4u] = t_new[i].y;
            tile[part * 4u + 2u][quad][copied % 4u] = t_new[i].z;
            tile[part * 4u + 3u][quad][copied % 4u] = t_new[i].w;
        }
        workgroupBarrier();
        sums = quarter(sums, 0u, t, r);
        sums = quarter(sums, 1u, t, r);
        sums = quarter(sums, 2u, t, r);
        sums = quarter(sums, 3u, t, r);
    }

    finish(sums, strip, row, lane);
}
