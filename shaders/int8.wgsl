// Linear layers on activations that round_rows.wgsl has rounded to 8 bits, by packed dot products: a tile in workgroup
// memory of TOKENS x 128 sums for a workgroup, 4 tokens and 8 outputs of them for a lane.
//
// Four values of K are a word of x and of w. A step is a block of up to 64 values, which share a scale of the activations and a
// scale and a bias of the weights: the workgroup copies those of its rows of x and its weights, codes of 4 bits widened once, to
// workgroup memory; then each lane multiplies. The sums of a block are integers and exact, below 2^21. At its end
//
//   y[t, n] += (sum * x_scale[t]) * w_scale[n],   y[t, n] += x_total[t] * w_bias[n]
//
// each a fma, block after block in ascending order. int8_few.wgsl shares this rule: a token's bits depend neither on the tile nor on
// its neighbours.

const LANES = LANES_T * LANES_N;
const W_LOADS = 32u * PIECES / LANES;

var<workgroup> xs: array<array<vec4<u32>, TOKENS>, 4>;
var<workgroup> ws: array<array<vec4<u32>, LANES_N>, STEP * 2u>;   // of either side
var<workgroup> scales: array<vec4<f32>, TOKENS / 4u>;
var<workgroup> totals: array<vec4<f32>, TOKENS / 4u>;

// What a lane tells those of the same tokens, once all have multiplied.
fn keep(n: u32, quad: u32, value: vec4<f32>) {
    xs[n / 4u][n % 4u * (TOKENS / 4u) + quad] = bitcast<vec4<u32>>(value);
}

fn kept(n: u32, quad: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(xs[n / 4u][n % 4u * (TOKENS / 4u) + quad]);
}

struct Sums {
    a: Ints,
    b: Ints,
}

// With the products of four words of a side of w, from k on.
fn with_side(s: Ints, t: Words, k: u32, n: u32) -> Ints {
    let first = quad_dots(s, vec4<u32>(t.x.x, t.y.x, t.z.x, t.w.x), ws[k][n]);
    let second = quad_dots(first, vec4<u32>(t.x.y, t.y.y, t.z.y, t.w.y), ws[k + 1u][n]);
    let third = quad_dots(second, vec4<u32>(t.x.z, t.y.z, t.z.z, t.w.z), ws[k + 2u][n]);
    return quad_dots(third, vec4<u32>(t.x.w, t.y.w, t.z.w, t.w.w), ws[k + 3u][n]);
}

// With the products of vec4 i of words. One side after the other needs fewer registers than both at once.
fn with_words(s: Sums, i: u32, t: u32, n: u32) -> Sums {
    let rows = Words(xs[i][t * 4u], xs[i][t * 4u + 1u], xs[i][t * 4u + 2u], xs[i][t * 4u + 3u]);
    let a = with_side(s.a, rows, i * 4u, n);
    return Sums(a, with_side(s.b, rows, STEP + i * 4u, n));
}

fn scaled(y: vec4<f32>, s: vec4<i32>, scale: f32, total: f32, by: Group) -> vec4<f32> {
    return fma(vec4<f32>(total), by.bias, fma(vec4<f32>(s) * scale, by.scale, y));
}

fn with_block(y: mat4x4<f32>, s: Ints, scale: vec4<f32>, total: vec4<f32>, by: Group) -> mat4x4<f32> {
    return mat4x4<f32>(
        scaled(y[0], s.x, scale.x, total.x, by), scaled(y[1], s.y, scale.y, total.y, by),
        scaled(y[2], s.z, scale.z, total.z, by), scaled(y[3], s.w, scale.w, total.w, by),
    );
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let span = params.group4 / 4u;
    let row = group.y * TOKENS;
    let last = params.rows - 1u;
    let stride = params.groups * (span + 1u);
    let t = lane / LANES_N;
    let n = lane % LANES_N;

    // What a lane copies: a vec4 of x, the scale and total of a token, and some of w. Of a shorter block that is too
    // much, which nobody reads.
    let quarter = lane / 4u;
    let part = lane % 4u;
    let x_at = min(row + quarter, last) * stride + part;
    let scale_at = min(row + lane, last) * stride + span;
    var w_at: array<u32, W_LOADS>;
    for (var i = 0u; i < W_LOADS; i++) {
        let piece = (lane + i * LANES) / 16u;
        let strip = place(group.x, piece / PIECES, lane % 16u).strip;
        w_at[i] = (strip * params.groups * span * (PIECES / 4u) + piece % PIECES) * 16u + lane % 16u;
    }
    let low = place(group.x, 0u, n);
    let high = place(group.x, 1u, n);
    let low_at = low.strip * params.groups * 16u + low.quad;
    let high_at = high.strip * params.groups * 16u + high.quad;

    let copies_scale = lane < TOKENS;
    var a = mat4x4<f32>();
    var b = mat4x4<f32>();
    for (var block = 0u; block < params.groups; block++) {
        let x_new = x[x_at + block * (span + 1u)];
        let pair = bitcast<vec2<f32>>(x[scale_at + block * (span + 1u)].xy);
        var w_new: array<vec4<u32>, W_LOADS>;
        for (var i = 0u; i < W_LOADS; i++) {
            w_new[i] = w[w_at[i] + block * span * PIECES * 4u];
        }

        workgroupBarrier();
        xs[part][quarter] = x_new;
        for (var i = 0u; i < W_LOADS; i++) {
            for (var h = 0u; h < HALVES; h++) {
                ws[(t + i * LANES_T) * HALVES + h][n] = word_of(w_new[i], h);
            }
        }
        if (copies_scale) {
            scales[quarter][part] = pair.x;
            totals[quarter][part] = pair.y;
        }
        workgroupBarrier();

        // The last words first: what all blocks have comes behind the branches, or sums would be moved where they meet.
        var s = Sums();
        if (span > 2u) {
            s = with_words(with_words(with_words(s, 3u, t, n), 2u, t, n), 1u, t, n);
        } else if (span > 1u) {
            s = with_words(s, 1u, t, n);
        }
        s = with_words(s, 0u, t, n);
        a = with_block(a, s.a, scales[t], totals[t], groups[low_at + block * 16u]);
        b = with_block(b, s.b, scales[t], totals[t], groups[high_at + block * 16u]);
    }
    meet();
    show(t, n, a, b);
    meet();
    store_tokens(row, group.x, t, n, a, b);
}
