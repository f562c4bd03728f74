// What the kernels of `heads` bind: queries, keys and values of a layer in one product. How weights are stored is up to
// shared/strip_*.wgsl, and shared/norm_rows.wgsl binds the norms.

struct Params {
    rows: u32,          // T: tokens here
    k4: u32,            // K / 4
    groups: u32,        // G: groups of a row
    group4: u32,        // vec4s in a group; the last may be shorter
    eps: f32,           // of all norms
    query_heads: u32,   // Hq
    key_heads: u32,     // Hkv
    first_head: u32,    // the dispatch's first; query heads come first, then those of keys, then those of values
    first_row: u32,     // where the tokens begin in k, v and the positions
    query_norm: u32,    // where the weights of the norms of heads begin in `norm`
    key_norm: u32,
    positions: u32,     // where the positions begin in `places`, in words
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> q: array<vec4<f32>>;  // [T, Hq, 32]
@group(0) @binding(6) var<storage, read> places: array<vec4<u32>>;   // [positions, 64] of cos and sin, as bits; then [..] positions
@group(0) @binding(7) var<storage, read_write> k: array<vec4<f32>>;  // [.., Hkv, 32]
@group(0) @binding(8) var<storage, read_write> v: array<vec4<f32>>;  // [.., Hkv, 32]

// Where a quad of outputs lies in w.
struct Place {
    strip: u32,
    quad: u32,
}

// A head is two strips: a side of a tile each.
fn place(tile: u32, side: u32, n: u32) -> Place {
    return Place((params.first_head + tile) * 2u + side, n);
}

// What a lane adds to the sum of the squares of a head.
fn squares_of(a: vec4<f32>, b: vec4<f32>) -> f32 {
    let low = fma(a.w, a.w, fma(a.z, a.z, fma(a.y, a.y, a.x * a.x)));
    return fma(b.w, b.w, fma(b.z, b.z, fma(b.y, b.y, fma(b.x, b.x, low))));
}

// Quads n and n + 16 of a token's head, whose squares sum up to `squares`: queries and keys are normalized and turned, as in
// head_norm_rope.wgsl, values are stored as they are.
fn store_head(row: u32, tile: u32, n: u32, a: vec4<f32>, b: vec4<f32>, squares: f32) {
    if (row >= params.rows) {
        return;
    }
    let head = params.first_head + tile;
    let key = head - min(head, params.query_heads);
    let token = params.first_row + row;
    if (key >= params.key_heads) {
        let at = (token * params.key_heads + key - params.key_heads) * 32u + n;
        v[at] = a;
        v[at + 16u] = b;
        return;
    }
    let scale = inverseSqrt(squares / 128.0 + params.eps);
    let weights = select(params.key_norm, params.query_norm, head < params.query_heads) + n * 2u;
    let low = a * scale * vec4<f32>(norm[weights], norm[weights + 1u]);
    let high = b * scale * vec4<f32>(norm[weights + 32u], norm[weights + 33u]);
    let word = params.positions + token;
    let turn = places[word / 4u][word % 4u] * 32u + n * 2u;
    let first = bitcast<vec4<f32>>(places[turn]);
    let second = bitcast<vec4<f32>>(places[turn + 1u]);
    let cosines = vec4<f32>(first.xz, second.xz);
    let sines = vec4<f32>(first.yw, second.yw);
    let turned_low = fma(low, cosines, -(high * sines));
    let turned_high = fma(high, cosines, low * sines);
    if (head < params.query_heads) {
        let at = (row * params.query_heads + head) * 32u + n;
        q[at] = turned_low;
        q[at + 16u] = turned_high;
    } else {
        let at = (token * params.key_heads + key) * 32u + n;
        k[at] = turned_low;
        k[at + 16u] = turned_high;
    }
}
